"""What decides the outcome of a training, and whether it was done before; needs no torch, so that mistakes are told at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nagsdk.bundle.bundle import DESCRIPTION, Bundle
from nagsdk.errors import UsageError
from nagsdk.families import DEFAULT_FAMILY, preset, preset_names, space_from_dict
from nagsdk.families.space import NetworkSpace
from nagsdk.space.space import extremes

MADE_BY = "nagsdk train"
_MOST_SPACE_FILE = 10**6


@dataclass(frozen=True)
class Plan:
    """What decides the outcome of a run; a run that was killed goes on only under the same.

    Attributes:
        images: Fingerprint of the folder of images.
        space: Definition of the search space.
        init: Where the first weights come from.
        recipe: ``sandwich`` or ``shrinking``.
        epochs: Over the training images.
        batch: Images per step, of all processes together.
        subnets: Measured for the accuracy predictor.
        flip: Whether training mirrors images.
        seed: Of everything random.
    """

    images: str
    space: dict[str, Any]
    init: str
    recipe: str
    epochs: int
    batch: int
    subnets: int
    flip: bool
    seed: int

    def differing(self, known: Mapping[str, Any]) -> list[str]:
        """Names of the settings that another plan, as it stands in JSON, has otherwise."""
        wanted = json.loads(json.dumps(asdict(self)))
        return [key for key in wanted if known.get(key) != wanted[key]]


def space_of(name: str, classes: int) -> NetworkSpace:
    """A search space by its name, or from a JSON file like the entry ``space`` of a bundle.json.

    Raises:
        UsageError: There is neither such a name nor such a file, or the file is wrong.
    """
    if name in preset_names():
        return preset(name).with_classes(classes)
    path = Path(name)
    try:
        if path.suffix != ".json" or path.stat().st_size > _MOST_SPACE_FILE:
            raise ValueError("it is no JSON file of less than a megabyte")
        space = space_from_dict({"family": DEFAULT_FAMILY, **json.loads(path.read_text("utf-8")), "classes": classes})
        # Widths that make no network fail here, and not in the middle of a training.
        space.supernet()
        [space.macs(a) for a in space.decode(extremes(space))]
        return space
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise UsageError(
            f"{name!r} is no search space: {error}.", f"Give {', '.join(preset_names())}, or a JSON file."
        ) from error


def finished(folder: Path, plan: Plan) -> Bundle | None:
    """The bundle that a training left in its output folder, where it did.

    Args:
        folder: The output.
        plan: Of the training that is asked for.

    Raises:
        UsageError: The bundle there is of another training, which must not be lost.
        DamagedBundleError: It cannot be read.
    """
    if not (folder / DESCRIPTION).is_file():
        return None
    bundle = Bundle(folder)
    facts = bundle.description.provenance
    if facts.get("made_by") != MADE_BY:
        raise UsageError(f"{folder} holds a bundle that was not trained here.", "Name another folder with --output.")
    differing = plan.differing(
        {**facts["plan"], "images": facts["images"]["fingerprint"], "space": bundle.description.space}
    )
    if differing:
        raise UsageError(
            f"{folder} holds a finished bundle of other settings ({', '.join(differing)}).",
            f"Name another folder with --output, or delete {folder} and {folder}.work to train it anew.",
        )
    return bundle
