"""`nagsdk try`: predicts the classes of image files with a deployment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nagsdk.common.os_errors import naming_os_errors
from nagsdk.errors import DataError, UsageError
from nagsdk.events import Listener, ignore, stage
from nagsdk.images.entries import FILE, FOLDER, image_files, kind, one_line

if TYPE_CHECKING:
    from PIL.Image import Image

    from nagsdk.pipeline.deployment import LoadedModel

TOP = 5
# So many images are held in memory at once, and so many of a folder are looked at.
_AT_ONCE, _MOST = 64, 10**6


@dataclass(frozen=True)
class Guess:
    """A class and its probability."""

    label: str
    probability: float


@dataclass(frozen=True)
class TriedImage:
    """What a model says about one image.

    Attributes:
        image: Path of the file.
        guesses: The most likely classes, the most likely first; empty if the image cannot be read.
        error: Why the image cannot be read; None if it can.
    """

    image: str
    guesses: tuple[Guess, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Trial:
    """What a deployment says about images.

    Attributes:
        folder: Folder of the deployment.
        device: Device whose file was run.
        timing_only: Whether the model was built for timing only, so that its predictions are worthless.
        images: One entry for each image, in the given order.
    """

    folder: str
    device: str
    timing_only: bool
    images: tuple[TriedImage, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything above, ready for JSON."""
        return asdict(self)


@naming_os_errors
def try_images(
    folder: str | Path,
    images: str | Path | Sequence[str | Path],
    *,
    top: int = TOP,
    device: str | Path | None = None,
    serial: str | None = None,
    on_event: Listener = ignore,
) -> Trial:
    """Predicts the classes of images with a deployment, on its device or, if that is unavailable, on this machine.

    Args:
        folder: Folder of the deployment.
        images: Files, or folders whose images are all predicted, also those in subfolders.
        top: Number of classes to return for each image.
        device: Device to run the model on, or a file that describes it; the manifest's device if None.
        serial: Which of several attached phones is meant, or ``"host:port"``.
        on_event: Receives progress events.

    Returns:
        The predictions. Images that cannot be read are part of it, with the reason, and raise no error.

    Raises:
        UsageError: The folder is not a deployment, no image was given, or `top` is less than 1.
        DataError: There is no such file, or a folder has no images.
        DamagedBundleError: A file is not the one that was deployed.
        DeviceUnavailableError: Nothing on this machine runs the file.
    """
    from nagsdk.pipeline.deployment import LoadedModel

    if top < 1:
        raise UsageError(f"{top} classes cannot be shown.", "Give 1 or more, such as --top 3.")
    given = [images] if isinstance(images, (str, Path)) else images
    paths = [path for one in given for path in _files(Path(one))]
    if not paths:
        raise UsageError("No image was given.", "Name image files, or a folder of images.")
    model = LoadedModel(folder, device, serial)
    tried: list[TriedImage] = []
    with stage(on_event, "Predicting", len(paths)) as advance:
        for start in range(0, len(paths), _AT_ONCE):
            tried += _predict(model, paths[start : start + _AT_ONCE], top)
            advance(len(tried), paths[len(tried) - 1].name)
    return Trial(str(folder), model.device, model.timing_only, tuple(tried))


def _files(path: Path) -> list[Path]:
    """The image files that a path stands for."""
    found = kind(path)
    if found == FILE:
        return [path]
    if found != FOLDER:
        raise DataError(f"There is no file {one_line(path)}.", "Name an image, or a folder of images.")
    if not (paths := image_files(path, _MOST)):
        raise DataError(f"There are no images in {one_line(path)}.", "Name an image, or a folder that has some.")
    return paths


def _predict(model: LoadedModel, paths: Sequence[Path], top: int) -> Iterator[TriedImage]:
    from nagsdk.images.preprocessing import read_image

    read: list[Image | str] = []
    for path in paths:
        try:
            read.append(read_image(path))
        except (OSError, ValueError) as error:
            read.append(str(error))
    pictures = [image for image in read if not isinstance(image, str)]
    found = model(*pictures) if pictures else []
    predictions = iter(found if isinstance(found, list) else [found])
    for path, image in zip(paths, read, strict=True):
        if isinstance(image, str):
            yield TriedImage(str(path), error=image)
        else:
            guesses = next(predictions).top(top)
            yield TriedImage(str(path), tuple(Guess(label, probability) for label, probability in guesses))
