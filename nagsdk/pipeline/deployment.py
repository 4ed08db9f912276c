"""A finished deployment, and its model as a function of images."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from nagsdk.common.reading import read_text
from nagsdk.common.validation import what_is_wrong
from nagsdk.common.wording import counted
from nagsdk.errors import (
    DamagedBundleError,
    DataError,
    DeviceUnavailableError,
    NagsdkError,
    UnknownNameError,
    UsageError,
)
from nagsdk.manifest.manifest import read_manifest
from nagsdk.manifest.result import Result, result_of
from nagsdk.pipeline.opened import OpenedDeployment

if TYPE_CHECKING:
    from PIL.Image import Image

    from nagsdk.pipeline.verify import Verification

    Picture: TypeAlias = str | Path | Image | NDArray[np.uint8]

_SHOWN = 5
_MOST_LABELS = 64 * 10**6


@dataclass(frozen=True, eq=False)  # arrays have no single truth value
class Prediction:
    """A model's prediction for one image.

    Attributes:
        probabilities: Probabilities of the classes, float32, shape (classes,).
        labels: Names of the classes; their numbers as text if the bundle has no names.
    """

    probabilities: NDArray[np.float32]
    labels: tuple[str, ...]

    @property
    def label(self) -> str:
        """The most likely class."""
        return self.labels[int(self.probabilities.argmax())]

    @property
    def probability(self) -> float:
        """The probability of the most likely class."""
        return float(self.probabilities.max())

    def top(self, count: int = _SHOWN) -> list[tuple[str, float]]:
        """The most likely classes with their probabilities, the most likely first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.labels[i], float(self.probabilities[i])) for i in order]

    def __repr__(self) -> str:
        return f"Prediction({', '.join(f'{label} {share:.1%}' for label, share in self.top())})"


class LoadedModel:
    """A deployed model that is called with images; made by `Deployment.load`.

    Args:
        folder: Folder of the deployment.
        device: Device to run the model on, or a file that describes it; the manifest's device if None.
        serial: Which of several attached phones is meant.

    Raises:
        UnknownNameError: The device is unknown.
        UsageError: The folder is not a deployment.
        DamagedBundleError: Its manifest is not valid, or a file is not the one that was deployed.
        DeviceUnavailableError: Nothing on this machine runs the file.
    """

    def __init__(self, folder: str | Path, device: str | Path | None = None, serial: str | None = None) -> None:
        self.folder = Path(folder)
        try:
            self._opened = OpenedDeployment.of(self.folder, device, serial)
        except UnknownNameError as error:
            if device is not None:
                raise
            raise UnknownNameError(
                error.message,
                'If a file describes the device, name it: --device my-device.toml, or load(device="my-device.toml").',
            ) from error
        self._opened.require_files()
        manifest = self._opened.manifest
        self.preprocessing = self._opened.preprocessing
        self.resolution = int(manifest["resolution"])
        self.device, self.timing_only = self._opened.device.id, bool(manifest["timing_only"])
        names, classes = self.folder / "labels.txt", len(manifest["probe"]["logits"])
        try:
            known = read_text(names, _MOST_LABELS).splitlines() if names.is_file() else []
        except (OSError, ValueError) as error:
            raise DamagedBundleError(f"{names} cannot be read: {what_is_wrong(error)}.", "Deploy again.") from error
        self.labels = tuple(known) if len(known) == classes else tuple(map(str, range(classes)))

    @overload
    def __call__(self, image: Picture, /) -> Prediction: ...

    @overload
    def __call__(self, image: Picture, second: Picture, /, *more: Picture) -> list[Prediction]: ...

    @overload
    def __call__(self, *images: Picture) -> Prediction | list[Prediction]: ...

    def __call__(self, *images: Picture) -> Prediction | list[Prediction]:
        """Predicts the classes of images; scaling, cropping and normalising are included.

        Args:
            *images: Files, Pillow images (rotated upright, as files are), or arrays of RGB values, uint8, shape
                (height, width, 3).

        Returns:
            One prediction for one image, a list for several.

        Raises:
            UsageError: No image was given, or an argument is not an image.
            DataError: An image cannot be decoded, or the range of its pixel values is unknown.
            DeviceError: The runtime failed.
        """
        if not images:
            raise UsageError(
                "No image was given.", "Give a file, a Pillow image, or an array of shape (height, width, 3)."
            )
        inputs = self.preprocessing.apply([_pixels(image) for image in images], self.resolution)
        opened = self._opened
        logits = opened.infer(inputs)
        if logits is None:
            raise DeviceUnavailableError(f"Nothing on this machine runs {opened.artifact}.", opened.presence.reason)
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        predictions = [Prediction((row / row.sum()).astype(np.float32), self.labels) for row in shifted]
        return predictions[0] if len(images) == 1 else predictions

    def __repr__(self) -> str:
        return (
            f"LoadedModel({str(self.folder)!r}, {self.resolution} px, {counted(len(self.labels), 'class', 'classes')})"
        )


def _pixels(image: Picture) -> Image:
    """An RGB image from a file, an array or another Pillow image."""
    from PIL import Image as ImageModule

    from nagsdk.images.preprocessing import read_image, upright

    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise UsageError(
                f"An array of {image.dtype} with shape {image.shape} is not an image.",
                "Give RGB values: uint8, shape (height, width, 3).",
            )
        return ImageModule.fromarray(image)
    if not isinstance(image, (str, Path, ImageModule.Image)):
        raise UsageError(
            f"An argument of type {type(image).__name__} is not an image.",
            "Give a file, a Pillow image or an array; several as arguments of their own: model(*images).",
        )
    try:
        return upright(image) if isinstance(image, ImageModule.Image) else read_image(Path(image))
    except (OSError, ValueError) as error:
        raise DataError(f"{image} cannot be read as an image: {error}.", "Give another one.") from error


@dataclass(frozen=True)
class Deployment:
    """What `deploy` returns and writes.

    Attributes:
        result: The deployed architecture and its verdict.
        folder: Folder of model and manifest; None when the budget was missed.
        details: The rest of the manifest: provenance, versions, seeds, rounds.
        statistics: Statistics of batch normalisation; see `nagsdk.supernet.recalibrate.statistics`.
    """

    result: Result
    folder: Path | None
    details: Mapping[str, Any] = field(repr=False)
    statistics: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, folder: str | Path) -> Deployment:
        """Reads a deployment that an earlier run wrote.

        Args:
            folder: Folder that holds the manifest.json.

        Raises:
            UsageError: The folder is not a deployment.
            DamagedBundleError: Its manifest is not valid.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        result = result_of(manifest)
        details = {name: value for name, value in manifest.items() if name not in result.to_dict()}
        return cls(result.with_path(folder / str(result.artifact.path)), folder, details)

    @property
    def verdict(self) -> str:
        """``held``, ``missed`` or ``unverified``."""
        return self.result.verdict

    def load(self, device: str | Path | None = None, serial: str | None = None) -> LoadedModel:
        """The model as a function of images: ``deployment.load()("cat.jpg")``.

        It runs on its device if that is available, otherwise on this machine if the device's backend can emulate it.

        Args:
            device: Device to run the model on, or a file that describes it; the manifest's device if None. Needed if
                the manifest's device was described by a file.
            serial: Which of several attached phones is meant, or ``"host:port"``.

        Raises:
            UnknownNameError: The device is unknown.
            UsageError: The budget was missed, so there is no model.
            DamagedBundleError: A file is not the one that was deployed.
            DeviceUnavailableError: Nothing on this machine runs the file.
        """
        if self.folder is None:
            raise UsageError("The budget was missed, so there is no model to load.", "Deploy with a larger budget.")
        return LoadedModel(self.folder, device, serial)

    def verify(
        self,
        *,
        device: str | Path | None = None,
        bundle: str | Path | None = None,
        serial: str | None = None,
        probe: str | Path | None = None,
    ) -> Verification:
        """Checks the deployment again: its hashes, its outputs and, if its device is available, its latency.

        Args:
            device: See `load`.
            bundle: Bundle whose reference network is timed beside the model; the manifest's bundle if None.
            serial: See `load`.
            probe: File that the probe in an app wrote; see `nagsdk.verify`.

        Raises:
            UsageError: The budget was missed, so there is no model.
            NagsdkError: See `nagsdk.verify`.
        """
        from nagsdk.pipeline.verify import verify

        if self.folder is None:
            raise UsageError("The budget was missed, so there is no model to verify.", "Deploy with a larger budget.")
        return verify(self.folder, device=device, bundle=bundle, serial=serial, probe=probe)

    def to_dict(self) -> dict[str, Any]:
        """What `deploy --json` prints."""
        drawn = self.details.get("report", {})
        return {
            **self.result.to_dict(),
            "folder": None if self.folder is None else str(self.folder),
            "bill": drawn.get("bill"),
            "worth_of_more": drawn.get("worth_of_more"),
        }

    def _repr_html_(self) -> str:
        from nagsdk.reports.page import deployment_page

        if self.folder is None:
            return self.result._repr_html_()
        try:
            page = deployment_page(read_manifest(self.folder))
        except NagsdkError:  # the folder was removed or changed since
            return self.result._repr_html_()
        # The page has its own styles, which must not change the notebook around it.
        page = html.escape(page)
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 40em; border: 0" title="deployment"></iframe>'
