"""The frontier of a target: the best accuracy for every budget, as rows and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nagsdk.budget import LATENCY, MACS, SIZE, Unit
from nagsdk.common.wording import counted
from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import Floats
from nagsdk.errors import InfeasibleError
from nagsdk.events import Notice
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategy import Strategy
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
        source: Where latencies come from, ``prior`` or ``calibration``; None for other metrics.
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

    def rows(self) -> list[dict[str, Any]]:
        """One row for every strategy and budget, ready for JSON.

        Returns:
            Dictionaries with the keys strategy, limit, architecture, cost, predicted_top1, unit and unit_factor.
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
            }
            for name, codes in self.codes.items()
            for limit, a, cost, top1 in zip(
                self.limits.tolist(),
                self.space.decode(codes),
                self.cost[name].tolist(),
                self.top1[name].tolist(),
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

    Each budget gets the best answer to itself or to a smaller budget.

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
    model = require_cost_model(target) if metric == LATENCY else None
    for warning in [] if model is None else notes_on(target.bundle, model, target.device):
        target.on_event(Notice(warning, warning=True))
    table = target.costs.table(metric, model, resolution)
    bounds, predictor = Completions.of(target.bundle.space, table), target.bundle.predictor
    if not np.isfinite(bounds.least):
        raise InfeasibleError(
            f"{target.device.id} runs no architecture of {target.bundle.name}.", "Use another bundle or device."
        )
    limits = np.linspace(bounds.least, bounds.most, points)
    picks: dict[str, Codes] = {}
    for strategy in strategies:
        codes = strategy.propose(question(target, [table], limits, seed))
        picks[strategy.id] = codes[np.arange(points), choose(predictor, codes)[:, 0]]
    top1 = {name: np.asarray(predictor.of_chosen(codes).mean) for name, codes in picks.items()}
    for name, values in top1.items():
        # An architecture that holds a smaller budget holds a larger one as well.
        best = np.maximum.accumulate(np.where(values >= np.maximum.accumulate(values), np.arange(points), 0))
        picks[name], top1[name] = picks[name][best], values[best]
    cost = {name: table.cost(codes) for name, codes in picks.items()}
    title = f"{target.bundle.name} on {target.device.id}"
    return Frontier(
        target.bundle.space,
        title,
        metric,
        limits,
        picks,
        cost,
        top1,
        target.costs.unit(metric),
        None if model is None else model.source,
    )


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
    for name in found.codes:
        order = np.argsort(found.cost[name], kind="stable")
        panels["frontier"].plot(
            found.cost[name][order] / unit, found.top1[name][order], marker=".", linewidth=1, label=name
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
