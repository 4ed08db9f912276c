"""Reads and checks the targets and budgets of a verb before any work starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nagsdk import ranges
from nagsdk.budget import MEASURED, METRICS, Budget
from nagsdk.bundle.bundle import DEFAULT, Bundle, load_bundle
from nagsdk.common.outputs import check_replaceable
from nagsdk.errors import BudgetError, UnverifiedError, UsageError
from nagsdk.events import ignore
from nagsdk.manifest.manifest import DEPLOYMENT, MODEL
from nagsdk.pipeline.target import Target, TargetSettings, target_of
from nagsdk.plugin.units import read_budget


def bundle_of(settings: TargetSettings) -> Bundle:
    """Opens the bundle that the arguments of `Target` name."""
    return load_bundle(settings.get("bundle", DEFAULT), settings.get("on_event", ignore))


def targets_of(
    target: str | Path | Target | Sequence[str | Path | Target], settings: TargetSettings, timed: bool
) -> list[Target]:
    """The targets of a verb that takes several, all with the same bundle.

    Args:
        target: One target or several; each is a `Target` or its device.
        settings: The other arguments of `Target`, for the ids.
        timed: Whether latencies matter.

    Raises:
        UsageError: There is no target, or the targets have different bundles, or one of several leaves a choice.
        NagsdkError: See `Target`.
    """
    given = list(target) if isinstance(target, Iterable) and not isinstance(target, str) else [target]
    if not given:
        raise UsageError("No device was given.", "Name one or more; `nagsdk devices` lists them.")
    if not any(isinstance(one, Target) for one in given):
        settings["bundle"] = bundle_of(settings)  # opened once for all
    # One architecture for several devices has one precision and one number of threads on each.
    targets = [target_of(one, settings, arms=len(given) == 1, timed=timed) for one in given]
    if len({one.bundle.space.fingerprint for one in targets}) > 1:
        raise UsageError(
            "The targets have different bundles.", "Use the same bundle: one architecture is sought for all devices."
        )
    refuse_repeated(targets)
    return targets


def refuse_repeated(targets: Sequence[Target]) -> None:
    """Raises an error if a device is named twice, under whichever of its names.

    Raises:
        UsageError: Two targets have the same device with the same settings.
    """
    for number, target in enumerate(targets):
        if any(target.device == other.device for other in targets[:number]):
            raise UsageError(f"The device {target.device.id} was given twice.", "Name every device once.")


def together(budgets: str | Budget | Sequence[str | Budget]) -> tuple[Budget, ...]:
    """Budgets that must all hold together, read from text where necessary; one that is given twice counts once."""
    read = (read_budget(b) if isinstance(b, str) else b for b in _listed(budgets, ()))
    return tuple(dict.fromkeys(read))


def limits_of(
    budget: str | Budget | Sequence[str | Budget], min_top1: float | None, timing_only: bool
) -> tuple[Budget, ...]:
    """The budgets that one deployment must hold.

    Raises:
        UsageError: There is neither a budget nor a minimum top-1, there are too many, or `min_top1` is not legal.
    """
    wanted = together(budget)
    if not wanted and min_top1 is None:
        raise UsageError("No budget was given.", "Give one or more, such as 80ms.")
    check_top1(min_top1, timing_only)
    ranges.check(limits=len(wanted) or None)
    return wanted


def usual_folder(target: Target, wanted: Iterable[Budget], min_top1: float | None, name: str = "") -> Path:
    """The output folder of a deployment for which none was named; it begins with the bundle's name, or `name`."""
    asked = [*(b.file_name for b in wanted), *([] if min_top1 is None else [f"top1-{min_top1:g}"])]
    return Path("deployments") / "-".join((name or target.bundle.name, target.device.id, *asked))


def sets_of(
    budget: str | Budget | Sequence[str | Budget | Sequence[str | Budget]], min_top1: float | None
) -> list[tuple[Budget, ...]]:
    """Sets of budgets, each of which gets an answer of its own; the budgets of a set must hold together.

    Args:
        budget: One budget, or a sequence whose elements are budgets or sequences of budgets.
        min_top1: The minimum top-1 that was asked for, if any.

    Raises:
        UsageError: There is no budget, the sets limit different metrics, or `min_top1` does not go with them.
    """
    listed = _listed(budget, (list, tuple))
    ranges.check(answers=len(listed) or None)
    asked = [together(entry) for entry in listed]
    if not asked and min_top1 is None:
        raise UsageError("No budget was given.", "Give one or more, such as 80ms, or a minimum top-1.")
    if len({tuple(b.metric for b in one) for one in asked}) > 1:
        raise UsageError(
            "Budgets that are answered one by one must limit the same metric.",
            "Ask once for latencies, once for sizes, once for MACs; put budgets that must hold together in a list.",
        )
    if unknown := [b for one in asked for b in one if b.metric in MEASURED]:
        raise UsageError(
            f"{unknown[0]} cannot be answered without measuring: nothing predicts {unknown[0].metric}.",
            f"Use it with deploy, or limit {', '.join(METRICS)}, or the metric of a plugin.",
        )
    check_top1(min_top1)
    if min_top1 is not None and len(asked) > 1:
        raise UsageError("With a minimum top-1, only one set of budgets is possible.", "Ask once for each set.")
    return asked


def _listed(budget: Any, sets: tuple[type, ...]) -> list[Any]:
    """The elements of a sequence, or the single budget; each is a budget, or has one of the types `sets`."""
    listed = [budget] if isinstance(budget, (str, Budget)) or not isinstance(budget, Iterable) else list(budget)
    for one in listed:
        if not isinstance(one, (str, Budget, *sets)):
            raise BudgetError(f"{one!r} is not a budget.", "Write a number and a unit as text, such as '80ms'.")
    return listed


def check_data(
    epochs: int, temperature_scaling: bool, data: str | Path | None, skip_broken: bool, timing_only: bool
) -> None:
    """Raises a UsageError if the arguments for fine-tuning and temperature scaling do not go together."""
    ranges.check(finetune=epochs)
    if temperature_scaling and (data is None or timing_only):
        raise UsageError(
            "Temperature scaling needs a folder of images, and cannot be combined with timing only.",
            "Give --temperature-scaling and --data DIR, or neither.",
        )
    if (epochs > 0 or temperature_scaling) != (data is not None) or (epochs and timing_only):
        raise UsageError(
            "Fine-tuning needs a number of epochs and a folder of images, and cannot be combined with timing only.",
            "Give --finetune N and --data DIR, or neither.",
        )
    if skip_broken and data is None:
        raise UsageError(
            "Broken images can only be skipped if there is a folder of images.",
            "Give --data DIR too, with --finetune N or --temperature-scaling.",
        )


def check_output(target: Target, folder: Path) -> None:
    """Raises an error before long work starts if a deployment cannot be written to a folder.

    Args:
        target: Bundle and device.
        folder: Folder for model and manifest.

    Raises:
        UsageError: The folder, or one that would have to be made for it, is named like a model file.
        OutputError: See `check_replaceable`.
    """
    suffixes = {suffix for b in target.host.backends for suffix in (b.suffix, b.compiled_suffix) if suffix}
    new = (path for path in (folder, *folder.parents) if not path.is_dir())
    if named := next((path for path in new if path.suffix.lower() in suffixes), None):
        model = named.with_suffix("") / f"{MODEL}{target.backend.suffix}"
        raise UsageError(
            f"{named} is the name of a file, and a deployment is a folder: the model, its manifest and its report.",
            f"Give a folder, such as {named.with_suffix('')}; the model is then {model}.",
        )
    check_replaceable(folder, DEPLOYMENT)


def require_verifiable(target: Target, min_top1: float | None) -> None:
    """Raises an UnverifiedError if it can be foreseen that the verdict of a deployment will be ``unverified``."""
    if not target.presence.available:
        raise UnverifiedError(
            f"{target.device.id} is not available, so nothing can be verified on it.", target.presence.reason
        )
    if min_top1 is not None and not target.bundle.has_test_images:
        raise UnverifiedError(
            f"{target.bundle.name} has no labelled test images, so no top-1 can be verified.",
            "Leave out the minimum top-1 or the requirement, or use a bundle that has test images.",
        )


def check_top1(min_top1: float | None, timing_only: bool = False) -> None:
    """Raises a UsageError if a minimum top-1 is not a percentage, or is asked of a model that is built to be timed."""
    ranges.check(min_top1=min_top1)
    if min_top1 is not None and timing_only:
        raise UsageError(
            "A model that is built for timing only has no accuracy worth asking for.",
            "Leave out either the minimum top-1 or timing only.",
        )
