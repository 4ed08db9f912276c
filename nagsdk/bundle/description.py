"""The content of a bundle's bundle.json, for validation and for its JSON Schema."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_MOST_FILE = 512 * 10**6


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileRecord(_Strict):
    """Hash and length that a file of the bundle must have."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0, le=_MOST_FILE)


class Sheet(_Strict):
    """A contact sheet of images."""

    file: str
    count: int = Field(ge=1, le=100_000)
    labels: str | None = None


class Images(_Strict):
    """The images of a bundle."""

    tile: int = Field(ge=8, le=1024)
    recalibration: Sheet
    test: Sheet


class PreprocessingRecord(_Strict):
    """See `Preprocessing`."""

    color: str = Field(pattern="^RGB$")
    resize: str = Field(pattern="^bilinear-antialias$")
    crop_fraction: float = Field(gt=0, le=1)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Description(_Strict):
    """The content of bundle.json."""

    format: int = Field(ge=1, le=1)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    version: str
    title: str
    licence: str
    provenance: dict[str, Any]
    space: dict[str, Any]
    preprocessing: PreprocessingRecord
    images: Images | None = None
    weights_source: str | None = None
    files: dict[str, FileRecord]
