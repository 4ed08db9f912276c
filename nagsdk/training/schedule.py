"""How much of everything a training does.

Needs no torch. A schedule is made once, from speeds measured on this machine, and kept in the work folder: a run that
was killed goes on with the same steps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from nagsdk.families.space import NetworkSpace
from nagsdk.predictor.losses import SUBNETS
from nagsdk.supernet.recipe import TrainRecipe

# Below this number of images for training and validation, choices would rest on some dozens of images.
SMALL = 1000
# Minutes of a training of so few images if no other length is given.
DEFAULT_MINUTES = 15.0
_RATE_BATCH, _LEARNT = 64, 0.25
# Images for batch normalisation; few make it noisier, many take longer than the measuring itself.
_LARGE, _RECALIBRATION = 128, {True: 512, False: 1024}
# One network is measured once in float32 and by three schemes rounded, which takes 1.4 times as long each.
PASSES = 5
PARTS = ("training", "measuring", "predictor", "generator")


@dataclass(frozen=True)
class Pace:
    """Seconds of the parts of the work on this machine, at the resolutions of the whole space.

    Attributes:
        alone: One image in a step that trains the largest network alone.
        smallest: One image in a step that trains the smallest network alone, at the lowest and the highest resolution
            in turn.
        together: One image in a step that trains several.
        update: Updating the weights and their running average, once per step.
        forward: One image through the largest network.
        subnet: One image through a random subnet.
        cut: Cutting out a subnet.
        fit: Fitting the accuracy predictor, by the number of measured subnets.
        generator: Training the generator as long as usual.
    """

    alone: float
    smallest: float
    together: float
    update: float
    forward: float
    subnet: float
    cut: float
    fit: Mapping[int, float]
    generator: float


@dataclass(frozen=True)
class Beside:
    """Numbers of subnets that are measured beside those of the accuracy predictor.

    Attributes:
        footing: Those on the test images: near the frontier, and anywhere.
        losses: Those in int8.
    """

    footing: tuple[int, int]
    losses: int


# Where few subnets are measured for the predictor, others are not measured at greater length.
BESIDE, BESIDE_FEW, FEW_SUBNETS = Beside((24, 12), SUBNETS), Beside((12, 6), 8), 100


@dataclass(frozen=True)
class Counts:
    """Numbers of images: for training, for validation, and for the test."""

    train: int
    val: int
    test: int


@dataclass(frozen=True)
class Schedule:
    """How much of everything a training does.

    Attributes:
        minutes: The time that it was planned for; None if it was planned by epochs.
        batch: Number of images per step, over all processes.
        resolutions: The resolutions of the space that are trained; the others are left out of the bundle's space.
        narrowed: Whether the smallest of the other choices are left out too; see `NetworkSpace.narrowed`.
        held_out: Number of training images that the first passes leave out, so that choices rest on more than the
            validation images. The last pass trains on them too.
        recipes: Recipes of the passes, in order.
        subnets: Number of subnets measured for the accuracy predictor.
        footing: Number of subnets measured on the test images: near the frontier, and anywhere.
        losses: Number of subnets whose loss in int8 is measured.
        recalibration: Most images that batch normalisation is recalibrated on.
        generator: Length of the generator's training as a share of the usual one; 0 trains none.
        seconds: Estimated seconds of each part.
        passes_s: Estimated seconds of each pass, until the later ones are adjusted to the first one; empty after that,
            and if epochs decide. See `nagsdk.training.adjust`.
        memory_bytes: Estimated memory of a step of training, rather too much.
        enough: Whether the images are seen as often as a useful training needs.
    """

    minutes: float | None
    batch: int
    resolutions: tuple[int, ...]
    narrowed: bool
    held_out: int
    recipes: tuple[TrainRecipe, ...]
    subnets: int
    footing: tuple[int, int]
    losses: int
    recalibration: int
    generator: float
    seconds: Mapping[str, float]
    passes_s: tuple[float, ...] = ()
    memory_bytes: int = 0
    enough: bool = True

    @property
    def steps(self) -> int:
        """Number of steps of all passes together."""
        return sum(recipe.steps for recipe in self.recipes)

    @property
    def total_s(self) -> float:
        """Estimated seconds of the whole run."""
        return sum(self.seconds.values())

    def of(self, space: NetworkSpace) -> NetworkSpace:
        """The space of the bundle: what of a space is trained."""
        kept = space.narrowed() if self.narrowed else space
        return kept.with_resolutions(self.resolutions)

    def to_dict(self) -> dict[str, Any]:
        """Returns the schedule as it is kept, JSON-ready."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found

    @classmethod
    def from_dict(cls, known: Any) -> Schedule:
        """Rebuilds a schedule from the result of `to_dict`.

        Raises:
            ValueError: It is not one.
        """
        try:
            values = {field.name: known[field.name] for field in fields(cls)}
            recipes = tuple(TrainRecipe(**recipe) for recipe in values.pop("recipes"))
            resolutions = tuple(int(side) for side in values.pop("resolutions"))
            near, anywhere = values.pop("footing")
            passes_s = tuple(float(seconds) for seconds in values.pop("passes_s"))
            return cls(
                **values,
                recipes=recipes,
                resolutions=resolutions,
                footing=(int(near), int(anywhere)),
                passes_s=passes_s,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"it holds no schedule ({error})") from error


def most_recalibration(resolutions: Sequence[int]) -> int:
    """Most images that batch normalisation is recalibrated on if there is time."""
    return _RECALIBRATION[max(resolutions) >= _LARGE]


def rate_of(peak: float, batch: int, learnt: bool) -> float:
    """The peak learning rate for a batch.

    Args:
        peak: That of the space; see `NetworkSpace.peak_rate`.
        batch: Number of images per step, over all processes.
        learnt: Whether the weights come from an earlier training.
    """
    return peak * math.sqrt(batch / _RATE_BATCH) * (_LEARNT if learnt else 1)
