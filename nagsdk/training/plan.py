"""Settings that determine the result of a training, and checks whether it was done before.

Needs no torch, so that mistakes are reported immediately.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nagsdk.bundle.bundle import Bundle
from nagsdk.bundle.names import DESCRIPTION
from nagsdk.common.reading import read_json
from nagsdk.errors import UsageError
from nagsdk.families import DEFAULT_FAMILY, finished_names, finished_network, preset, preset_names, space_from_dict
from nagsdk.families.finished import FinishedNetwork
from nagsdk.families.space import NetworkSpace
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.space.space import SearchSpace, extremes

MADE_BY = "nagsdk train"
# Images are cropped, and fewer are kept in bundles, from this resolution on.
LARGE = 128
PLAN = "plan.json"  # in the folder of unfinished work
DEFAULT_EPOCHS, DEFAULT_BATCH, DEFAULT_SUBNETS = 60, 64, 300
MOST_PLAN = _MOST_SPACE_FILE = 10**6


@dataclass(frozen=True)
class Plan:
    """Settings that determine the result of a run; a killed run is resumed only with the same settings.

    Attributes:
        images: Fingerprint of the folder of images.
        space: Definition of the search space.
        init: Source of the initial weights.
        recipe: Training recipe, ``sandwich`` or ``shrinking``.
        epochs: Number of epochs over the training images; None if the time decides.
        batch: Number of images per step, over all processes; None if the schedule decides.
        subnets: Number of subnets measured for the accuracy predictor; None if the schedule decides.
        flip: Whether training mirrors images.
        seed: Seed of all random choices.
        group_by: Pattern by which images are grouped.
        balance: Whether training shows images of rare classes more often; None if not.
        minutes: The time of the whole training; None if epochs decide.
    """

    images: str
    space: dict[str, Any]
    init: str
    recipe: str
    epochs: int | None
    batch: int | None
    subnets: int | None
    flip: bool
    seed: int
    group_by: str | None = None
    balance: bool | None = None
    minutes: float | None = None

    def differing(self, known: Mapping[str, Any]) -> list[str]:
        """Returns the names of the settings that differ from another plan, given in its JSON form."""
        wanted = json.loads(json.dumps(asdict(self)))
        return [key for key in wanted if known.get(key) != wanted[key]]


def space_of(name: str, classes: int) -> NetworkSpace:
    """Returns a search space by its name, or from a JSON file with the form of the entry ``space`` of a bundle.json.

    Raises:
        UsageError: There is no space with this name and no such file, or the file is invalid.
    """
    if name in preset_names():
        return preset(name).with_classes(classes)
    path = Path(name)
    try:
        if path.suffix != ".json":
            raise ValueError("its name does not end in .json")
        given = read_json(path, _MOST_SPACE_FILE)
        space = space_from_dict({"family": DEFAULT_FAMILY, **given, "classes": classes})
        # Widths from which no network can be built fail here, and not in the middle of a training.
        space.supernet()
        [space.macs(a) for a in space.decode(extremes(space))]
        return space
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise UsageError(
            f"{name!r} is not a search space: {error}.", f"Give {', '.join(preset_names())}, or a JSON file."
        ) from error


def start_of(init: str) -> FinishedNetwork | None:
    """Returns the finished network that a training starts from; None if it starts from something else.

    Args:
        init: Initial weights; see `nagsdk.training.start.first_weights`.
    """
    return None if init in ("none", "ofa") or init not in finished_names() else finished_network(init)


def preprocessing_of(space: SearchSpace, init: str) -> Preprocessing:
    """Returns the preprocessing of a new bundle, without cropping for low resolutions.

    Args:
        space: Its space.
        init: Initial weights. Pixels are normalised as the finished network expects them, else as usual for ImageNet.
    """
    network = start_of(init)
    usual = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    mean, std = usual if network is None else (network.mean, network.std)
    return Preprocessing(mean, std, 0.875 if max(space.resolutions) >= LARGE else 1.0)


def finished(folder: Path, plan: Plan) -> Bundle | None:
    """Returns the finished bundle of a training, or None if it is not finished.

    Args:
        folder: Output folder of the training.
        plan: Settings of the requested training.

    Raises:
        UsageError: The folder contains the bundle of another training, which must not be lost.
        DamagedBundleError: The bundle cannot be read.
    """
    if not (folder / DESCRIPTION).is_file():
        return None
    bundle = Bundle(folder)
    facts = bundle.description.provenance
    if facts.get("made_by") != MADE_BY:
        raise UsageError(
            f"{folder} contains a bundle that nagsdk train did not make.", "Give another folder with --output."
        )
    differing = plan.differing(
        # The space of a bundle that was trained in a given time may lack resolutions of the one that was asked for.
        {"space": bundle.description.space, **facts["plan"], "images": facts["images"]["fingerprint"]}
    )
    if differing:
        raise UsageError(
            f"{folder} contains a finished bundle with other settings ({', '.join(differing)}).",
            f"Give another folder with --output, or delete {folder} and {folder}.work to train it again.",
        )
    return bundle
