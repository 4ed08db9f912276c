"""The Python API: the pipeline of the command line, without printing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nagsdk.budget import LATENCY, Budget
from nagsdk.bundle.architectures import read
from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.calibration.calibrate import SAMPLES
from nagsdk.common.files import check_replaceable, sweep
from nagsdk.cost.model import CostModel
from nagsdk.device.description import Overrides
from nagsdk.errors import UnverifiedError, UsageError
from nagsdk.events import Listener, Notice, ignore
from nagsdk.manifest.manifest import MANIFEST
from nagsdk.manifest.result import Deployment, Result
from nagsdk.pipeline.describe import describe
from nagsdk.pipeline.frontier import curve
from nagsdk.pipeline.frontier import draw as draw_frontier
from nagsdk.pipeline.generate import Generation
from nagsdk.pipeline.loop import Deployer
from nagsdk.pipeline.profile import profile_architectures
from nagsdk.pipeline.publish import publish, publish_one
from nagsdk.pipeline.target import Workbench
from nagsdk.plugin.host import host
from nagsdk.plugin.units import read_budget
from nagsdk.report import picture
from nagsdk.report.calibration import draw as draw_calibration
from nagsdk.space.architecture import Architecture


def deploy(
    *,
    device: str,
    budget: str | Budget | Sequence[str | Budget],
    bundle: str | Path | Bundle = "glyphs",
    strategy: str = "nag",
    output: str | Path | None = None,
    images: str | Path | None = None,
    timing_only: bool = False,
    resolution: int | None = None,
    threads: int | None = None,
    batch: int | None = None,
    precision: str | None = None,
    serial: str | None = None,
    require_verified: bool = False,
    finetune: int = 0,
    data: str | Path | None = None,
    skip_broken: bool = False,
    seed: int = 0,
    on_event: Listener = ignore,
) -> Deployment:
    """Leaves a model file that was measured on the device and holds the budget.

    Args:
        device: Id or alias of a device, or the file of a description (``.toml``).
        budget: Such as ``"80ms"`` or a `Budget`; several hold together.
        bundle: Name or folder of a bundle, or a bundle.
        strategy: How architectures are found: ``nag`` (the generator), ``lookup``, ``polished``, ``nsga2``,
            ``evolution``, ``random``, or that of a plugin.
        output: Folder for model and manifest; an earlier deployment there is replaced when this one succeeds.
        images: Folder of images to recalibrate batch normalisation on; the bundle's own where None.
        timing_only: Goes on without images; the result says that its accuracy is worthless.
        resolution: Pins the input size in pixels.
        threads: Threads of one inference; the device's own where None.
        batch: Images of one inference, likewise.
        precision: Of weights and arithmetic, such as ``"fp16"``, likewise.
        serial: Which of several attached phones is meant, or ``"host:port"`` of one that listens there.
        require_verified: Refuses to deploy for a device that is not there.
        finetune: Epochs that the chosen subnet is trained more on `data`, taught by the largest network; see docs/training.md.
        data: Folder of images with the bundle's classes; see `nagsdk.training.train.train`.
        skip_broken: Leaves images of `data` out that cannot be decoded, instead of refusing them.
        seed: Of every random choice.
        on_event: Receives progress.

    Returns:
        The deployment; its verdict is ``held``, ``missed`` (nothing is left in the folder then) or
        ``unverified`` (the device is absent).

    Raises:
        UnverifiedError: A verified deployment is required, and the device is absent.
        NagsdkError: Any other of its subclasses; see `nagsdk.errors`.
    """
    wanted = _together(budget)
    if not wanted:
        raise UsageError("No budget was given.", "Give one or more, such as 80ms.")
    if (finetune > 0) != (data is not None) or finetune < 0 or (finetune and timing_only):
        raise UsageError("Fine-tuning needs a number of epochs and a folder of images.", "Give --finetune N and --data DIR, or neither.")
    if skip_broken and data is None:
        raise UsageError("Broken images can be skipped only where images are trained on.", "Give --finetune N and --data DIR too.")
    timed = any(b.metric == LATENCY for b in wanted)
    bench = Workbench(device, bundle, Overrides(threads, batch, precision, serial), on_event)
    if require_verified and not bench.presence.available:
        raise UnverifiedError(f"{bench.device.id} is not available, so nothing can be verified on it.", bench.presence.reason)
    name = "-".join(map(str, (bench.bundle.name, bench.device.id, *wanted)))
    folder = Path(output) if output is not None else Path("deployments") / name
    deployer = Deployer(bench, None if images is None else Path(images), timing_only, resolution, seed, host().strategies.get(strategy))
    bench.bundle.require_predictor()
    deployer.check()
    check_replaceable(folder, MANIFEST)
    if data is not None:
        from nagsdk.training.source import Source
        from nagsdk.training.tuner import Tuner

        deployer.tuner = Tuner(Source.of(bench.bundle, data, skip_broken, on_event), finetune, seed, on_event)
    sweep(folder.parent)
    if timed and bench.presence.available:
        bench.settle_rewrite()
    model = bench.calibrated_model()
    enough = model is not None and all(b.confidence <= model.most_confidence for b in wanted)
    if not enough and timed and bench.presence.available:
        on_event(Notice(f"Calibrating {bench.device.id} for {bench.bundle.name} first; it is kept for later."))
        model = bench.calibrate(SAMPLES, seed=seed).model
    if model is None:
        model = bench.require_cost_model() if timed else bench.cost_model()
    return publish(deployer, wanted, model, folder)


def generate(
    *,
    device: str | Sequence[str],
    budgets: str | Budget | Sequence[str | Budget | Sequence[str | Budget]] = (),
    min_top1: float | None = None,
    bundle: str | Path | Bundle = "glyphs",
    strategy: str = "nag",
    resolution: int | None = None,
    threads: int | None = None,
    batch: int | None = None,
    precision: str | None = None,
    serial: str | None = None,
    seed: int = 0,
    on_event: Listener = ignore,
) -> list[Result]:
    """The best architecture for each budget, or the cheapest of a given accuracy, by inference, without measuring.

    Args:
        device: Id or alias of a device, calibrated or with a shipped prior; several for one architecture
            that holds on all of them.
        budgets: One or more budgets, of one metric; where an element is a sequence, its budgets hold together.
        min_top1: Asks for the least latency with at least this predicted top-1 in per cent; `budgets` is
            then at most one set, which must hold besides.
        bundle: See `deploy`.
        strategy: See `deploy`.
        resolution: See `deploy`.
        threads: See `deploy`.
        batch: See `deploy`.
        precision: See `deploy`.
        serial: See `deploy`.
        seed: See `deploy`.
        on_event: Receives progress.

    Returns:
        One result for every set of budgets and device.

    Raises:
        InfeasibleError: A budget is below the cheapest architecture, or nothing is so accurate; its `results`
            answer the other budgets.
        DeviceUnavailableError: Nothing is known of a device's latencies.
    """
    given = [budgets] if isinstance(budgets, (str, Budget)) else budgets
    asked = [_together(entry) for entry in given]
    if not asked and min_top1 is None:
        raise UsageError("No budget was given.", "Give one or more, such as 80ms, or the least top-1.")
    if len({tuple(b.metric for b in together) for together in asked}) > 1:
        raise UsageError("The budgets must limit one and the same metric.", "Call once for latencies, once for sizes, once for MACs.")
    if min_top1 is not None and not 1 < min_top1 <= 100:
        raise UsageError(f"A least top-1 of {min_top1:g} is not in per cent.", "Give one such as 76, not 0.76.")
    if min_top1 is not None and len(asked) > 1:
        raise UsageError("The cheapest of a given accuracy has one set of budgets besides.", "Call once for each.")
    names = [device] if isinstance(device, str) else device
    opened = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    benches = [Workbench(name, opened, Overrides(threads, batch, precision, serial), on_event) for name in names]
    timed = min_top1 is not None or any(b.metric == LATENCY for together in asked for b in together)
    generation = Generation(benches, host().strategies.get(strategy), timed, resolution, seed)
    return generation.best(asked) if min_top1 is None else generation.cheapest(min_top1, asked[0] if asked else ())


def _together(budgets: str | Budget | Sequence[str | Budget]) -> tuple[Budget, ...]:
    """Budgets that hold at once."""
    given = [budgets] if isinstance(budgets, (str, Budget)) else budgets
    return tuple(read_budget(b) if isinstance(b, str) else b for b in given)


def frontier(
    *,
    device: str,
    metric: str = LATENCY,
    strategies: Sequence[str] = ("nag", "lookup"),
    points: int = 100,
    plot: str | Path | None = None,
    bundle: str | Path | Bundle = "glyphs",
    resolution: int | None = None,
    threads: int | None = None,
    batch: int | None = None,
    precision: str | None = None,
    serial: str | None = None,
    seed: int = 0,
    on_event: Listener = ignore,
) -> list[dict[str, Any]]:
    """What strategies answer to equidistant budgets from the cheapest to the dearest architecture.

    Args:
        device: See `deploy`.
        metric: ``latency``, ``size``, ``macs`` or one of a plugin that layers add up to.
        strategies: See `deploy`; the picture shows the architectures of the first.
        points: Budgets.
        plot: Picture to draw, .svg, .png or .pdf (needs the extra ``report``).
        bundle: See `deploy`.
        resolution: See `deploy`.
        threads: See `deploy`.
        batch: See `deploy`.
        precision: See `deploy`.
        serial: See `deploy`.
        seed: See `deploy`.
        on_event: Receives progress.

    Returns:
        One row for every strategy and budget: strategy, limit, architecture, cost, predicted_top1; latencies
        are predicted means in milliseconds.

    Raises:
        UnknownNameError: There is no such metric or strategy.
    """
    if not strategies or points < 2:
        raise UsageError("A frontier needs a strategy and two points.", "Give --strategy and --points 2 or more.")
    if plot is not None:
        picture.check(Path(plot))
    bench = Workbench(device, bundle, Overrides(threads, batch, precision, serial), on_event)
    found = curve(bench, metric, [host().strategies.get(name) for name in strategies], points, resolution, seed)
    if plot is not None:
        draw_frontier(found, f"{bench.bundle.name} on {bench.device.id}", Path(plot))
    return found.to_rows()


def predict(
    *,
    architectures: Sequence[str | Architecture] = (),
    table: str | Path | None = None,
    device: str | None = None,
    bundle: str | Path | Bundle = "glyphs",
    threads: int | None = None,
    batch: int | None = None,
    precision: str | None = None,
    serial: str | None = None,
    on_event: Listener = ignore,
) -> list[Result]:
    """Accuracy and cost of given architectures, by the models alone.

    Args:
        architectures: Text forms or architectures of the bundle's space.
        table: CSV file with the columns ks, e, d, r; its rows follow `architectures`.
        device: Whose latencies to predict, if any.
        bundle: See `deploy`.
        threads: See `deploy`.
        batch: See `deploy`.
        precision: See `deploy`.
        serial: See `deploy`.
        on_event: Receives progress.

    Raises:
        ArchitectureError: One is not in the space.
    """
    opened = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    model: CostModel | None = None
    identity = None
    if device is not None:
        bench = Workbench(device, opened, Overrides(threads, batch, precision, serial), on_event)
        model, identity = bench.require_cost_model(), bench.device.id
    return describe(opened, read(opened, architectures, table), identity, model)


def profile(
    *,
    device: str,
    architectures: Sequence[str | Architecture] = (),
    table: str | Path | None = None,
    bundle: str | Path | Bundle = "glyphs",
    threads: int | None = None,
    batch: int | None = None,
    precision: str | None = None,
    serial: str | None = None,
    on_event: Listener = ignore,
) -> list[Result]:
    """Measures given architectures on a device, with random weights.

    Args:
        device: Id or alias of a device that is there.
        architectures: See `predict`.
        table: See `predict`.
        bundle: See `deploy`.
        threads: See `deploy`.
        batch: See `deploy`.
        precision: See `deploy`.
        serial: See `deploy`.
        on_event: Receives progress.

    Raises:
        DeviceError: The device is absent, busy or fails.
    """
    bench = Workbench(device, bundle, Overrides(threads, batch, precision, serial), on_event)
    bench.require_presence()
    bench.settle_rewrite()
    return profile_architectures(bench, read(bench.bundle, architectures, table))


def calibrate(
    *,
    device: str,
    bundle: str | Path | Bundle = "glyphs",
    samples: int = SAMPLES,
    within_s: float | None = None,
    threads: int | None = None,
    batch: int | None = None,
    precision: str | None = None,
    serial: str | None = None,
    seed: int = 0,
    plot: str | Path | None = None,
    on_event: Listener = ignore,
) -> dict[str, Any]:
    """Fits the cost model of a device for a bundle's space from measured reference architectures, and keeps it.

    Args:
        device: Id or alias of a device that is there.
        bundle: See `deploy`.
        samples: Reference architectures.
        within_s: Stops measuring after so many seconds.
        threads: See `deploy`.
        batch: See `deploy`.
        precision: See `deploy`.
        serial: See `deploy`.
        seed: See `deploy`.
        plot: File for a picture of predicted against measured latencies (.svg, .png, .pdf); needs the extra ``report``.
        on_event: Receives progress.

    Returns:
        A summary: samples, seconds, leave-one-out accuracy and that of the prior before, jitter.

    Raises:
        DeviceError: The device is absent, busy or fails.
        UsageError: The picture cannot be drawn.
    """
    bench = Workbench(device, bundle, Overrides(threads, batch, precision, serial), on_event)
    if plot is not None:
        picture.check(Path(plot))
    result = bench.calibrate(samples, within_s, seed)
    if plot is not None:
        draw_calibration(result, f"{bench.device.title}, {bench.bundle.name}", Path(plot))
    return {"device": bench.device.id, "bundle": bench.bundle.name, **result.to_dict()}


def export(
    *,
    device: str,
    architecture: str | Architecture,
    output: str | Path,
    bundle: str | Path | Bundle = "glyphs",
    images: str | Path | None = None,
    timing_only: bool = False,
    threads: int | None = None,
    batch: int | None = None,
    precision: str | None = None,
    serial: str | None = None,
    on_event: Listener = ignore,
) -> Deployment:
    """Writes the model file of one given architecture, checked against torch but not timed.

    Args:
        device: Id or alias of the device whose format is wanted.
        architecture: Text form or architecture of the bundle's space.
        output: See `deploy`.
        bundle: See `deploy`.
        images: See `deploy`.
        timing_only: See `deploy`.
        threads: See `deploy`.
        batch: See `deploy`.
        precision: See `deploy`.
        serial: See `deploy`.
        on_event: Receives progress.
    """
    bench = Workbench(device, bundle, Overrides(threads, batch, precision, serial), on_event)
    (given,) = read(bench.bundle, [architecture], None)
    folder = Path(output)
    deployer = Deployer(bench, None if images is None else Path(images), timing_only)
    deployer.check()
    check_replaceable(folder, MANIFEST)
    return publish_one(deployer, given, folder)
