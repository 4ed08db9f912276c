"""Opens bundles: folders with a search space, its supernet's weights, an accuracy predictor and related data."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.bundle.imported import read_weights_record, user_folder
from nagsdk.common.files import line_ends_advice, only_line_ends_differ, sha256
from nagsdk.common.folders import is_shipped, shipped
from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import (
    BundleError,
    DamagedBundleError,
    ImagesMissingError,
    UnknownNameError,
    UsageError,
    WeightsMissingError,
)
from nagsdk.families import space_from_dict
from nagsdk.images.preprocessing import Preprocessing, cut_tiles, read_folder
from nagsdk.space.architecture import Architecture

if TYPE_CHECKING:
    from nagsdk.bundle.description import Description, Sheet
    from nagsdk.families.protocol import Subnet, Supernet
    from nagsdk.predictor.model import AccuracyPredictor

DEFAULT = "glyphs"
SUPERNET_WEIGHTS, DESCRIPTION, GENERATOR = "supernet.safetensors", "bundle.json", "generator.safetensors"
RECALIBRATION_IMAGES = 512
_MOST_DESCRIPTION = 10**6
_BATCH = 64


@dataclass(frozen=True)
class TestSet:
    """Labelled images at one resolution.

    Attributes:
        inputs: Normalised images, shape (n, 3, r, r).
        labels: Class indices, shape (n,).
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]


class Bundle:
    """A read-only bundle; files are checked against their hashes when they are first read.

    Args:
        folder: Folder that holds the bundle.json.

    Raises:
        DamagedBundleError: The description is damaged or not valid, or its family of networks is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / DESCRIPTION
        try:
            if path.stat().st_size > _MOST_DESCRIPTION:
                raise DamagedBundleError(f"{path} is too large for the description of a bundle.", _FIX)
            self._content = _content(path.read_bytes())
            self.space = space_from_dict(self._content["space"])
        except UnknownNameError as error:
            raise DamagedBundleError(
                f"The bundle in {folder} cannot be used: {error.message}", error.next_step
            ) from error
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DamagedBundleError(
                f"{path} is not a valid description of a bundle: {what_is_wrong(error)}.", _FIX
            ) from error

    def __repr__(self) -> str:
        resolutions = self.space.resolutions
        return f"Bundle({self.name!r}, {self.space.family}, {resolutions[0]} to {resolutions[-1]} px)"

    @property
    def name(self) -> str:
        """The bundle's name."""
        return str(self._content["name"])

    @cached_property
    def description(self) -> Description:
        """What bundle.json says."""
        from nagsdk.bundle.description import Description

        return Description.model_validate(self._content)

    @property
    def preprocessing(self) -> Preprocessing:
        """How images become inputs."""
        p = self.description.preprocessing
        return Preprocessing(p.mean, p.std, p.crop_fraction)

    @cached_property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes, if the bundle has them."""
        if "labels.txt" not in self._content["files"]:
            return None
        return tuple(self._checked("labels.txt").read_text("utf-8").splitlines())

    @property
    def has_predictor(self) -> bool:
        """Whether the bundle has an accuracy predictor."""
        return "predictor.json" in self._content["files"]

    def require_predictor(self) -> None:
        """Raises an error if the bundle has no accuracy predictor.

        Raises:
            BundleError: It has none; the error names the commands that work without one.
        """
        if not self.has_predictor:
            raise BundleError(
                f"Nothing is known about the accuracy of architectures of {self.name}: it has no accuracy predictor.",
                "Use another bundle; 'nagsdk predict', 'profile', 'calibrate' and 'export' work without a predictor.",
            )

    @cached_property
    def predictor(self) -> AccuracyPredictor:
        """The accuracy predictor.

        Raises:
            BundleError: See `require_predictor`.
        """
        from nagsdk.predictor.model import AccuracyPredictor

        self.require_predictor()
        for name in ("predictor.safetensors", "predictor.json"):
            self._checked(name)
        return AccuracyPredictor.load(self.folder, self.space)

    @cached_property
    def generator_file(self) -> Path | None:
        """The file of the trained generator, if the bundle has one."""
        return self._checked(GENERATOR) if GENERATOR in self._content["files"] else None

    @property
    def has_weights(self) -> bool:
        """Whether supernet weights are on this machine."""
        return SUPERNET_WEIGHTS in self.description.files or (self._own_folder / "weights.json").is_file()

    @property
    def has_images(self) -> bool:
        """Whether the bundle has images."""
        return self.description.images is not None

    @property
    def has_test_images(self) -> bool:
        """Whether the bundle has labelled test images."""
        return self.description.images is not None and self.description.images.test.labels is not None

    def require_weights(self) -> None:
        """Raises an error if the bundle's weights are not on this machine.

        Raises:
            WeightsMissingError: They are missing; the error says how to get them.
        """
        if not self.has_weights:
            raise WeightsMissingError(
                f"Bundle {self.name} has no supernet weights on this machine.",
                f"Fetch them with 'nagsdk bundle pull {self.name}', or from a file with "
                f"'nagsdk bundle pull {self.name} --from FILE' or 'nagsdk bundle import-ofa CHECKPOINT'; "
                "without weights, 'nagsdk generate' predicts, and 'nagsdk deploy --timing-only' writes one for timing.",
            )

    @cached_property
    def weights_sha256(self) -> str:
        """Hash of the supernet's weight file."""
        self.require_weights()
        if SUPERNET_WEIGHTS in self.description.files:
            return self.description.files[SUPERNET_WEIGHTS].sha256
        return read_weights_record(self._own_folder)["sha256"]

    @cached_property
    def supernet(self) -> Supernet:
        """The supernet with its weights, in eval mode.

        Raises:
            WeightsMissingError: See `require_weights`.
            DamagedBundleError: The file does not have its recorded hash.
        """
        from nagsdk.supernet.weights import load_supernet

        self.require_weights()
        if SUPERNET_WEIGHTS in self.description.files:
            path = self._checked(SUPERNET_WEIGHTS)
        else:
            path = self._own_folder / SUPERNET_WEIGHTS
            if not path.is_file() or sha256(path) != self.weights_sha256:
                raise DamagedBundleError(
                    f"{path} does not have the hash recorded when it was imported.",
                    f"Import it again: nagsdk bundle pull {self.name}.",
                )
        return load_supernet(self.space, path.read_bytes())

    def subnet(self, architecture: Architecture, images: NDArray[np.float32] | None = None) -> Subnet:
        """Cuts a stand-alone subnet out of the supernet and recalibrates its batch normalisation.

        Args:
            architecture: An architecture of `space`.
            images: Inputs to recalibrate on, shape (n, 3, r, r); the bundle's own images if None. If the bundle has
                none, a warning is given and the statistics of the supernet stay, which do not fit the subnet.

        Returns:
            A torch module in eval mode.
        """
        import torch

        from nagsdk.supernet.recalibrate import recalibrate

        subnet = self.supernet.extract(architecture)
        if images is None and self.has_images:
            images = self.recalibration_images(architecture.resolution)
        if images is None:
            warnings.warn(
                f"{self.name} has no images: batch normalisation keeps the supernet's statistics.", stacklevel=2
            )
        else:
            recalibrate(subnet, (torch.from_numpy(images[i : i + _BATCH]) for i in range(0, len(images) - 1, _BATCH)))
        return subnet

    def recalibration_images(self, resolution: int, folder: Path | None = None) -> NDArray[np.float32]:
        """Inputs to recalibrate batch normalisation on, shape (n, 3, resolution, resolution).

        Args:
            resolution: Input size.
            folder: A folder of images; the bundle's own images if None.

        Raises:
            ImagesMissingError: There are no images.
        """
        if folder is not None:
            return self.preprocessing.apply(list(read_folder(folder, RECALIBRATION_IMAGES)), resolution)
        if self.description.images is None:
            raise ImagesMissingError(
                f"Bundle {self.name} has no images to recalibrate batch normalisation on, and without that a subnet is "
                "almost useless.",
                "Name a folder of images like those that the model will see (--images DIR), or deploy for timing only "
                "(--timing-only).",
            )
        return self._tiles(self.description.images.recalibration, resolution)

    def test_set(self, resolution: int) -> TestSet | None:
        """The bundle's labelled test images at a resolution; None if it has none."""
        if not self.has_test_images:
            return None
        assert self.description.images is not None
        sheet = self.description.images.test
        labels = np.array(json.loads(self._checked(str(sheet.labels)).read_text("utf-8")), dtype=np.int64)
        if labels.shape != (sheet.count,):
            raise DamagedBundleError(f"{sheet.labels} does not hold {sheet.count} labels.", _FIX)
        return TestSet(self._tiles(sheet, resolution), labels)

    def _tiles(self, sheet: Sheet, resolution: int) -> NDArray[np.float32]:
        assert self.description.images is not None
        tiles = cut_tiles(self._checked(sheet.file), self.description.images.tile, sheet.count)
        return self.preprocessing.apply(tiles, resolution)

    def architecture(self, text: str) -> Architecture:
        """Reads an architecture of this bundle's space from its text form."""
        return self.space.parse(text)

    @property
    def _own_folder(self) -> Path:
        return user_folder(self.name)

    def _checked(self, name: str) -> Path:
        record, path = self._content["files"].get(name), self.folder / name
        if record is None or Path(name).name != name:
            raise DamagedBundleError(f"Bundle {self.name} does not list {name}.", _FIX)
        if not path.is_file() or path.stat().st_size != record["bytes"] or sha256(path) != record["sha256"]:
            if only_line_ends_differ(path, record["sha256"]):
                raise DamagedBundleError(f"{line_ends_advice(self.folder, [name])}.", _FIX)
            raise DamagedBundleError(f"{path} is missing or does not have the recorded hash.", _FIX)
        return path


def _content(text: bytes) -> dict[str, Any]:
    """Reads and validates a bundle.json."""
    if is_shipped("bundles", text):
        content: dict[str, Any] = json.loads(text)
        return content
    from nagsdk.bundle.description import Description

    return Description.model_validate_json(text).model_dump()


_FIX = "Install nagsdk again, or get the bundle again from its source."


def bundle_names() -> list[str]:
    """Names of the shipped bundles."""
    return sorted(p.parent.name for p in shipped("bundles").glob(f"*/{DESCRIPTION}"))


def is_path(name: str) -> bool:
    """Whether a bundle is given as the path of its folder; Windows accepts both slashes."""
    return os.sep in name or "/" in name


def load_bundle(name_or_path: str | Path | Bundle = DEFAULT) -> Bundle:
    """Opens a bundle.

    Args:
        name_or_path: Name of a shipped bundle, or a folder that holds a bundle.json; a bundle is returned as it is.

    Raises:
        UnknownNameError: There is no such bundle.
        DamagedBundleError: Its description is damaged or not valid.
    """
    if isinstance(name_or_path, Bundle):
        return name_or_path
    if not isinstance(name_or_path, (str, Path)):
        raise UsageError(f"{name_or_path!r} is not a bundle.", f"Name one of {', '.join(bundle_names())}, or a folder.")
    path, name = Path(name_or_path), str(name_or_path)
    if (path / DESCRIPTION).is_file():
        return Bundle(path)
    if name in bundle_names():
        return Bundle(shipped("bundles") / name)
    valid = f"Name a folder with a {DESCRIPTION}, as 'nagsdk train' writes it, or one of {', '.join(bundle_names())}."
    if path.is_dir():
        raise UnknownNameError(f"The folder {name} is not a bundle: it has no {DESCRIPTION}.", valid)
    if is_path(name):
        raise UnknownNameError(f"There is no folder {name}.", valid)
    unknown = UnknownNameError.among("bundle", name, bundle_names())
    raise UnknownNameError(unknown.message, f"{unknown.next_step} The folder of a bundle is allowed, too.")


def bundle_at_hand(name_or_path: str | Path) -> Bundle | None:
    """Like `load_bundle`, but returns None if there is no such bundle.

    Raises:
        DamagedBundleError: Its description is damaged or not valid.
    """
    try:
        return load_bundle(name_or_path)
    except UnknownNameError:
        return None
