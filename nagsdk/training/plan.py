"""What decides the outcome of a training, and whether it was done before; needs no torch, so that mistakes are told at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from nagsdk.bundle.bundle import DESCRIPTION, Bundle
from nagsdk.errors import UsageError
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space, ofa_mobilenet_v3, small_mobilenet_v3
from nagsdk.space.space import extremes

SPACES = {"mobilenetv3": ofa_mobilenet_v3, "small": small_mobilenet_v3}
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


def space_of(name: str, classes: int) -> MobileNetV3Space:
    """A search space by its name, or from a JSON file like the entry ``space`` of a bundle.json.

    Raises:
        UsageError: There is neither such a name nor such a file.
    """
    if name in SPACES:
        return replace(SPACES[name](), classes=classes)
    path = Path(name)
    try:
        if path.suffix != ".json" or path.stat().st_size > _MOST_SPACE_FILE:
            raise ValueError("it is no JSON file of less than a megabyte")
        definition = {**json.loads(path.read_text("utf-8")), "classes": classes}
        required = {field.name: field.default is MISSING for field in fields(MobileNetV3Space)}
        if unknown := sorted(definition.keys() - required.keys() - {"family"}):
            raise ValueError(f"{', '.join(unknown)}: not in the definition of a space, which stands under space in a bundle.json")
        if missing := [name for name, needed in required.items() if needed and name not in definition]:
            raise ValueError(f"it lacks {', '.join(missing)}")
        space = MobileNetV3Space.from_dict(definition)
        from nagsdk.families.mobilenet_v3.supernet import Supernet

        # Widths that make no network fail here, and not in the middle of a training.
        Supernet(space)
        [space.macs(a) for a in space.decode(extremes(space))]
        return space
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise UsageError(f"{name!r} is no search space: {error}.", f"Give {', '.join(SPACES)}, or a JSON file.") from error


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
    differing = plan.differing({**facts["plan"], "images": facts["images"]["fingerprint"], "space": bundle.description.space})
    if differing:
        raise UsageError(
            f"{folder} holds a finished bundle of other settings ({', '.join(differing)}).",
            f"Name another folder with --output, or delete {folder} and {folder}.work to train it anew.",
        )
    return bundle
