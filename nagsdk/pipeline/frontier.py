"""The frontier of a target: the best accuracy for every budget, as rows and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nagsdk.budget import LATENCY, MACS, SIZE, Unit
from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import Floats
from nagsdk.errors import InfeasibleError
from nagsdk.events import Notice
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategy import Strategy
from nagsdk.pipeline.describe import prior_warnings
from nagsdk.pipeline.models import question, require_cost_model
from nagsdk.pipeline.target import Target
from nagsdk.reports.picture import check, save
from nagsdk.space.space import Codes, SearchSpace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABELS = {MACS: "10⁶ multiply-accumulates", SIZE: "file size in MB"}
_SOURCES = {
    "calibration": "predicted by its calibration",
    "prior": "from a shipped prior: the device was not calibrated",
}


@dataclass(frozen=True)
class Frontier:
    """What strategies answer to the same budgets, from the cheapest to the most expensive architecture.

    Attributes:
        space: Search space of the architectures.
        title: Bundle and device, for people.
        metric: What the budgets limit: ``latency`` (predicted mean, ms), ``size`` (bytes), ``macs`` or one of a plugin.
        limits: The budgets, ascending, shape (n,).
        codes: Picks of every strategy, by its id, int8, shape (n, decisions).
        cost: Their costs, shape (n,).
        top1: Their predicted top-1 in per cent, shape (n,).
        unit: What the metric is shown in: its name and its factor to the metric's own unit.
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
        """One row for every strategy and budget, JSON-ready: strategy, limit, architecture, cost, predicted_top1, units."""
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
        """Draws accuracy over cost, and what the first strategy's architectures look like; needs the extra ``report``.

        Args:
            path: File that ends in .svg, .png or .pdf; where None, the picture is only returned, as notebooks show it.

        Returns:
            The matplotlib figure.

        Raises:
            UsageError: The picture cannot be drawn: another suffix, or matplotlib is not installed.
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
        return f"Frontier({self.title}: {self.metric}, {len(self)} budgets, {', '.join(self.codes)})"


def frontier_of(
    target: Target,
    metric: str,
    strategies: Sequence[Strategy],
    points: int,
    resolution: int | None = None,
    seed: int = 0,
) -> Frontier:
    """Asks strategies for equidistant budgets over the whole range; each budget gets the best answer to it or to a smaller one.

    Raises:
        InfeasibleError: The backend supports no architecture.
        DeviceUnavailableError: Nothing is known of the device's latencies.
    """
    model = require_cost_model(target) if metric == LATENCY else None
    for told in [] if model is None else prior_warnings(model, target.device.id):
        target.on_event(Notice(told, warning=True))
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
    top1 = {name: np.asarray(predictor.predict(codes).mean) for name, codes in picks.items()}
    for name, values in top1.items():
        # What was the answer to a smaller budget holds a larger one as well.
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

    name_of_unit, unit = found.unit
    label = _LABELS.get(found.metric, f"{found.metric} in {name_of_unit}")
    first = next(iter(found.codes))
    architectures = found.space.decode(found.codes[first])
    told = [found.space.panels(a) for a in architectures]
    titles = list(told[0])
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
        for line in told[0][title]:
            panels[title].plot(found.limits / unit, [one[title][line] for one in told], linewidth=1, label=line)
        panels[title].set(xlabel=f"budget: {label}", ylabel=title)
    for title in titles[:1]:
        panels[title].legend(fontsize="small")
    return figure
