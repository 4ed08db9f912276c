"""Compares strategies on a bundle and a device: equal evaluations, several seeds, judges that steered none of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np

from nagsdk import ranges
from nagsdk.budget import LATENCY
from nagsdk.common.os_errors import naming_os_errors
from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.errors import InfeasibleError, NagsdkError, UsageError
from nagsdk.events import Listener, ignore, stage
from nagsdk.generator.counted import Counted
from nagsdk.generator.frontier import frontier
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategy import Question, Strategy
from nagsdk.pipeline.describe import notes_on
from nagsdk.pipeline.judges import Court, court
from nagsdk.pipeline.models import generator_for, require_cost_model
from nagsdk.pipeline.target import Target, TargetSettings, target_of
from nagsdk.reports import picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nagsdk.generator.generator import Generator

# Every strategy is also run with these shares of the evaluations, for the curves.
_SHARES = (0.1, 0.3, 1.0)
# Random architectures within each budget, whose mean is what everything is compared with.
_RANDOM = 200


@dataclass(frozen=True)
class Run:
    """One strategy, asked once.

    Attributes:
        strategy: Its id, with its options.
        seed: Seed of its random choices.
        allowed: Number of evaluations that it was allowed.
        evaluations: Number that it made; None if it runs in a process of its own, where they cannot be counted.
        seconds: How long it took.
        top1: Mean top-1 of its picks over all budgets in per cent, by judge.
        believed: The same by the predictor that steered it.
        broken: Number of budgets that its pick exceeds.
        improvement: Relative improvement over the average random architecture in per cent, mean of the judges.
    """

    strategy: str
    seed: int
    allowed: int
    evaluations: int | None
    seconds: float
    top1: dict[str, float]
    believed: float
    broken: int
    improvement: float


@dataclass(frozen=True)
class Place:
    """One strategy over all seeds, with all evaluations.

    Attributes:
        strategy: Its id, with its options.
        improvement: Mean of `Run.improvement`.
        error: Its standard error over the seeds; None for one seed.
        top1: Mean top-1 over seeds and judges in per cent.
        rank: Mean rank; 1 is the best.
        ranks: The best and the worst rank of a seed.
        seconds: Mean time.
    """

    strategy: str
    improvement: float
    error: float | None
    top1: float
    rank: float
    ranks: tuple[int, int]
    seconds: float


@dataclass(frozen=True)
class Bench:
    """The comparison.

    Attributes:
        bundle: Name of the bundle.
        device: Id of the device.
        metric: What the budgets limit.
        limits: The budgets, in the metric's own unit.
        evaluations: Number of architectures whose accuracy a strategy may ask for, for all budgets together.
        seeds: Number of seeds.
        judges: RMSE of the judges on measured subnets that they were not fitted to, in points.
        independent: Whether the judges were fitted to other subnets than the predictor that steered.
        random: Mean top-1 of random architectures within the budgets in per cent, by judge.
        runs: Every run.
        left_out: Why a strategy was left out, by its id.
        warnings: What limits the comparison.
    """

    bundle: str
    device: str
    metric: str
    limits: tuple[float, ...]
    evaluations: int
    seeds: int
    judges: dict[str, float]
    independent: bool
    random: dict[str, float]
    runs: tuple[Run, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def places(self) -> list[Place]:
        """The strategies, best first."""
        full = [run for run in self.runs if run.allowed == self.evaluations]
        names = list(dict.fromkeys(run.strategy for run in full))
        by_seed = {seed: {run.strategy: run for run in full if run.seed == seed} for seed in {run.seed for run in full}}
        ranks: dict[str, list[int]] = {name: [] for name in names}
        for runs in by_seed.values():
            for name, run in runs.items():
                ranks[name].append(1 + sum(other.improvement > run.improvement for other in runs.values()))
        found = []
        for name in names:
            own = [run for run in full if run.strategy == name]
            values = np.array([run.improvement for run in own])
            error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
            top1 = float(np.mean([_mean(run.top1) for run in own]))
            seconds, span = float(np.mean([run.seconds for run in own])), (min(ranks[name]), max(ranks[name]))
            rank = float(np.mean(ranks[name]))
            found.append(Place(name, float(values.mean()), error, top1, rank, span, seconds))
        return sorted(found, key=lambda place: -place.improvement)

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draws the relative improvement over evaluations and over seconds; needs the extra ``report``.

        Args:
            path: File that ends in .svg, .png or .pdf. If None, the figure is only returned.

        Raises:
            UsageError: The file has another suffix, or matplotlib is not installed.
            OutputError: The file cannot be written.
        """
        picture.check(Path("picture.svg") if path is None else Path(path))
        figure = _draw(self)
        if path is not None:
            picture.save(figure, Path(path))
        return figure


@naming_os_errors
def bench_strategies(
    target: str | Path | Target,
    *,
    metric: str = LATENCY,
    strategies: str | Sequence[str] = (),
    evaluations: int = 1000,
    seeds: int = 3,
    points: int = 10,
    measured: str | Path | None = None,
    plot: str | Path | None = None,
    resolution: int | None = None,
    seed: int = 0,
    **settings: Unpack[TargetSettings],
) -> Bench:
    """Compares strategies on your bundle and device: equal evaluations, several seeds, independent judges.

    The measured subnets of the bundle are split in two halves. A predictor of one half steers every strategy;
    predictors of the other half, of several kinds if scikit-learn is installed, judge what they pick. The generator is
    trained on the steering predictor the first time, which takes about ten minutes, and kept.

    Args:
        target: A `nagsdk.Target`, or the id of a device.
        metric: What the budgets limit: ``latency``, ``size``, ``macs`` or a plugin's metric that is a sum over layers.
        strategies: Ids of strategies, maybe with options such as ``gradient:form=gumbel``; all installed ones if empty.
        evaluations: Number of architectures whose accuracy a strategy may ask for, for all budgets together.
        seeds: Number of seeds.
        points: Number of budgets, equidistant over the range of the frontier.
        measured: Table of measured subnets with the column ``top1``; that of the bundle if None.
        plot: File for a picture (.svg, .png, .pdf); needs the extra ``report``.
        resolution: Pins the input size in pixels.
        seed: Seed of the split, and the first seed of the strategies.
        **settings: Arguments of `nagsdk.Target` for a device's id: bundle, threads, batch, precision, serial, on_event.

    Returns:
        The comparison: `places()` ranks the strategies, `plot()` draws it.

    Raises:
        UsageError: There are too few measured subnets, or the picture cannot be drawn.
        UnknownNameError: There is no such metric or strategy.
        DeviceUnavailableError: Nothing is known about the device's latencies.
    """
    named = [strategies] if isinstance(strategies, str) else strategies
    ranges.check(evaluations=evaluations, seeds=seeds, points=points, resolution=resolution, seed=seed)
    picture.check(plot)
    target = target_of(target, settings, timed=metric == LATENCY)
    chosen = [target.host.strategy(name, target.bundle) for name in named] or list(target.host.strategies)
    model = require_cost_model(target) if metric == LATENCY else None
    judged = court(target.bundle, measured, seed)
    table = target.costs.table(metric, model, resolution)
    table = replace(table, base=np.where(judged.resolutions, table.base, np.inf))
    limits = _limits(target, table, judged, points)
    notes = () if model is None else tuple(notes_on(target, model))
    question = Question(
        target.bundle.space, judged.steer, [table], limits, lambda: _generator(target, judged), on_event=ignore
    )
    drawn = question.random(_RANDOM, np.random.default_rng(seed)).reshape(-1, len(target.bundle.space.sizes))
    chance = {kind: float(values.mean()) for kind, values in judged.top1(drawn).items()}
    runs, left_out = _runs(chosen, question, judged, chance, evaluations, range(seed, seed + seeds), target.on_event)
    found = Bench(
        *(target.bundle.name, target.device.id, metric, tuple(limits[:, 0].tolist()), evaluations, seeds),
        *(dict(judged.rmse), bool(judged.rmse), chance, tuple(runs), left_out, (*judged.warnings, *notes)),
    )
    if plot is not None:
        found.plot(plot)
    return found


def _limits(target: Target, table: AdditiveTable, judged: Court, points: int) -> Floats:
    known = frontier(target.bundle.space, table, judged.steer.additive)
    if not len(known):
        raise InfeasibleError(
            f"{target.device.id} runs no architecture of {target.bundle.name} that could be judged.",
            "Use another bundle or device, or measure subnets at the resolution.",
        )
    # The ends leave no choice, or no limit.
    return np.linspace(known.cost[0], known.cost[-1], points + 2)[1:-1, None]


def _generator(target: Target, judged: Court) -> Generator:
    if judged.steer is target.bundle.predictor:
        from nagsdk.pipeline.models import generator_of

        return generator_of(target)
    why = "The predictor that steers the strategies has no generator"
    return target.keep("bench generator", lambda: generator_for(target, judged.steer, why))


def _runs(
    strategies: Sequence[Strategy],
    question: Question,
    judged: Court,
    chance: Mapping[str, float],
    evaluations: int,
    seeds: range,
    on_event: Listener,
) -> tuple[list[Run], dict[str, str]]:
    sizes = sorted({max(1, round(share * evaluations)) for share in _SHARES})
    runs: list[Run] = []
    left_out: dict[str, str] = {}
    with stage(on_event, "Comparing", len(strategies) * len(seeds)) as advance:
        for number, strategy in enumerate(strategies):
            if strategy.id == "nag":
                question.generator()  # trained before the clock runs
            try:
                for turn, seed in enumerate(seeds):
                    advance(number * len(seeds) + turn, f"Comparing: {strategy.id}, seed {seed}")
                    asked = replace(question, seed=seed)
                    runs += [_run(strategy, asked, judged, chance, size) for size in sizes]
            except NagsdkError as error:
                left_out[strategy.id] = f"{error.message} {error.next_step}"
                runs = [run for run in runs if run.strategy != strategy.id]
    if not runs:
        raise UsageError(
            f"No strategy could be compared. {' '.join(left_out.values())}".strip(), "Name others with --strategies."
        )
    return runs, left_out


def _run(strategy: Strategy, question: Question, judged: Court, chance: Mapping[str, float], size: int) -> Run:
    counted = Counted(question.predictor, size)
    asked = replace(question, predictor=counted, evaluations=size)
    begun = time.perf_counter()
    codes = strategy.propose(asked)
    first = np.zeros(len(codes), np.intp) if codes.shape[1] == 1 else choose(counted, codes)[:, 0]
    seconds = time.perf_counter() - begun
    picked = codes[np.arange(len(codes)), first]
    broken = int((~question.within(picked[:, None])).sum())
    top1 = {kind: float(values.mean()) for kind, values in judged.top1(picked).items()}
    gain = float(np.mean([100 * (top1[kind] - chance[kind]) / chance[kind] for kind in top1]))
    believed = float(np.asarray(judged.steer.predict(picked).mean).mean())
    return Run(strategy.id, question.seed, size, len(counted.known), seconds, top1, believed, broken, gain)


def _mean(by_judge: Mapping[str, float]) -> float:
    return float(np.mean([*by_judge.values()]))


def _curves(found: Bench) -> Iterator[tuple[str, Floats, Floats, Floats]]:
    """Name, evaluations allowed, seconds and improvements of every strategy, best first; means over the seeds."""
    for place in found.places():
        own = [run for run in found.runs if run.strategy == place.strategy]
        sizes = sorted({run.allowed for run in own})
        parts = [[run for run in own if run.allowed == size] for size in sizes]
        seconds = np.array([np.mean([run.seconds for run in part]) for part in parts])
        values = np.array([np.mean([run.improvement for run in part]) for part in parts])
        yield place.strategy, np.array(sizes, np.float64), seconds, values


def _draw(found: Bench) -> Figure:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    colors, marks = colormaps["tab10"], "os^v"
    for number, (name, sizes, seconds, values) in enumerate(_curves(found)):
        style = {"color": colors(number % 10), "marker": marks[number // 10 % 4], "markersize": 4, "linewidth": 1}
        left.plot(sizes, values, label=name, **style)
        right.plot(np.maximum(seconds, 1e-3), values, **style)
    by = "judges of other subnets" if found.independent else "the predictor that steered them"
    figure.suptitle(f"{found.bundle} on {found.device}: strategies by {by}, means of {found.seeds} seeds")
    left.set(xscale="log", xlabel="evaluated architectures")
    left.set_ylabel("improvement over the average random architecture in %")
    low, high = left.get_ylim()
    left.set_ylim(bottom=low if high <= 0 else max(0.0, low))  # what is worse than chance needs no more room
    right.set(xscale="log", xlabel="seconds")
    for panel in (left, right):
        panel.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize="small", title="best first")
    return figure
