"""Opens bundles: folders with a search space, its supernet's weights, an accuracy predictor and related data."""

from __future__ import annotations

import hashlib
import os
import warnings
from dataclasses import dataclass
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.bundle.files import FIX, BundleFiles, class_indices, class_names
from nagsdk.bundle.imported import imported_folder, no_weights
from nagsdk.bundle.names import DESCRIPTION, as_path, bundle_names, is_path
from nagsdk.bundle.weights import BundleWeights
from nagsdk.common.folders import is_shipped, shipped
from nagsdk.common.reading import json_of, read_bytes
from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import BundleError, DamagedBundleError, ImagesMissingError, UnknownNameError, UsageError
from nagsdk.events import Listener, heard_by, ignore
from nagsdk.families import space_from_dict
from nagsdk.images.preprocessing import Preprocessing, read_folder
from nagsdk.images.sheets import read_sheet
from nagsdk.space.architecture import Architecture

if TYPE_CHECKING:
    from nagsdk.bundle.description import Description, Sheet
    from nagsdk.families.packaged import PackagedWeights
    from nagsdk.families.protocol import Subnet, Supernet
    from nagsdk.predictor.model import AccuracyPredictor

DEFAULT = "glyphs"
GENERATOR, LABELS = "generator.safetensors", "labels.txt"
RECALIBRATION_IMAGES = 512
_NO_IMAGES = (
    "Bundle {} has no images to recalibrate batch normalisation on, and without that a subnet is almost useless."
)
_NO_RANGES = "Bundle {} has no images to take the ranges of integers from."
_MOST_DESCRIPTION, _MOST_TEXT, _MOST_SHEET = 10**6, 32 * 10**6, 256 * 10**6


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
    """A read-only bundle; files are checked against their hashes, and validated, when they are first read.

    Args:
        folder: Folder that holds the bundle.json.

    Attributes:
        is_shipped: Whether it is a bundle that ships with nagsdk, or an exact copy.
        hash: SHA-256 of the bundle.json, which identifies the bundle with all its files.
        files: The files that it lists.
        footing: The images that top-1 is about, if it says so; see `nagsdk.bundle.description.Footing`.

    Raises:
        DamagedBundleError: The description is damaged or not valid, or its family of networks is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / DESCRIPTION
        try:
            text = read_bytes(path, _MOST_DESCRIPTION)
            self.is_shipped = is_shipped("bundles", text)
            self.hash = hashlib.sha256(text).hexdigest()
            self._content: dict[str, Any] = json_of(text)
            if not self.is_shipped:
                self._content = self.description.model_dump()
            self.space = space_from_dict(self._content["space"])
            if not self.is_shipped:
                self.description.check_images(self.space.resolutions)
        except UnknownNameError as error:
            raise DamagedBundleError(
                f"The bundle in {folder} cannot be used: {error.message}", error.next_step
            ) from error
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise DamagedBundleError(
                f"{path} is not a valid description of a bundle: {what_is_wrong(error)}.", FIX
            ) from error
        self.files = BundleFiles(folder, self._content["files"])
        self.footing: dict[str, Any] | None = self._content.get("footing")

    def __repr__(self) -> str:
        low, high = self.space.resolutions[0], self.space.resolutions[-1]
        return f"Bundle({self.name!r}, {self.space.family}, {low} to {high} px)"

    @property
    def name(self) -> str:
        """The name that the bundle gives itself; others may have the same."""
        return str(self._content["name"])

    @property
    def argument(self) -> str:
        """How the bundle is named on the command line."""
        return self.name if self.is_shipped else as_path(self.folder)

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
        if LABELS not in self.files:
            return None
        return self.files.parsed(LABELS, _MOST_TEXT, partial(class_names, classes=self.space.classes))

    @property
    def has_predictor(self) -> bool:
        """Whether the bundle has an accuracy predictor."""
        return "predictor.json" in self.files

    def require_predictor(self) -> None:
        """Raises an error if the bundle has no accuracy predictor.

        Raises:
            BundleError: It has none; the error names the commands that work without one.
        """
        if not self.has_predictor:
            raise BundleError(
                f"Nothing is known about the accuracy of architectures of {self.name}: it has no accuracy predictor.",
                f"Fit one to subnets measured on your images: nagsdk predictor fit FOLDER --bundle {self.argument} "
                "--output NEW. Or use another bundle; 'nagsdk predict', 'profile', 'calibrate' and 'export' need none.",
            )

    @cached_property
    def predictor(self) -> AccuracyPredictor:
        """The accuracy predictor, of the top-1 on the images that deployments are measured on (`Footing`).

        Raises:
            BundleError: See `require_predictor`.
        """
        from nagsdk.predictor.model import AccuracyPredictor

        self.require_predictor()
        for name in ("predictor.safetensors", "predictor.json"):
            self.files.read(name)
        known = self.footing or {}
        loaded = AccuracyPredictor.load(self.folder, self.space)
        return loaded.moved(known.get("offset", 0.0), known.get("half_width", 0.0))

    @cached_property
    def generator_file(self) -> Path | None:
        """The file of the trained generator, if the bundle has one."""
        if GENERATOR not in self.files:
            return None
        self.files.read(GENERATOR)
        return self.folder / GENERATOR

    @cached_property
    def _weights(self) -> BundleWeights:
        return BundleWeights(self.space, self.files, self.weights_folder, self.argument)

    @property
    def has_weights(self) -> bool:
        """Whether the weights are on this machine."""
        return self._weights.are_here

    @property
    def finished(self) -> tuple[PackagedWeights, ...]:
        """The weights of the finished networks of which it consists; empty if it has a supernet."""
        return self._weights.finished

    @property
    def weights_folder(self) -> Path:
        """Folder of the weights that the user fetched or imported for this bundle, and for no other."""
        return imported_folder(self.name if self.is_shipped else f"sha256-{self.hash}")

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
        self._weights.require(partial(no_weights, self.name, self.argument, self.space))

    @property
    def weights_sha256(self) -> str:
        """Hash of the supernet's weight file, or of the hashes of all finished networks."""
        self.require_weights()
        return self._weights.sha256

    @cached_property
    def supernet(self) -> Supernet:
        """The supernet with its weights, in eval mode.

        Raises:
            WeightsMissingError: See `require_weights`.
            DamagedBundleError: The file does not have its recorded hash, or is not valid.
        """
        self.require_weights()
        return self._weights.supernet()

    def subnet(self, architecture: Architecture, images: NDArray[np.float32] | None = None) -> Subnet:
        """Cuts a stand-alone subnet out of the supernet and recalibrates its batch normalisation.

        Args:
            architecture: An architecture of `space`.
            images: Inputs to recalibrate on, shape (n, 3, r, r); the bundle's own images if None. If the bundle has
                none, a warning is given and the statistics of the supernet stay, which do not fit the subnet. Finished
                networks keep theirs.

        Returns:
            A torch module in eval mode.
        """
        import torch

        from nagsdk.supernet.recalibrate import recalibrate

        subnet = self.supernet.extract(architecture)
        if self.finished:
            return subnet
        if images is None and self.has_images:
            images = self.recalibration_images(architecture.resolution)
        if images is None:
            warnings.warn(
                f"{self.name} has no images: batch normalisation keeps the supernet's statistics.", stacklevel=2
            )
        else:
            recalibrate(subnet, torch.from_numpy(images))
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
                (_NO_RANGES if self.finished else _NO_IMAGES).format(self.name),
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
        parse = partial(class_indices, count=sheet.count, classes=self.space.classes)
        labels = np.array(self.files.parsed(str(sheet.labels), _MOST_TEXT, parse), dtype=np.int64)
        return TestSet(self._tiles(sheet, resolution), labels)

    def _tiles(self, sheet: Sheet, resolution: int) -> NDArray[np.float32]:
        from nagsdk.images.batches import prepare

        assert self.description.images is not None
        side = self.description.images.tile
        tiles = self.files.parsed(sheet.file, _MOST_SHEET, lambda c: read_sheet(BytesIO(c), sheet.count, side))
        return prepare(tiles, resolution, self.preprocessing).contiguous().numpy()

    def architecture(self, text: str) -> Architecture:
        """Reads an architecture of this bundle's space from its text form."""
        return self.space.parse(text)


def load_bundle(name_or_path: str | Path | Bundle = DEFAULT, on_event: Listener = ignore) -> Bundle:
    """Opens a bundle.

    Args:
        name_or_path: Name of a shipped bundle, or a folder that holds a bundle.json: a `Path`, or a text with a
            separator, such as ``./flowers``. A text without one is a name, whatever folders there are.
        on_event: Receives progress. The layers of some families are found when a space of theirs is opened for the
            first time on a machine, which takes up to a minute.

    Raises:
        UnknownNameError: There is no such bundle.
        DamagedBundleError: Its description is damaged or not valid.
    """
    if isinstance(name_or_path, Bundle):
        return name_or_path
    if not isinstance(name_or_path, (str, Path)):
        raise UsageError(f"{name_or_path!r} is not a bundle.", f"Name one of {', '.join(bundle_names())}, or a folder.")
    path, name, known = Path(name_or_path), str(name_or_path), bundle_names()
    beside = os.path.lexists(path / DESCRIPTION)
    if isinstance(name_or_path, Path) or is_path(name):
        if beside:
            with heard_by(on_event):
                return Bundle(path)
        valid = f"Name a folder with a {DESCRIPTION}, as 'nagsdk train' writes it, or one of {', '.join(known)}."
        if os.path.isdir(path):  # noqa: PTH112 — `Path.is_dir` raises an error for long names
            raise UnknownNameError(f"The folder {name} is not a bundle: it has no {DESCRIPTION}.", valid)
        raise UnknownNameError(f"There is no folder {name}.", valid)
    if name in known:
        own = shipped("bundles") / name
        if beside and not path.samefile(own):
            warnings.warn(f"{name} is the shipped bundle; the folder of that name is {as_path(path)}.", stacklevel=2)
        return Bundle(own)
    unknown = UnknownNameError.among("bundle", name, known)
    folder = as_path(path) if beside else as_path(Path("NAME"))
    raise UnknownNameError(unknown.message, f"{unknown.next_step} A folder is given by its path: {folder}")


def bundle_at_hand(name_or_path: str | Path) -> Bundle | None:
    """Like `load_bundle`, but returns None if there is no such bundle.

    Raises:
        DamagedBundleError: Its description is damaged or not valid.
    """
    try:
        return load_bundle(name_or_path)
    except UnknownNameError:
        return None
