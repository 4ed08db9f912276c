"""Reads and checks the targets and budgets of a verb before any work starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nagsdk.budget import Budget
from nagsdk.bundle.bundle import load_bundle
from nagsdk.common.outputs import check_replaceable
from nagsdk.errors import BudgetError, UnverifiedError, UsageError
from nagsdk.manifest.manifest import DEPLOYMENT
from nagsdk.pipeline.target import Target, TargetSettings, target_of
from nagsdk.plugin.units import read_budget


def targets_of(target: str | Path | Target | Sequence[str | Path | Target], settings: TargetSettings) -> list[Target]:
    """The targets of a verb that takes several, all with the same bundle.

    Args:
        target: One target or several; each is a `Target` or its device.
        settings: The other arguments of `Target`, for the ids.

    Raises:
        UsageError: There is no target, or the targets have different bundles.
        NagsdkError: See `Target`.
    """
    given = list(target) if isinstance(target, Iterable) and not isinstance(target, str) else [target]
    if not given:
        raise UsageError("No device was given.", "Name one or more; `nagsdk devices` lists them.")
    if not any(isinstance(one, Target) for one in given):
        settings["bundle"] = load_bundle(settings.get("bundle", "glyphs"))  # opened once for all
    targets = [target_of(one, settings) for one in given]
    if len({one.bundle.space.fingerprint for one in targets}) > 1:
        raise UsageError(
            "The targets have different bundles.", "Use the same bundle: one architecture is sought for all devices."
        )
    return targets


def together(budgets: str | Budget | Sequence[str | Budget]) -> tuple[Budget, ...]:
    """Budgets that must all hold together, read from text where necessary."""
    return tuple(read_budget(b) if isinstance(b, str) else b for b in _listed(budgets, ()))


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
    asked = [together(entry) for entry in _listed(budget, (list, tuple))]
    if not asked and min_top1 is None:
        raise UsageError("No budget was given.", "Give one or more, such as 80ms, or a minimum top-1.")
    if len({tuple(b.metric for b in one) for one in asked}) > 1:
        raise UsageError(
            "Budgets that are answered one by one must limit the same metric.",
            "Ask once for latencies, once for sizes, once for MACs; put budgets that must hold together in a list.",
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


def folder_of(
    output: str | Path | None, name: str, target: Target, budgets: Sequence[Budget], min_top1: float | None = None
) -> Path:
    """The folder of a deployment: `output`, or one in ``deployments`` that is named after what was asked for.

    Raises:
        OutputError: The folder holds something else than a deployment.
    """
    asked = [*(b.file_name for b in budgets), *([] if min_top1 is None else [f"top1-{min_top1:g}"])]
    named = Path("deployments") / "-".join((name, target.device.id, *asked))
    folder = named if output is None else Path(output)
    check_replaceable(folder, DEPLOYMENT)
    return folder


def check_finetuning(epochs: int, data: str | Path | None, skip_broken: bool, timing_only: bool) -> None:
    """Raises a UsageError if the arguments for fine-tuning do not go together."""
    if (epochs > 0) != (data is not None) or epochs < 0 or (epochs and timing_only):
        raise UsageError(
            "Fine-tuning needs a number of epochs and a folder of images, and cannot be combined with timing only.",
            "Give --finetune N and --data DIR, or neither.",
        )
    if skip_broken and data is None:
        raise UsageError(
            "Broken images can only be skipped if there is a folder of training images.",
            "Give --finetune N and --data DIR too.",
        )


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
    if min_top1 is not None and not isinstance(min_top1, (int, float)):
        raise UsageError(f"A minimum top-1 cannot be {min_top1!r}.", "Give a number such as 76.")
    if min_top1 is not None and timing_only:
        raise UsageError(
            "A model that is built for timing only has no accuracy worth asking for.",
            "Leave out either the minimum top-1 or timing only.",
        )
    if min_top1 is not None and not 1 < min_top1 <= 100:
        raise UsageError(
            f"A minimum top-1 of {min_top1:g} is not a percentage above 1.", "Give one such as 76, not 0.76."
        )
