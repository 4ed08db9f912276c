"""The verbs of a target, for the command line and for notebooks. They never print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from nagsdk import ranges
from nagsdk.budget import LATENCY, Budget
from nagsdk.common.moved import renamed
from nagsdk.common.os_errors import naming_os_errors
from nagsdk.cost.model import SAMPLES
from nagsdk.pipeline.asked import check_data, limits_of, require_verifiable, sets_of, targets_of, usual_folder
from nagsdk.pipeline.target import Target, TargetSettings, check_settings, target_of

if TYPE_CHECKING:
    from nagsdk.manifest.result import Result
    from nagsdk.pipeline.calibrate import CalibrationSummary
    from nagsdk.pipeline.deployment import Deployment
    from nagsdk.pipeline.frontier import Frontier
    from nagsdk.space.architecture import Architecture

__all__ = ["calibrate", "deploy", "export", "frontier", "generate", "predict", "profile"]


@renamed(device="target")
@naming_os_errors
def deploy(
    target: str | Path | Target,
    budget: str | Budget | Sequence[str | Budget] = (),
    *,
    model: str | Path | None = None,
    min_top1: float | None = None,
    output: str | Path | None = None,
    strategy: str = "nag",
    images: str | Path | None = None,
    timing_only: bool = False,
    resolution: int | None = None,
    require_verified: bool = False,
    finetune: int = 0,
    temperature_scaling: bool = False,
    data: str | Path | None = None,
    skip_broken: bool = False,
    seed: int = 0,
    **settings: Unpack[TargetSettings],
) -> Deployment:
    """Writes the most accurate model of the bundle that was measured on the device and holds the budget.

    Args:
        target: A `nagsdk.Target`, the id of a device, or a file that describes one (``.toml``).
        budget: A limit such as ``"80ms"`` or a `Budget`; several must hold together.
        model: ONNX or ``.pt2`` file of a finished network to measure and judge; only `budget` and `output` go with it.
        min_top1: If given, the fastest model with at least this top-1 in per cent is sought instead of the most
            accurate one, and `budget` may be left out. Top-1 is measured on the bundle's test images.
        output: Folder for the deployment; ``deployments/<bundle>-<device>-<budget>`` if None. One in it is replaced.
        strategy: How architectures are found: ``nag`` (the generator) or another; see docs/generator.md.
        images: Folder of images to recalibrate batch normalisation on; the bundle's own images if None.
        timing_only: Builds without images; the result warns that its accuracy is worthless.
        resolution: Pins the input size in pixels.
        require_verified: Raises an error if the device is unavailable, or top-1 cannot be measured for `min_top1`.
        finetune: Epochs of fine-tuning of the chosen subnet on `data`, with the largest subnet as teacher.
        temperature_scaling: Fits a temperature, which the last layer takes up, on the validation images of `data`.
        data: Folder of images with the bundle's classes, for fine-tuning and temperature scaling; see `nagsdk.train`.
        skip_broken: Leaves out images of `data` that cannot be decoded, instead of raising an error.
        seed: Seed of all random choices.
        **settings: Arguments of `nagsdk.Target` for a device's id: bundle, threads, batch, precision, serial, on_event.

    Returns:
        The deployment. Its verdict is ``held``, ``missed`` (then its folder is None) or ``unverified`` (the device is
        unavailable, or `min_top1` was given but top-1 cannot be measured).

    Raises:
        UnverifiedError: A verified deployment is required but impossible.
        NagsdkError: Any other of its subclasses; see `nagsdk.errors`.
    """
    from nagsdk.pipeline.asked import check_output
    from nagsdk.pipeline.build import Builder
    from nagsdk.pipeline.calibrate import models_for
    from nagsdk.pipeline.given import deploy_given
    from nagsdk.pipeline.labelled_images import use_images
    from nagsdk.pipeline.loop import Deployer
    from nagsdk.pipeline.publish import publish

    if model is not None:
        others = {"strategy": strategy != "nag", "min_top1": min_top1, "resolution": resolution, "images": images}
        others |= {"timing_only": timing_only, "finetune": finetune, "data": data, "skip_broken": skip_broken}
        others["temperature_scaling"] = temperature_scaling
        return deploy_given(target_of(target, settings), Path(model), budget, output, others)
    wanted = limits_of(budget, min_top1, timing_only)
    check_data(finetune, temperature_scaling, data, skip_broken, timing_only)
    ranges.check(resolution=resolution, seed=seed)
    timed = min_top1 is not None or any(b.metric == LATENCY for b in wanted)
    target = target_of(target, settings, arms=True, timed=timed)
    wanted = tuple(b.for_batch(target.device.batch) for b in wanted)
    if require_verified:
        require_verifiable(target, min_top1)
    folder = usual_folder(target, wanted, min_top1) if output is None else Path(output)
    builder = Builder(target, None if images is None else Path(images), timing_only, seed)
    deployer = Deployer(target, builder, resolution, target.host.strategy(strategy, target.bundle), min_top1=min_top1)
    target.bundle.require_predictor()
    deployer.check()
    check_output(target, folder)
    use_images(deployer, data, finetune, temperature_scaling, skip_broken)
    return publish(deployer, wanted, models_for(target, wanted, timed, seed), folder)


@renamed(device="target", budgets="budget")
@naming_os_errors
def generate(
    target: str | Path | Target | Sequence[str | Path | Target],
    budget: str | Budget | Sequence[str | Budget | Sequence[str | Budget]] = (),
    *,
    min_top1: float | None = None,
    strategy: str | None = None,
    start: str | Architecture | None = None,
    resolution: int | None = None,
    seed: int = 0,
    **settings: Unpack[TargetSettings],
) -> list[Result]:
    """The most accurate architecture for each budget, or the fastest that is accurate enough, without measuring.

    Args:
        target: A `nagsdk.Target` or the id of a device, which must be calibrated or have a shipped prior; several for
            one architecture that holds on all of them.
        budget: One budget, or several on the same metric, each of which gets its own answer; an element that is a
            sequence stands for budgets that must hold together.
        min_top1: If given, the architecture with the lowest latency and at least this predicted top-1 in per cent is
            sought; `budget` is then at most one budget, or one sequence of budgets that must hold together.
        strategy: How architectures are found: ``nag`` (the generator; the default) or another; see docs/generator.md.
        start: Your present architecture, for a strategy that starts from one; the default is then ``transform``.
        resolution: Pins the input size in pixels.
        seed: Seed of all random choices.
        **settings: Arguments of `nagsdk.Target` for a device's id: bundle, threads, batch, precision, serial, on_event.

    Returns:
        One result for every budget (or set of budgets that must hold together) and device.

    Raises:
        InfeasibleError: No architecture holds a budget or is accurate enough; its `results` answer the other budgets.
        DeviceUnavailableError: Nothing is known about a device's latencies.
    """
    from nagsdk.pipeline.generate import generated

    asked = sets_of(budget, min_top1)
    timed = min_top1 is not None or any(b.metric == LATENCY for one in asked for b in one)
    targets = targets_of(target, settings, timed)
    ranges.check(limits=len(targets) * max([1, *map(len, asked)]), resolution=resolution, seed=seed)
    return generated(targets, strategy, start, timed, resolution, seed, asked, min_top1)


@renamed(device="target")
@naming_os_errors
def frontier(
    target: str | Path | Target,
    *,
    metric: str = LATENCY,
    strategies: str | Sequence[str] = ("nag", "lookup"),
    points: int = 100,
    plot: str | Path | None = None,
    resolution: int | None = None,
    seed: int = 0,
    **settings: Unpack[TargetSettings],
) -> Frontier:
    """The best architectures of strategies for equidistant budgets over the whole range of costs.

    Args:
        target: A `nagsdk.Target`, or the id of a device.
        metric: What the budgets limit: ``latency``, ``size``, ``macs`` or a plugin's metric that is a sum over layers.
        strategies: Id of a strategy, or several, such as ``nag``, ``lookup`` or ``nsga2``; the picture shows the
            architectures of the first one.
        points: Number of budgets.
        plot: File for a picture (.svg, .png, .pdf); needs the extra ``report``.
        resolution: Pins the input size in pixels.
        seed: Seed of all random choices.
        **settings: Arguments of `nagsdk.Target` for a device's id: bundle, threads, batch, precision, serial, on_event.

    Returns:
        The frontier: `rows()` lists it, `plot()` draws it; latencies are predicted means in milliseconds.

    Raises:
        UnknownNameError: There is no such metric or strategy.
        UsageError: The picture cannot be drawn.
    """
    from nagsdk.pipeline.frontier import frontier_of
    from nagsdk.reports import picture

    strategies = [strategies] if isinstance(strategies, str) else strategies
    ranges.check(strategies=len(strategies), points=points, resolution=resolution, seed=seed)
    picture.check(plot)
    target = target_of(target, settings, arms=True, timed=metric == LATENCY)
    chosen = [target.host.strategy(name, target.bundle) for name in strategies]
    found = frontier_of(target, metric, chosen, points, resolution, seed)
    if plot is not None:
        found.plot(plot)
    return found


@renamed(device="target")
@naming_os_errors
def predict(
    target: str | Path | Target | None = None,
    architectures: str | Architecture | Sequence[str | Architecture] = (),
    *,
    table: str | Path | None = None,
    **settings: Unpack[TargetSettings],
) -> list[Result]:
    """Predicts accuracy and cost of given architectures.

    Args:
        target: A `nagsdk.Target` or the id of a device, to predict latencies too; None for accuracy only.
        architectures: Text forms or architectures of the bundle's space.
        table: CSV file of more architectures, with the columns of the bundle's space (MobileNetV3: ks, e, d, r).
        **settings: Arguments of `nagsdk.Target` if `target` is not one: bundle, threads, batch, precision, serial,
            on_event; without a device only the bundle matters.

    Returns:
        One result for each architecture.

    Raises:
        ArchitectureError: One is not in the space.
        DeviceUnavailableError: Nothing is known about the device's latencies.
    """
    from nagsdk.bundle.architectures import read
    from nagsdk.pipeline.asked import bundle_of
    from nagsdk.pipeline.describe import describe
    from nagsdk.pipeline.models import require_cost_model

    if target is None:
        check_settings(settings)
        opened = bundle_of(settings)
        return describe(opened, read(opened, architectures, table), None, None)
    target = target_of(target, settings)
    return describe(target.bundle, read(target.bundle, architectures, table), target, require_cost_model(target))


@renamed(device="target")
@naming_os_errors
def profile(
    target: str | Path | Target,
    architectures: str | Architecture | Sequence[str | Architecture] = (),
    *,
    table: str | Path | None = None,
    model: str | Path | None = None,
    **settings: Unpack[TargetSettings],
) -> list[Result]:
    """Measures given architectures on a device, with random weights, which take as long as trained ones.

    Args:
        target: A `nagsdk.Target` or the id of a device; the device must be available.
        architectures: Text forms or architectures of the bundle's space.
        table: CSV file of more architectures, with the columns of the bundle's space (MobileNetV3: ks, e, d, r).
        model: ONNX or ``.pt2`` file of a finished network, which is measured instead of architectures.
        **settings: Arguments of `nagsdk.Target` for a device's id: bundle, threads, batch, precision, serial, on_event.

    Returns:
        One result for each architecture.

    Raises:
        ArchitectureError: One is not in the space.
        DeviceError: The device is unavailable, busy or fails.
    """
    from nagsdk.bundle.architectures import read
    from nagsdk.pipeline.given import profile_given
    from nagsdk.pipeline.profile import profile_architectures

    target = target_of(target, settings)
    if model is not None:
        return [profile_given(target, Path(model), bool(architectures or table))]
    target.require_presence()
    given = read(target.bundle, architectures, table)
    return profile_architectures(target, given)


@renamed(device="target")
@naming_os_errors
def calibrate(
    target: str | Path | Target,
    *,
    samples: int = SAMPLES,
    within_s: float | None = None,
    seed: int = 0,
    plot: str | Path | None = None,
    **settings: Unpack[TargetSettings],
) -> CalibrationSummary:
    """Measures reference architectures on a device, fits its cost model for the bundle's space and stores it.

    Args:
        target: A `nagsdk.Target` or the id of a device; the device must be available.
        samples: Number of reference architectures to measure.
        within_s: Number of seconds after which measuring stops.
        seed: Seed of all random choices.
        plot: File for a picture of predicted against measured latencies (.svg, .png, .pdf); needs the extra ``report``.
        **settings: Arguments of `nagsdk.Target` for a device's id: bundle, threads, batch, precision, serial, on_event.

    Returns:
        What was measured, and how well left-out samples are predicted.

    Raises:
        DeviceError: The device is unavailable, busy or fails.
        UsageError: The picture cannot be drawn.
    """
    from nagsdk.pipeline.calibrate import calibrate_target
    from nagsdk.reports import picture

    ranges.check(samples=samples, within_s=within_s, seed=seed)
    target = target_of(target, settings)
    picture.check(plot)
    summary = calibrate_target(target, samples, within_s, seed)
    if plot is not None:
        summary.plot(plot)
    return summary


@renamed(device="target")
@naming_os_errors
def export(
    target: str | Path | Target,
    architecture: str | Architecture,
    output: str | Path,
    *,
    images: str | Path | None = None,
    timing_only: bool = False,
    **settings: Unpack[TargetSettings],
) -> Deployment:
    """Writes the model file of one given architecture, checked against torch but not timed.

    Args:
        target: A `nagsdk.Target`, or the id of the device for whose runtime the file is written.
        architecture: Text form or architecture of the bundle's space.
        output: Folder for model and manifest; an earlier deployment in it is replaced.
        images: Folder of images to recalibrate batch normalisation on; the bundle's own images if None.
        timing_only: Builds without images; the result warns that its accuracy is worthless.
        **settings: Arguments of `nagsdk.Target` for a device's id: bundle, threads, batch, precision, serial, on_event.

    Returns:
        The deployment, whose verdict is ``unverified``.

    Raises:
        ArchitectureError: The architecture is not in the space.
        NagsdkError: Any other of its subclasses; see `nagsdk.errors`.
    """
    from nagsdk.bundle.architectures import read
    from nagsdk.pipeline.build import Builder
    from nagsdk.pipeline.publish import publish_one

    target = target_of(target, settings)
    (given,) = read(target.bundle, architecture, None)
    return publish_one(Builder(target, None if images is None else Path(images), timing_only), given, Path(output))
