"""The numbers of input and output of a model file, as manifests describe them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class NumbersRecord(BaseModel):
    """Numbers of input or output of a file: what stands for a real number is scale · (number − zero_point)."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)
    type: Literal["float32", "int8", "uint8"]
    scale: float | None = Field(gt=0, description="Null for float32.")
    zero_point: int | None = Field(ge=-128, le=255, description="Null for float32.")
