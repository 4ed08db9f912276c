"""The kinds of values in a manifest.json, with their ranges."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from nagsdk.common.validation import PLAIN_NAME, SHA256
from nagsdk.space.architecture import MOST_TEXT

# A plain name, so that no path in a manifest leads out of its folder.
FileName = Annotated[str, Field(pattern=PLAIN_NAME)]
Sha256 = Annotated[str, Field(pattern=SHA256)]

Text = Annotated[str, Field(max_length=4000)]
Name = Annotated[str, Field(max_length=200)]
ArchitectureText = Annotated[str, Field(max_length=MOST_TEXT)]
Texts = Annotated[dict[Name, Text], Field(max_length=500)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Size = Annotated[int, Field(ge=0, le=2**40)]
Milliseconds = Annotated[float, Field(ge=0, le=1e9)]
Latency = Annotated[float, Field(ge=1e-9, le=1e9)]
Share = Annotated[float, Field(ge=0, le=1000)]
Percent = Annotated[float, Field(ge=0, le=100)]
Cost = Annotated[float, Field(ge=0, le=1e18)]
Factor = Annotated[float, Field(ge=1e-18, le=1e18)]
Number = Annotated[float, Field(ge=-1e18, le=1e18)]
Triple = Annotated[list[Number], Field(min_length=3, max_length=3)]
Deviations = Annotated[list[Annotated[float, Field(ge=1e-6, le=1e6)]], Field(min_length=3, max_length=3)]
_MOST_YEAR = 2200


def _checked_moment(text: str) -> str:
    read = datetime.fromisoformat(text)
    if read.tzinfo is None or not 2000 <= read.year < _MOST_YEAR:
        raise ValueError("it must be a time with its zone, such as 2026-01-31T12:00:00+00:00")
    return text


Moment = Annotated[str, AfterValidator(_checked_moment)]


class Open(BaseModel):
    """A record that may have keys of a newer version."""

    # Versions only ever add keys, so unknown keys of a newer version are allowed.
    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)
