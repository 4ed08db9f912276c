"""The deploy loop: generate, build, measure, tighten, and say `held` only after a fresh session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.budget import LATENCY, METRICS, SIZE, Budget
from nagsdk.cost.bounds import Completions
from nagsdk.cost.model import CostModel
from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.device.backend import Tensor
from nagsdk.errors import DeviceError, InfeasibleError
from nagsdk.events import Notice, stage
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategies import Nag
from nagsdk.generator.strategy import Strategy
from nagsdk.graph.parity import check, probe_image
from nagsdk.manifest.result import HELD, MISSED, Measured, Result
from nagsdk.measuring.measurement import Measurement
from nagsdk.pipeline.describe import describe
from nagsdk.pipeline.target import UNLIMITED, Workbench
from nagsdk.space.architecture import Architecture

if TYPE_CHECKING:
    from nagsdk.training.tuner import Tuner

MOST_ROUNDS = 5
ENOUGH_USED = 0.95
# `held` takes a session's upper limit, which lies two to five percent above its median; the cost model's bound is one on the median.
_SPARE = 1.03
_PARITY_IMAGES = 4
_THROTTLED = "The device slowed itself down for heat or power while it was measured; cool it, or let it rest, and deploy again."
_FASTER = "{} runs {:.2f} times faster than when it was calibrated: calibrate it again, for predictions that fit."
_DISTURBED = (
    "The device was never quiet: it ran {:.2f} times slower than when nothing disturbs it. The measured latency is too high, never too low."
)


@dataclass(frozen=True)
class Built:
    """A model file that computes what torch computes.

    Attributes:
        architecture: Of the subnet.
        path: The artifact.
        compiled: What runs on the device: the artifact itself, unless the backend compiles; None where the device is absent.
        parity: Relative error against torch; None where nothing here could run the file.
        recalibrated_on: Images that batch normalisation was recalibrated on.
        statistics: Of batch normalisation: with them the artifact can be built again without images.
        probe: Logits of torch on `nagsdk.graph.parity.probe_image`, shape (classes,).
    """

    architecture: Architecture
    path: Path
    compiled: Path | None
    parity: float | None
    recalibrated_on: int
    statistics: Mapping[str, bytes]
    probe: Tensor


@dataclass(frozen=True)
class Unmeasured:
    """What was built for a device that is not there."""

    result: Result
    built: Built


@dataclass
class Round:
    """One turn of the loop.

    Attributes:
        result: With the verdict of this round.
        built: What was measured.
        first: The session that looked.
        second: The fresh session that confirmed; None where the first already missed.
        used: Share of the limit that was used, by the session that counts.
        shares: Of each budget on anything but a latency, shape (budgets,); zero for latencies.
        promised: The result before anything was measured.
    """

    result: Result
    built: Built
    first: Measurement
    second: Measurement | None = None
    used: float = 0.0
    shares: Floats = field(default_factory=lambda: np.zeros(0))
    promised: Result | None = None

    @property
    def sessions(self) -> list[Measurement]:
        """Those that took place; the last one counts."""
        return [self.first] if self.second is None else [self.first, self.second]

    def at_known_pace_ms(self, percentile: float) -> float:
        """The larger value of a percentile in the sessions, at the pace of the calibration: what the cost model learns from."""
        return max((m.latency(percentile) if m.enough_quiet else m.normalised_ms(percentile)) * m.sped_up for m in self.sessions)

    def needed(self, budgets: Sequence[Budget]) -> float:
        """The share of the limit that this candidate needs to be `held`: by the upper limits of the session that counts."""
        return max([self.used, *(upper_limit(self.sessions[-1], b.percentile) / b.limit for b in budgets if b.metric == LATENCY)])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready summary, as the manifest keeps it."""
        last = self.sessions[-1]
        return {
            "architecture": self.result.architecture,
            "verdict": self.result.verdict,
            "predicted_latency_ms": self.result.predicted.latency_ms,
            "predicted_latency_upper_ms": self.result.predicted.latency_upper_ms,
            "first_session_p50_ms": figure(self.first, 50),
            "quiet": last.enough_quiet,
            "second_session_p50_ms": None if self.second is None else figure(self.second, 50),
            "used_of_limit": self.used,
            "state": last.state,
        }


@dataclass
class Deployer:
    """Builds and measures for one deployment.

    Attributes:
        bench: Bundle and device.
        images: Folder to recalibrate on; the bundle's own images where None.
        timing_only: Whether to go on without images.
        resolution: Pinned input size.
        seed: Of every random choice.
        strategy: How architectures are found.
        tuner: Trains what was found a little more; None leaves it as the supernet taught it.
        rounds: What was measured so far.
        tried: What was built and need not be tried again.
    """

    bench: Workbench
    images: Path | None = None
    timing_only: bool = False
    resolution: int | None = None
    seed: int = 0
    strategy: Strategy = field(default_factory=Nag)
    tuner: Tuner | None = None
    rounds: list[Round] = field(default_factory=list)
    tried: set[Architecture] = field(default_factory=set)

    def check(self) -> None:
        """Refuses what cannot end well before long work starts.

        Raises:
            WeightsMissingError: The bundle has no weights here.
            ImagesMissingError: There is nothing to recalibrate on.
            ArchitectureError: The pinned resolution is not in the space.
        """
        self.bench.bundle.require_weights()
        if self.resolution is not None:
            self.bench.bundle.space.resolution_index(self.resolution)
        if not self.timing_only:
            self.bench.bundle.recalibration_images(min(self.bench.bundle.space.resolutions), self.images)

    def build(self, architecture: Architecture, folder: Path, tuner: Tuner | None = None) -> Built:
        """Cuts out, recalibrates and exports a subnet, and checks the file against torch.

        Args:
            architecture: Of the subnet.
            folder: Where to leave the file.
            tuner: Trains the subnet before it is exported.

        Raises:
            DeviceError: The runtime refuses the file or computes something else.
        """
        import torch

        from nagsdk.graph.trace import trace
        from nagsdk.supernet.recalibrate import statistics

        bundle, resolution = self.bench.bundle, architecture.resolution
        images = None if self.timing_only else bundle.recalibration_images(resolution, self.images)
        subnet = bundle.supernet.extract(architecture) if images is None else bundle.subnet(architecture, images)
        if tuner is not None:
            tuner.tune(subnet)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"model{self.bench.backend.suffix}"
        self.bench.backend.export(trace(subnet, resolution, self.bench.device.batch), path, self.bench.device, images)
        probe = np.random.default_rng(self.seed).normal(size=(_PARITY_IMAGES, 3, resolution, resolution)).astype(np.float32)
        if images is not None:
            probe = images[:_PARITY_IMAGES]
        probe = np.concatenate([probe, bundle.preprocessing.normalised(probe_image(resolution)[None])])
        with torch.no_grad():
            expected = subnet(torch.from_numpy(probe)).numpy()
        compiled = self.bench.backend.compile(path, self.bench.device, folder) if self.bench.presence.available else None
        actual = self._infer(path, compiled, probe)
        error = None if actual is None else check(expected, actual, self.bench.backend.tolerance(self.bench.device))
        used = 0 if images is None else len(images)
        return Built(architecture, path, compiled, error, used, statistics(subnet), expected[-1])

    def _infer(self, artifact: Path, compiled: Path | None, images: Tensor) -> Tensor | None:
        """Logits of an artifact by its device, or without it where the backend can; else None."""
        backend, device = self.bench.backend, self.bench.device
        if compiled is None:
            return backend.emulate(artifact, device, images)
        with backend.open(device) as session:
            return session.infer(session.load(compiled), images)

    def run(self, budgets: Sequence[Budget], model: CostModel | None, folder: Path) -> Round | Unmeasured:
        """Runs the loop.

        Args:
            budgets: What must hold, all at once.
            model: The cost model; may be None for exact metrics.
            folder: Where candidates are built.

        Returns:
            The best round that held, else the last round; without the device, what was built unmeasured.

        Raises:
            InfeasibleError: No architecture holds the budgets.
            DeviceError: The device failed or was busy.
        """
        bench, timed = self.bench, np.array([b.metric == LATENCY for b in budgets])
        tables = [bench.costs.table_for(b, model, self.resolution) for b in budgets]
        limits = np.array([bench.costs.feasible_limit(b, model, t, self.resolution) for b, t in zip(budgets, tables, strict=True)])
        _ = bench.question(tables, limits, self.seed).reserves  # refuses limits that hold one by one but not together
        notes = (UNLIMITED,) if bench.costs.unlimited([budgets], tables, limits[None])[0] else ()
        if model is not None and timed.any() and bench.presence.available:
            limits = self._aim(limits, timed, bench.pace(folder), tables)
        best: Round | None = None
        aims = list(budgets)
        for number in range(MOST_ROUNDS):
            proposal = self._propose(budgets, aims, model, limits, best)
            if proposal is None:
                break
            result, architecture = replace(proposal[0], warnings=(*proposal[0].warnings, *notes)), proposal[1]
            bench.listener(Notice(f"Round {number + 1}: {architecture}"))
            built = self.build(architecture, folder / str(number))
            self.tried.add(architecture)
            if not bench.presence.available:
                shares = np.array([_share(bench, result, built, b) for b in budgets])
                if shares.max() <= 1:
                    return Unmeasured(result, built)
                aims, limits = self._tightened(aims, limits, shares)
                continue
            turn = self._measure(result, built, budgets)
            self.rounds.append(turn)
            bench.listener(Notice(f"Round {number + 1}: {turn.result.verdict}, {turn.used:.0%} of the limit used."))
            if turn.result.verdict == HELD:
                best = turn
                if turn.used >= ENOUGH_USED or not timed.any():
                    break
            elif not turn.sessions[-1].enough_quiet:
                self.tried.discard(architecture)  # a miss on a disturbed device says nothing of a quiet one
            aims, limits = self._tightened(aims, limits, turn.shares)
            if timed.any():
                assert model is not None
                asked = {b.percentile: turn.at_known_pace_ms(b.percentile) for b in budgets if b.metric == LATENCY}
                model = model.with_observation(np.array(architecture.code, np.int8), turn.at_known_pace_ms(50), asked)
                limits[timed] = [bench.costs.limit(b, model) for b in budgets if b.metric == LATENCY]
                if best is None:
                    pace = max(m.pace for m in turn.sessions)
                    limits = self._aim(limits, timed, pace, [bench.costs.table_for(b, model, self.resolution) for b in aims])
                else:  # the next round has nothing to lose: it counts on the best that the device showed
                    limits[timed] /= min(m.pace for r in self.rounds for m in r.sessions)
        if not self.rounds:
            raise InfeasibleError(
                f"No candidate's file held {' and '.join(map(str, budgets))}.", "Ask for a few percent more, or use another precision."
            )
        return best or self.rounds[-1]

    def refine(self, outcome: Round | Unmeasured, budgets: Sequence[Budget], folder: Path) -> Round | Unmeasured:
        """Fine-tunes what the loop found; the new file is measured like any candidate, and its verdict is the one that counts.

        Args:
            outcome: Of `run`, not missed.
            budgets: What must hold, all at once.
            folder: Where the file is built.
        """
        assert self.tuner is not None
        built = self.build(outcome.built.architecture, folder, self.tuner)
        if isinstance(outcome, Unmeasured):
            return Unmeasured(outcome.result, built)
        assert outcome.promised is not None
        self.rounds.append(self._measure(outcome.promised, built, budgets))
        return self.rounds[-1]

    def _aim(self, limits: Floats, timed: NDArray[np.bool_], pace: float, tables: Sequence[AdditiveTable]) -> Floats:
        """What to generate for until something holds: a little less than the limits at the device's present pace, but something."""
        if pace > 1:
            self.bench.listener(Notice(f"{self.bench.device.id} is disturbed: it runs {pace:.2f} times slower than when it is quiet."))
        elif pace < 1:
            self.bench.listener(Notice(_FASTER.format(self.bench.device.id, 1 / pace)))
        cheapest = np.array([Completions.of(self.bench.bundle.space, table).least for table in tables])
        return np.where(timed, np.maximum(limits / (_SPARE * pace), cheapest), limits)

    def _tightened(self, aims: Sequence[Budget], limits: Floats, shares: Floats) -> tuple[list[Budget], Floats]:
        """Leaves room for what files or runs took more than their estimate."""
        aims, limits = list(aims), limits.copy()
        for i, share in enumerate(shares):
            if share > 1:
                aims[i] = replace(aims[i], limit=aims[i].limit * 0.999 / share)
                limits[i] = self.bench.costs.limit(aims[i], None, self.resolution)
        return aims, limits

    def _propose(
        self, budgets: Sequence[Budget], aims: Sequence[Budget], model: CostModel | None, limits: Floats, best: Round | None
    ) -> tuple[Result, Architecture] | None:
        """The most accurate candidate not tried yet; None where nothing promises more than the best round."""
        bench = self.bench
        tables = [bench.costs.table_for(b, model, self.resolution) for b in aims]
        try:
            codes = self.strategy.propose(bench.question(tables, limits, self.seed))[0]
        except InfeasibleError:
            # The limits were feasible before what was measured tightened them: the rounds so far are the answer.
            return None
        for architecture in bench.bundle.space.decode(codes[choose(bench.bundle.predictor, codes)]):
            if architecture not in self.tried:
                (result,) = describe(bench.bundle, [architecture], bench.device.id, model, [budgets])
                result = replace(result, metrics=bench.costs.metrics(architecture, budgets))
                promises = result.predicted.top1 or 0.0
                return None if best is not None and promises <= (best.result.predicted.top1 or 0.0) else (result, architecture)
        return None

    def _measure(self, result: Result, built: Built, budgets: Sequence[Budget]) -> Round:
        """Times what was built, and says whether it holds."""
        timed = [b for b in budgets if b.metric == LATENCY]
        turn = Round(result, built, self.time(built), promised=result)
        self._count(turn, budgets, [figure(turn.first, b.percentile) / b.limit for b in timed])
        if turn.used <= 1:
            turn.second = self.time(built)
            self._count(turn, budgets, [upper_limit(turn.second, b.percentile) / b.limit for b in timed])
        last, verdict = turn.sessions[-1], HELD if turn.used <= 1 else MISSED
        figures = measured(last, timed[0].percentile if timed else 50.0)
        turn.result = replace(turn.result, verdict=verdict, measured=figures, warnings=_warnings(result, last))
        return turn

    def _count(self, turn: Round, budgets: Sequence[Budget], latencies: Sequence[float]) -> None:
        """Notes which shares of the limits a round used, and what its last session told of plugins' metrics."""
        metrics = {name: self._told(turn.sessions[-1], name, value) for name, value in turn.result.metrics.items()}
        turn.result = replace(turn.result, metrics=metrics)
        turn.shares = np.array([_share(self.bench, turn.result, turn.built, b) for b in budgets])
        turn.used = float(max([*turn.shares, *latencies]))

    def _told(self, measurement: Measurement, name: str, estimate: float) -> float:
        """What the device told of a plugin's metric, where it is to be measured."""
        wanted = self.bench.costs.metric(name).metric.measured
        told = measurement.state.get(wanted, -1.0) if wanted else estimate
        if told < 0:
            raise DeviceError(
                f"The metric {name} is to be measured, but of {wanted} {self.bench.device.id} tells nothing, or less than nothing.",
                f"Limit something else on {self.bench.device.id}, or mend the plugin: it tells {', '.join(measurement.state) or 'no figures'}.",
            )
        return told

    def time(self, built: Built) -> Measurement:
        """Measures an artifact in a fresh session.

        Raises:
            DeviceError: The device failed or was busy.
        """
        assert built.compiled is not None
        name = built.architecture.text
        return self.bench.time({name: built.compiled}, built.path.parent)[name]

    def evaluate(self, built: Built) -> Measured:
        """True top-1 of the artifact on the bundle's test images, where there are any."""
        from nagsdk.supernet.evaluate import wilson

        test = None if self.timing_only else self.bench.bundle.test_set(built.architecture.resolution)
        if test is None:
            return Measured()
        with stage(self.bench.listener, "evaluating on the test images"):
            logits = self._infer(built.path, built.compiled, test.inputs)
        if logits is None:
            return Measured()
        share = float((logits.argmax(1) == test.labels).mean())
        return Measured(None, None, None, 100 * share, *(100 * limit for limit in wilson(share, len(test.labels))))


def _warnings(result: Result, measurement: Measurement) -> tuple[str, ...]:
    disturbed = () if measurement.enough_quiet else (_DISTURBED.format(measurement.typical_slowdown),)
    throttled = (_THROTTLED,) if measurement.state.get("throttled", 0.0) > 0 else ()
    return (*result.warnings, *disturbed, *throttled)


def _share(bench: Workbench, result: Result, built: Built, budget: Budget) -> float:
    """Share of a limit on anything but a latency that is used."""
    if budget.metric == LATENCY:
        return 0.0
    if budget.metric not in METRICS:
        return bench.costs.metric(budget.metric).share(result.metrics[budget.metric], budget.limit)
    return (built.path.stat().st_size if budget.metric == SIZE else result.macs) / budget.limit


def figure(measurement: Measurement, percentile: float) -> float:
    """A percentile in milliseconds, of the quiet readings where there are enough, else of all: those only overstate."""
    return measurement.latency(percentile, disturbed=not measurement.enough_quiet)


def upper_limit(measurement: Measurement, percentile: float) -> float:
    """The upper confidence limit of `figure`, of the same readings."""
    return measurement.upper(percentile, disturbed=not measurement.enough_quiet)


def measured(measurement: Measurement, percentile: float = 50.0) -> Measured:
    """The figures that results show of a measurement."""
    return Measured(figure(measurement, 50), figure(measurement, 90), upper_limit(measurement, percentile))
