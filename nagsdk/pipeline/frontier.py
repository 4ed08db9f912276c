"""The frontier of a target: the best accuracy for every budget, as rows and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nagsdk.budget import LATENCY, MACS, SIZE, Unit
from nagsdk.common.wording import counted
from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.errors import InfeasibleError
from nagsdk.events import Notice
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategy import Strategy
from nagsdk.manifest.result import arm_name
from nagsdk.pipeline.describe import notes_on
from nagsdk.pipeline.models import question, require_cost_model
from nagsdk.pipeline.target import Target
from nagsdk.reports.picture import check, save
from nagsdk.space.space import Codes, SearchSpace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABELS = {MACS: "10⁶ multiply-accumulates", SIZE: "file size in MB"}
_SOURCES = {
    "calibration": "predicted by its calibration",
    "prior": "from a prior: the device was not calibrated",
}


@dataclass(frozen=True, eq=False)  # arrays have no single truth value
class Frontier:
    """The best architecture of every strategy for the same budgets, from the cheapest to the most expensive.

    Attributes:
        space: Search space of the architectures.
        title: Bundle and device, as text to show.
        metric: What the budgets limit: ``latency`` (predicted mean, ms), ``size`` (bytes), ``macs`` or the metric of a
            plugin.
        limits: The budgets in ascending order, shape (n,).
        codes: The architectures that each strategy chose, by the strategy's id; int8, shape (n, decisions).
        cost: The costs of these architectures by strategy, shape (n,).
        top1: Their predicted top-1 in per cent by strategy, shape (n,).
        unit: The unit in which the metric is shown: its name and its factor to the metric's own unit.
        source: Where latencies come from, ``prior`` (also if only some do) or ``calibration``; None for other metrics.
        arms: Precision and number of threads of each answer, by strategy.
    """

    space: SearchSpace
    title: str
    metric: str
    limits: Floats
    codes: Mapping[str, Codes]
    cost: Mapping[str, Floats]
    top1: Mapping[str, Floats]
    unit: Unit
    source: str | None = None
    arms: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """One row for every strategy and budget, ready for JSON.

        Returns:
            Dictionaries with the keys strategy, limit, architecture, cost, predicted_top1, unit, unit_factor, precision
            and threads.
        """
        unit, factor = self.unit
        return [
            {
                "strategy": name,
                "limit": limit,
                "architecture": a.text,
                "cost": cost,
                "predicted_top1": top1,
                "unit": unit,
                "unit_factor": factor,
                "precision": precision,
                "threads": threads,
            }
            for name, codes in self.codes.items()
            for limit, a, cost, top1, (precision, threads) in zip(
                self.limits.tolist(),
                self.space.decode(codes),
                self.cost[name].tolist(),
                self.top1[name].tolist(),
                self.arms[name] if name in self.arms else [(None, None)] * len(codes),
                strict=True,
            )
        ]

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draws accuracy over cost, and how the first strategy's architectures change; needs the extra ``report``.

        Args:
            path: File that ends in .svg, .png or .pdf. If None, the figure is only returned, and a notebook shows it.

        Returns:
            The matplotlib figure.

        Raises:
            UsageError: The file has another suffix, or matplotlib is not installed.
            OutputError: The file cannot be written.
        """
        check(Path("picture.svg") if path is None else Path(path))
        figure = _draw(self)
        if path is not None:
            save(figure, Path(path))
        return figure

    def __len__(self) -> int:
        return len(self.limits)

    def __repr__(self) -> str:
        return f"Frontier({self.title}: {self.metric}, {counted(len(self), 'budget')}, {', '.join(self.codes)})"


def frontier_of(
    target: Target,
    metric: str,
    strategies: Sequence[Strategy],
    points: int,
    resolution: int | None = None,
    seed: int = 0,
) -> Frontier:
    """Asks every strategy for equidistant budgets over the whole range of costs.

    Each budget gets the best answer to itself or to a smaller budget. If the target leaves a choice between precisions
    or numbers of threads, it is the best answer of all of them, and `Frontier.arms` names where it is from.

    Args:
        target: Bundle and device.
        metric: ``latency``, ``size``, ``macs`` or the metric of a plugin.
        strategies: The strategies to compare.
        points: Number of budgets.
        resolution: Pinned input size, if any.
        seed: Seed of all random choices.

    Raises:
        InfeasibleError: The backend supports no architecture.
        DeviceUnavailableError: Nothing is known about the device's latencies.
    """
    arms = [_ArmCosts.of(arm, metric, resolution) for arm in target.arms]
    for warning in dict.fromkeys(warning for arm in arms for warning in arm.warnings):
        target.on_event(Notice(warning, warning=True))
    arms = [arm for arm in arms if np.isfinite(arm.bounds.least)]
    if not arms:
        raise InfeasibleError(
            f"{target.device.id} runs no architecture of {target.bundle.name}.", "Use another bundle or device."
        )
    limits = np.linspace(min(arm.bounds.least for arm in arms), max(arm.bounds.most for arm in arms), points)
    picks: dict[str, Codes] = {}
    top1: dict[str, Floats] = {}
    cost: dict[str, Floats] = {}
    named: dict[str, list[tuple[str, int]]] = {}
    for strategy in strategies:
        answers = [arm.answers(strategy, limits, seed) for arm in arms]
        first = np.argmax([answer.top1 for answer in answers], axis=0)
        values = np.array([answers[arm].top1[number] for number, arm in enumerate(first)])
        # An architecture that holds a smaller budget holds a larger one as well.
        best = np.maximum.accumulate(np.where(values >= np.maximum.accumulate(values), np.arange(points), 0))
        chosen = [(answers[arm], int(number)) for number, arm in zip(best, first[best], strict=True)]
        picks[strategy.id] = np.stack([answer.codes[number] for answer, number in chosen])
        top1[strategy.id], cost[strategy.id] = values[best], np.array([a.cost[number] for a, number in chosen])
        devices = [arms[arm].target.device for arm in first[best]]
        named[strategy.id] = [(device.precision, device.threads) for device in devices]
    sources = {arm.source for arm in arms}
    return Frontier(
        target.bundle.space,
        f"{target.bundle.name} on {target.device.id}",
        metric,
        limits,
        picks,
        cost,
        top1,
        target.costs.unit(metric),
        "prior" if "prior" in sources else sources.pop(),
        named,
    )


@dataclass(frozen=True)
class _Answers:
    """Architectures for limits: their codes, top-1 (-inf where there is none) and cost."""

    codes: Codes
    top1: Floats
    cost: Floats


@dataclass(frozen=True)
class _ArmCosts:
    """What architectures cost on one arm: one precision and number of threads."""

    target: Target
    table: AdditiveTable
    bounds: Completions
    source: str | None
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, target: Target, metric: str, resolution: int | None) -> _ArmCosts:
        model = require_cost_model(target) if metric == LATENCY else None
        table = target.costs.table(metric, model, resolution)
        return cls(
            target,
            table,
            Completions.of(target.bundle.space, table),
            None if model is None else model.source,
            () if model is None else tuple(notes_on(target, model)),
        )

    def answers(self, strategy: Strategy, limits: Floats, seed: int) -> _Answers:
        """The answers of a strategy; of limits that no architecture holds there are none."""
        predictor, held = self.target.bundle.predictor, limits >= self.bounds.least
        proposed = strategy.propose(question(self.target, [self.table], limits[held], seed))
        picked = proposed[np.arange(len(proposed)), choose(predictor, proposed)[:, 0]]
        codes = np.full((len(limits), picked.shape[1]), -1, np.int8)
        top1, cost = np.full(len(limits), -np.inf), np.full(len(limits), np.inf)
        codes[held], cost[held] = picked, self.table.cost(picked)
        top1[held] = np.clip(np.asarray(predictor.of_chosen(picked).mean) - self.target.loss, 0, 100)
        return _Answers(codes, top1, cost)


def _draw(found: Frontier) -> Figure:
    from matplotlib.figure import Figure

    unit_name, unit = found.unit
    label = _LABELS.get(found.metric, f"{found.metric} in {unit_name}")
    first = next(iter(found.codes))
    architectures = found.space.decode(found.codes[first])
    choices = [found.space.panels(a) for a in architectures]
    titles = list(choices[0])
    below = ["resolution", *titles]
    figure = Figure(figsize=(11, 11), layout="constrained")
    rows: list[Any] = [
        ["frontier"] * 2,
        *([name, below[min(n + 1, len(below) - 1)]] for n, name in enumerate(below) if n % 2 == 0),
    ]
    panels = figure.subplot_mosaic(rows, height_ratios=(2, *[1] * (len(rows) - 1)))
    figure.suptitle(
        found.title if found.source is None else f"{found.title}; latencies {_SOURCES.get(found.source, found.source)}"
    )
    arms = list(dict.fromkeys(arm for listed in found.arms.values() for arm in listed))
    for name in found.codes:
        order = np.argsort(found.cost[name], kind="stable")
        panels["frontier"].plot(
            found.cost[name][order] / unit, found.top1[name][order], marker=".", linewidth=1, label=name
        )
        for arm in arms if len(arms) > 1 else []:
            own = np.array([one == arm for one in found.arms[name]])
            panels["frontier"].scatter(
                found.cost[name][own] / unit, found.top1[name][own], label=f"{name}: {arm_name(*arm)}"
            )
    panels["frontier"].set(xlabel=label, ylabel="predicted top-1 in %")
    panels["frontier"].legend()
    panels["resolution"].step(found.limits / unit, [a.resolution for a in architectures], where="post", color="black")
    panels["resolution"].set(xlabel=f"budget: {label}", ylabel="resolution in px", title=f"architectures of {first}")
    for title in titles:
        for line in choices[0][title]:
            panels[title].plot(found.limits / unit, [one[title][line] for one in choices], linewidth=1, label=line)
        panels[title].set(xlabel=f"budget: {label}", ylabel=title)
    for title in titles[:1]:
        panels[title].legend(fontsize="small")
    return figure
