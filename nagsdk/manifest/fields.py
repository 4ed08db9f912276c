"""Types of values in the JSON contract, and the base of its records."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(max_length=4000)]
Name = Annotated[str, Field(max_length=200)]
Texts = Annotated[dict[Name, Text], Field(max_length=500)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Size = Annotated[int, Field(ge=0, le=2**40)]
Milliseconds = Annotated[float, Field(ge=0, le=1e9)]
Latency = Annotated[float, Field(ge=1e-9, le=1e9)]
Percent = Annotated[float, Field(ge=0, le=100)]
Cost = Annotated[float, Field(ge=0, le=1e18)]
Factor = Annotated[float, Field(ge=1e-18, le=1e18)]
Number = Annotated[float, Field(ge=-1e18, le=1e18)]
Triple = Annotated[list[Number], Field(min_length=3, max_length=3)]
Deviations = Annotated[list[Annotated[float, Field(ge=1e-6, le=1e6)]], Field(min_length=3, max_length=3)]


class Open(BaseModel):
    """A record to which newer versions may add keys."""

    # Versions only ever add keys, so unknown keys of a newer version are allowed.
    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)
