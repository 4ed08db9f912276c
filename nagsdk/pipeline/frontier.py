"""The frontier as data and as a picture: what strategies reach over the whole range of budgets, and with which architectures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.budget import LATENCY, MACS, SIZE, shown_unit
from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import Floats
from nagsdk.errors import InfeasibleError
from nagsdk.events import Notice
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategy import Strategy
from nagsdk.pipeline.describe import told_of_prior
from nagsdk.pipeline.target import Workbench
from nagsdk.report.picture import save
from nagsdk.space.space import Codes, SearchSpace

_LABELS = {MACS: "10⁶ multiply-accumulates", SIZE: "file size in MB"}
_SOURCES = {"calibration": "predicted by its calibration", "prior": "from a shipped prior: the device was not calibrated"}


@dataclass(frozen=True)
class Curve:
    """What strategies answer to the same budgets.

    Attributes:
        space: Of the architectures.
        metric: What the budgets limit: ``latency`` (predicted mean, ms), ``size`` (bytes), ``macs`` or one of a plugin.
        limits: From the cheapest to the dearest architecture, shape (n,).
        codes: Picks of every strategy, by its id, int8, shape (n, decisions).
        cost: Their costs, shape (n,).
        top1: Their predicted top-1 in per cent, shape (n,).
        source: What latencies come from, ``prior`` or ``calibration``; None for other metrics.
    """

    space: SearchSpace
    metric: str
    limits: Floats
    codes: Mapping[str, Codes]
    cost: Mapping[str, Floats]
    top1: Mapping[str, Floats]
    source: str | None = None

    def to_rows(self) -> list[dict[str, Any]]:
        """JSON-ready: one row for every strategy and budget."""
        return [
            {"strategy": name, "limit": limit, "architecture": a.text, "cost": cost, "predicted_top1": top1}
            for name, codes in self.codes.items()
            for limit, a, cost, top1 in zip(
                self.limits.tolist(), self.space.decode(codes), self.cost[name].tolist(), self.top1[name].tolist(), strict=True
            )
        ]


def curve(
    bench: Workbench, metric: str, strategies: Sequence[Strategy], points: int, resolution: int | None = None, seed: int = 0
) -> Curve:
    """Asks strategies for equidistant budgets over the whole range; each budget gets the best answer to it or to a smaller one.

    Raises:
        InfeasibleError: The backend supports no architecture.
        DeviceUnavailableError: Nothing is known of the device's latencies.
    """
    model = bench.require_cost_model() if metric == LATENCY else None
    for told in [] if model is None else told_of_prior(model, bench.device.id):
        bench.listener(Notice(told, warning=True))
    table = bench.costs.table(metric, model, resolution)
    bounds, predictor = Completions.of(bench.bundle.space, table), bench.bundle.predictor
    if not np.isfinite(bounds.least):
        raise InfeasibleError(f"{bench.device.id} runs no architecture of {bench.bundle.name}.", "Use another bundle or device.")
    limits = np.linspace(bounds.least, bounds.most, points)
    picks: dict[str, Codes] = {}
    for strategy in strategies:
        codes = strategy.propose(bench.question([table], limits, seed))
        picks[strategy.id] = codes[np.arange(points), choose(predictor, codes)[:, 0]]
    top1 = {name: np.asarray(predictor.predict(codes).mean) for name, codes in picks.items()}
    for name, values in top1.items():
        # What was the answer to a smaller budget holds a larger one as well.
        best = np.maximum.accumulate(np.where(values >= np.maximum.accumulate(values), np.arange(points), 0))
        picks[name], top1[name] = picks[name][best], values[best]
    cost = {name: table.cost(codes) for name, codes in picks.items()}
    return Curve(bench.bundle.space, metric, limits, picks, cost, top1, None if model is None else model.source)


def draw(found: Curve, title: str, path: Path) -> None:
    """Draws accuracy over cost, and what the first strategy's architectures look like.

    Args:
        found: What to draw.
        title: Above it all.
        path: A file that `nagsdk.report.picture.check` accepts.

    Raises:
        OutputError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    unit, name_of_unit = shown_unit(found.metric)
    label = _LABELS.get(found.metric, f"{found.metric} in {name_of_unit}")
    first = next(iter(found.codes))
    architectures = found.space.decode(found.codes[first])
    told = [found.space.panels(a) for a in architectures]
    titles = list(told[0])
    below = ["resolution", *titles]
    figure = Figure(figsize=(11, 11), layout="constrained")
    rows: list[Any] = [["frontier"] * 2, *([name, below[min(n + 1, len(below) - 1)]] for n, name in enumerate(below) if n % 2 == 0)]
    panels = figure.subplot_mosaic(rows, height_ratios=(2, *[1] * (len(rows) - 1)))
    figure.suptitle(title if found.source is None else f"{title}; latencies {_SOURCES.get(found.source, found.source)}")
    for name in found.codes:
        order = np.argsort(found.cost[name], kind="stable")
        panels["frontier"].plot(found.cost[name][order] / unit, found.top1[name][order], marker=".", linewidth=1, label=name)
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
    save(figure, path)
