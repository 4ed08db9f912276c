"""What a verb was asked for: its targets and budgets, checked before any work starts."""

from __future__ import annotations

from collections.abc import Sequence

from nagsdk.budget import Budget
from nagsdk.bundle.bundle import load_bundle
from nagsdk.errors import UsageError
from nagsdk.pipeline.target import Target, TargetSettings, target_of
from nagsdk.plugin.units import read_budget


def targets_of(target: str | Target | Sequence[str | Target], settings: TargetSettings) -> list[Target]:
    """The targets of a verb that takes several: all of one and the same bundle."""
    given = [target] if isinstance(target, (str, Target)) else list(target)
    if not given:
        raise UsageError("No device was given.", "Name one or more; `nagsdk devices` lists them.")
    if not any(isinstance(one, Target) for one in given):
        settings["bundle"] = load_bundle(settings.get("bundle", "glyphs"))  # opened once for all
    targets = [target_of(one, settings) for one in given]
    if len({one.bundle.space.fingerprint for one in targets}) > 1:
        raise UsageError(
            "The targets have different bundles.", "One architecture for several devices needs one bundle."
        )
    return targets


def together(budgets: str | Budget | Sequence[str | Budget]) -> tuple[Budget, ...]:
    """Budgets that hold at once."""
    given = [budgets] if isinstance(budgets, (str, Budget)) else budgets
    return tuple(read_budget(b) if isinstance(b, str) else b for b in given)


def check_top1(min_top1: float | None) -> None:
    """Refuses a least top-1 that is not in per cent."""
    if min_top1 is not None and not 1 < min_top1 <= 100:
        raise UsageError(f"A least top-1 of {min_top1:g} is not in per cent.", "Give one such as 76, not 0.76.")
