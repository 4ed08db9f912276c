"""The verbs of a target: what the command line calls, and what a notebook calls. They never print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from nagsdk.budget import LATENCY, Budget
from nagsdk.cost.model import SAMPLES
from nagsdk.errors import UnverifiedError, UsageError
from nagsdk.pipeline.asked import check_top1, targets_of, together
from nagsdk.pipeline.target import Target, TargetSettings, target_of

if TYPE_CHECKING:
    from nagsdk.manifest.result import Result
    from nagsdk.pipeline.calibrate import CalibrationSummary
    from nagsdk.pipeline.deployment import Deployment
    from nagsdk.pipeline.frontier import Frontier
    from nagsdk.space.architecture import Architecture

# Every verb imports what it alone needs, so that `generate` answers without loading what deploys and draws.
__all__ = ["calibrate", "deploy", "export", "frontier", "generate", "predict", "profile"]


def deploy(
    target: str | Target,
    budget: str | Budget | Sequence[str | Budget] = (),
    *,
    min_top1: float | None = None,
    output: str | Path | None = None,
    strategy: str = "nag",
    images: str | Path | None = None,
    timing_only: bool = False,
    resolution: int | None = None,
    require_verified: bool = False,
    finetune: int = 0,
    data: str | Path | None = None,
    skip_broken: bool = False,
    seed: int = 0,
    **settings: Unpack[TargetSettings],
) -> Deployment:
    """Leaves a model file that was measured on the device and holds the budget, with the best accuracy that the bundle has for it.

    Args:
        target: Where to deploy: a `nagsdk.Target`, the id of a device, or the file of its description (``.toml``).
        budget: What must hold, such as ``"80ms"`` or a `Budget`; several hold together.
        min_top1: Asks for the fastest model of at least this top-1 in per cent, instead of the most accurate one; `budget` may
            then be left out. It holds where it is measured on the bundle's test images.
        output: Folder for model and manifest, ``deployments/<bundle>-<device>-<budget>`` where None; an earlier deployment there
            is replaced when this one succeeds.
        strategy: How architectures are found: ``nag`` (the generator), ``lookup``, ``polished``, ``nsga2``, ``evolution``,
            ``random``, or that of a plugin.
        images: Folder of images to recalibrate batch normalisation on; the bundle's own images where None.
        timing_only: Goes on without images; the result says that its accuracy is worthless.
        resolution: Pins the input size in pixels.
        require_verified: Refuses to deploy for a device that is not here.
        finetune: Epochs that the chosen subnet is trained more on `data`, taught by the largest network; see docs/training.md.
        data: Folder of images with the bundle's classes; see `nagsdk.train`.
        skip_broken: Leaves out images of `data` that cannot be decoded, instead of refusing them.
        seed: Seed of every random choice.
        **settings: Where `target` is the id of a device, the other arguments of `nagsdk.Target`: bundle, threads, batch,
            precision, serial, on_event.

    Returns:
        The deployment; its verdict is ``held``, ``missed`` (nothing is left in the folder then) or ``unverified`` (the device is
        absent, or a top-1 was asked for that nothing here can measure).

    Raises:
        UnverifiedError: A verified deployment is required, and the device is absent.
        NagsdkError: Any other of its subclasses; see `nagsdk.errors`.
    """
    from nagsdk.common.files import check_replaceable, sweep
    from nagsdk.manifest.manifest import MANIFEST
    from nagsdk.pipeline.build import Builder
    from nagsdk.pipeline.calibrate import model_for
    from nagsdk.pipeline.loop import Deployer
    from nagsdk.pipeline.publish import publish

    wanted = together(budget)
    if not wanted and min_top1 is None:
        raise UsageError("No budget was given.", "Give one or more, such as 80ms.")
    check_top1(min_top1)
    if (finetune > 0) != (data is not None) or finetune < 0 or (finetune and timing_only):
        raise UsageError(
            "Fine-tuning needs a number of epochs and a folder of images.",
            "Give --finetune N and --data DIR, or neither.",
        )
    if skip_broken and data is None:
        raise UsageError(
            "Broken images can be skipped only where images are trained on.", "Give --finetune N and --data DIR too."
        )
    timed = min_top1 is not None or any(b.metric == LATENCY for b in wanted)
    target = target_of(target, settings)
    if require_verified and not target.presence.available:
        raise UnverifiedError(
            f"{target.device.id} is not available, so nothing can be verified on it.", target.presence.reason
        )
    asked = [*map(str, wanted), *([] if min_top1 is None else [f"top1-{min_top1:g}"])]
    folder = (
        Path(output)
        if output is not None
        else Path("deployments") / "-".join((target.bundle.name, target.device.id, *asked))
    )
    builder = Builder(target, None if images is None else Path(images), timing_only, seed)
    deployer = Deployer(target, builder, resolution, target.host.strategies.get(strategy), min_top1=min_top1)
    target.bundle.require_predictor()
    deployer.check()
    check_replaceable(folder, MANIFEST)
    if data is not None:
        from nagsdk.training.source import Source
        from nagsdk.training.tuner import Tuner

        deployer.tuner = Tuner(
            Source.of(target.bundle, data, skip_broken, target.on_event), finetune, seed, target.on_event
        )
    sweep(folder.parent)
    model = model_for(target, wanted, timed, seed)
    return publish(deployer, wanted, model, folder)


def generate(
    target: str | Target | Sequence[str | Target],
    budget: str | Budget | Sequence[str | Budget | Sequence[str | Budget]] = (),
    *,
    min_top1: float | None = None,
    strategy: str = "nag",
    resolution: int | None = None,
    seed: int = 0,
    **settings: Unpack[TargetSettings],
) -> list[Result]:
    """The best architecture for each budget, or the fastest of a given accuracy, by inference, without measuring.

    Args:
        target: A `nagsdk.Target` or the id of a device, which is calibrated or has a shipped prior; several for one architecture
            that holds on all of them.
        budget: One budget, or several of one metric, each of which gets an answer of its own; where an element is a sequence, its
            budgets hold together.
        min_top1: Asks for the least latency with at least this predicted top-1 in per cent; `budget` is then at most one budget or
            one set of budgets that hold together, besides.
        strategy: How architectures are found: ``nag`` (the generator), ``lookup``, ``polished``, ``nsga2``, ``evolution``,
            ``random``, or that of a plugin.
        resolution: Pins the input size in pixels.
        seed: Seed of every random choice.
        **settings: Where `target` is the id of a device, the other arguments of `nagsdk.Target`: bundle, threads, batch,
            precision, serial, on_event.

    Returns:
        One result for every budget (or set of budgets that hold together) and device.

    Raises:
        InfeasibleError: A budget is below the cheapest architecture, or nothing is so accurate; its `results` answer the other
            budgets.
        DeviceUnavailableError: Nothing is known about a device's latencies.
    """
    from nagsdk.pipeline.generate import Generation

    given = [budget] if isinstance(budget, (str, Budget)) else budget
    asked = [together(entry) for entry in given]
    if not asked and min_top1 is None:
        raise UsageError("No budget was given.", "Give one or more, such as 80ms, or the least top-1.")
    if len({tuple(b.metric for b in one) for one in asked}) > 1:
        raise UsageError(
            "Budgets that are answered one by one must limit one and the same metric.",
            "Call once for latencies, once for sizes, once for MACs; or put budgets that hold together into a list of their own.",
        )
    check_top1(min_top1)
    if min_top1 is not None and len(asked) > 1:
        raise UsageError("The fastest of a given accuracy has one set of budgets besides.", "Call once for each.")
    targets = targets_of(target, settings)
    timed = min_top1 is not None or any(b.metric == LATENCY for one in asked for b in one)
    generation = Generation(targets, targets[0].host.strategies.get(strategy), timed, resolution, seed)
    return generation.best(asked) if min_top1 is None else generation.cheapest(min_top1, asked[0] if asked else ())


def frontier(
    target: str | Target,
    *,
    metric: str = LATENCY,
    strategies: Sequence[str] = ("nag", "lookup"),
    points: int = 100,
    plot: str | Path | None = None,
    resolution: int | None = None,
    seed: int = 0,
    **settings: Unpack[TargetSettings],
) -> Frontier:
    """What strategies answer to equidistant budgets from the cheapest to the most expensive architecture.

    Args:
        target: A `nagsdk.Target`, or the id of a device.
        metric: What the budgets limit: ``latency``, ``size``, ``macs`` or one of a plugin that layers add up to.
        strategies: Ids of strategies, such as ``nag``, ``lookup`` or ``nsga2``; the picture shows the architectures of the first.
        points: Number of budgets.
        plot: File for a picture (.svg, .png, .pdf); needs the extra ``report``.
        resolution: Pins the input size in pixels.
        seed: Seed of every random choice.
        **settings: Where `target` is the id of a device, the other arguments of `nagsdk.Target`: bundle, threads, batch,
            precision, serial, on_event.

    Returns:
        The frontier: `rows()` lists it, `plot()` draws it; latencies are predicted means in milliseconds.

    Raises:
        UnknownNameError: There is no such metric or strategy.
        UsageError: The picture cannot be drawn.
    """
    from nagsdk.pipeline.frontier import frontier_of
    from nagsdk.reports import picture

    if not strategies or points < 2:
        raise UsageError("A frontier needs a strategy and two points.", "Give --strategy and --points 2 or more.")
    if plot is not None:
        picture.check(Path(plot))
    target = target_of(target, settings)
    found = frontier_of(
        target, metric, [target.host.strategies.get(name) for name in strategies], points, resolution, seed
    )
    if plot is not None:
        found.plot(plot)
    return found


def predict(
    target: str | Target | None = None,
    architectures: str | Architecture | Sequence[str | Architecture] = (),
    *,
    table: str | Path | None = None,
    **settings: Unpack[TargetSettings],
) -> list[Result]:
    """Accuracy and cost of given architectures, by the models alone.

    Args:
        target: A `nagsdk.Target` or the id of a device, whose latencies are predicted too; None for none.
        architectures: Text forms or architectures of the bundle's space.
        table: CSV file with the columns ks, e, d, r; its rows follow `architectures`.
        **settings: Where `target` is not a `nagsdk.Target`, its other arguments: bundle, threads, batch, precision, serial,
            on_event; without a device only the bundle matters.

    Returns:
        One result for each architecture.

    Raises:
        ArchitectureError: One is not in the space.
        DeviceUnavailableError: Nothing is known about the device's latencies.
    """
    from nagsdk.bundle.architectures import read
    from nagsdk.bundle.bundle import load_bundle
    from nagsdk.pipeline.describe import describe
    from nagsdk.pipeline.models import require_cost_model

    if target is None:
        opened = load_bundle(settings.get("bundle", "glyphs"))
        return describe(opened, read(opened, architectures, table), None, None)
    target = target_of(target, settings)
    given = read(target.bundle, architectures, table)
    return describe(target.bundle, given, target.device.id, require_cost_model(target))


def profile(
    target: str | Target,
    architectures: str | Architecture | Sequence[str | Architecture] = (),
    *,
    table: str | Path | None = None,
    **settings: Unpack[TargetSettings],
) -> list[Result]:
    """Measures given architectures on a device, with random weights, which take as long as trained ones.

    Args:
        target: A `nagsdk.Target` or the id of a device; the device must be here.
        architectures: Text forms or architectures of the bundle's space.
        table: CSV file with the columns ks, e, d, r; its rows follow `architectures`.
        **settings: Where `target` is the id of a device, the other arguments of `nagsdk.Target`: bundle, threads, batch,
            precision, serial, on_event.

    Returns:
        One result for each architecture.

    Raises:
        ArchitectureError: One is not in the space.
        DeviceError: The device is absent, busy or fails.
    """
    from nagsdk.bundle.architectures import read
    from nagsdk.pipeline.profile import profile_architectures
    from nagsdk.pipeline.timing import settle_rewrite

    target = target_of(target, settings)
    target.require_presence()
    given = read(target.bundle, architectures, table)
    settle_rewrite(target)
    return profile_architectures(target, given)


def calibrate(
    target: str | Target,
    *,
    samples: int = SAMPLES,
    within_s: float | None = None,
    seed: int = 0,
    plot: str | Path | None = None,
    **settings: Unpack[TargetSettings],
) -> CalibrationSummary:
    """Fits the cost model of a device for a bundle's space from measured reference architectures, and keeps it.

    Args:
        target: A `nagsdk.Target` or the id of a device; the device must be here.
        samples: Number of reference architectures to measure.
        within_s: Stops measuring after so many seconds.
        seed: Seed of every random choice.
        plot: File for a picture of predicted against measured latencies (.svg, .png, .pdf); needs the extra ``report``.
        **settings: Where `target` is the id of a device, the other arguments of `nagsdk.Target`: bundle, threads, batch,
            precision, serial, on_event.

    Returns:
        What was measured, and how well left-out samples are predicted.

    Raises:
        DeviceError: The device is absent, busy or fails.
        UsageError: The picture cannot be drawn.
    """
    from nagsdk.pipeline.calibrate import calibrate_target
    from nagsdk.reports import picture

    target = target_of(target, settings)
    if plot is not None:
        picture.check(Path(plot))
    summary = calibrate_target(target, samples, within_s, seed)
    if plot is not None:
        summary.plot(plot)
    return summary


def export(
    target: str | Target,
    architecture: str | Architecture,
    output: str | Path,
    *,
    images: str | Path | None = None,
    timing_only: bool = False,
    **settings: Unpack[TargetSettings],
) -> Deployment:
    """Writes the model file of one given architecture, checked against torch but not timed.

    Args:
        target: A `nagsdk.Target`, or the id of the device whose file format is wanted.
        architecture: Text form or architecture of the bundle's space.
        output: Folder for model and manifest; an earlier deployment there is replaced.
        images: Folder of images to recalibrate batch normalisation on; the bundle's own images where None.
        timing_only: Goes on without images; the result says that its accuracy is worthless.
        **settings: Where `target` is the id of a device, the other arguments of `nagsdk.Target`: bundle, threads, batch,
            precision, serial, on_event.

    Returns:
        The deployment, whose verdict is ``unverified``.

    Raises:
        ArchitectureError: The architecture is not in the space.
        NagsdkError: Any other of its subclasses; see `nagsdk.errors`.
    """
    from nagsdk.bundle.architectures import read
    from nagsdk.common.files import check_replaceable
    from nagsdk.manifest.manifest import MANIFEST
    from nagsdk.pipeline.build import Builder
    from nagsdk.pipeline.publish import publish_one

    target = target_of(target, settings)
    (given,) = read(target.bundle, architecture, None)
    folder = Path(output)
    builder = Builder(target, None if images is None else Path(images), timing_only)
    builder.check()
    check_replaceable(folder, MANIFEST)
    return publish_one(builder, given, folder)
