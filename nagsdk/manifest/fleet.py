"""What `nagsdk fleet` found: fleet.json, and the output of the command."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class FleetModel:
    """One of the chosen models.

    Attributes:
        name: Its name in the selector, and the name of its folder.
        architecture: The architecture in its text form.
        top1: Predicted top-1 in per cent.
        macs: Multiply-accumulates of one inference.
        share: Share of the users who take it, in per cent.
        folders: Folders of its files below that of the fleet, by the backend that runs them; empty if none was written.
    """

    name: str
    architecture: str
    top1: float
    macs: int
    share: float
    folders: dict[str, str]


@dataclass(frozen=True)
class FleetDevice:
    """A kind of device, and the model that it takes.

    Attributes:
        title: Name for people.
        share: Share of the users in per cent.
        model: Name of the model.
        latency_ms: Predicted latency of the model at the percentile of the budget.
        latency_upper_ms: Its upper bound at a confidence of 0.9.
        limit_ms: What the budget allows.
        chance: Probability that the device holds the budget; 0 where it is less than one half.
        source: ``calibration`` or ``prior``.
    """

    title: str
    share: float
    model: str
    latency_ms: float
    latency_upper_ms: float
    limit_ms: float
    chance: float
    source: str


@dataclass(frozen=True)
class FleetSize:
    """What a number of models gives at best.

    Attributes:
        models: Number of models.
        top1: Mean top-1 over the population in per cent.
        held: Expected share of users whose budget holds, in per cent.
        architectures: The models, the most accurate first.
        gap: Relative distance to what may be possible at best; 0 means that the solver proved the optimum.
        seconds: Time that the solver took.
    """

    models: int
    top1: float
    held: float
    architectures: list[str]
    gap: float
    seconds: float


@dataclass(frozen=True)
class FleetSelector:
    """What phones pick by chip and benchmark.

    Attributes:
        benchmark: Name of the model that a phone times at its first start.
        confidence: How sure a phone must be that it holds the budget with a model.
        held: Expected share of users whose budget holds, in per cent.
        top1: Expected mean top-1 in per cent.
        bytes: Size of selector.json.
        left_out: Number of chips that found no room in it.
    """

    benchmark: str
    confidence: float
    held: float
    top1: float
    bytes: int
    left_out: int


@dataclass(frozen=True)
class Fleet:
    """The models for a population.

    Attributes:
        bundle: Name of the bundle.
        budget: The budget.
        share: Share of the users for whom it was promised, in per cent.
        candidates: Number of architectures that the models were chosen from.
        models: The chosen models, the most accurate first.
        sizes: What one, two and more models give.
        devices: The devices of the population.
        selector: What phones pick.
        warnings: What to know about these figures.
        folder: Folder of the files; None if none were written.
    """

    bundle: str
    budget: str
    share: float
    candidates: int
    models: list[FleetModel]
    sizes: list[FleetSize]
    devices: list[FleetDevice]
    selector: FleetSelector
    warnings: list[str]
    folder: str | None

    @property
    def chosen(self) -> FleetSize:
        """What the chosen models give."""
        return next(size for size in self.sizes if len(size.architectures) == len(self.models))

    def to_dict(self) -> dict[str, Any]:
        """What `nagsdk fleet --json` prints, and fleet.json holds."""
        return asdict(self)
