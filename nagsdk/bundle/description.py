"""The content of a bundle's bundle.json, for validation and for its JSON Schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from nagsdk.common.validation import PLAIN_NAME, SHA256
from nagsdk.images.preprocessing import MOST_PIXELS

_MOST_FILE = 512 * 10**6
_Hash = Annotated[str, Field(pattern=SHA256)]
_FileName = Annotated[str, Field(pattern=PLAIN_NAME)]
_Mean = Annotated[float, Field(ge=-1e4, le=1e4)]
_Std = Annotated[float, Field(ge=1e-4, le=1e4)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileRecord(_Strict):
    """Hash and length that a file of the bundle must have."""

    sha256: _Hash
    bytes: int = Field(ge=0, le=_MOST_FILE)


class Sheet(_Strict):
    """A contact sheet of images."""

    file: _FileName
    count: int = Field(ge=1, le=100_000)
    labels: _FileName | None = None


class Images(_Strict):
    """The images of a bundle."""

    tile: int = Field(ge=8, le=1024)
    recalibration: Sheet
    test: Sheet


class PreprocessingRecord(_Strict):
    """See `Preprocessing`."""

    color: str = Field(pattern="^RGB$")
    resize: str = Field(pattern="^bilinear-antialias$")
    crop_fraction: float = Field(ge=0.1, le=1)
    mean: tuple[_Mean, _Mean, _Mean]
    std: tuple[_Std, _Std, _Std]


class Footing(_Strict):
    """The images that predicted and measured top-1 are about, and how the one is turned into the other.

    Attributes:
        predicted_on: The images on which the subnets of the accuracy predictor were measured.
        measured_on: The images on which deployments are measured, which shown predictions are about; None if the bundle
            has none, so that predictions are about the first ones.
        offset: Points of top-1 that are added to predictions.
        half_width: Points that are added in quadrature to the half-width of the 90 % intervals of predictions. In
            bundles of a user's images, the sampling error of the test images is a part of them.
        subnets: Number of subnets measured on the second images, on which both figures rest. In trainings on few images
            they are measured on those for validation too.
    """

    predicted_on: str = Field(max_length=200)
    measured_on: str | None = Field(default=None, max_length=200)
    offset: float = Field(default=0.0, ge=-100, le=100)
    half_width: float = Field(default=0.0, ge=0, le=100)
    subnets: int = Field(default=0, ge=0)


class Description(_Strict):
    """The content of bundle.json."""

    format: int = Field(ge=1, le=1)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    version: str = Field(max_length=100)
    title: str = Field(max_length=1000)
    licence: str
    provenance: dict[str, Any]
    space: dict[str, Any]
    preprocessing: PreprocessingRecord
    images: Images | None = None
    footing: Footing | None = None
    weights_source: str | None = Field(None, max_length=2000)
    weights_source_sha256: _Hash | None = None
    files: dict[_FileName, FileRecord]

    def check_images(self, resolutions: Sequence[int]) -> None:
        """Checks that the images fit into memory at every resolution.

        Args:
            resolutions: The resolutions of the space.

        Raises:
            ValueError: They do not.
        """
        sheets = () if self.images is None else (self.images.recalibration, self.images.test)
        for sheet in sheets:
            if sheet.count * max(resolutions) ** 2 > MOST_PIXELS:
                raise ValueError(
                    f"{sheet.count} images of {max(resolutions)} pixels in {sheet.file} have more than "
                    f"{MOST_PIXELS // 10**6} million pixels"
                )
