"""Describes what a training would do, how long it would take and what it needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from nagsdk.training.run import TrainingRun
from nagsdk.training.subnets import LEAST

_FEW_EPOCHS = 10


def estimate(run: TrainingRun) -> dict[str, Any]:
    """Describes a run that is not started, as the entries of a `TrainingReport`.

    Args:
        run: The run.
    """
    schedule = run.schedule
    parts = {f"{part}_s": seconds for part, seconds in schedule.seconds.items()}
    found = {
        "seconds_per_step": schedule.seconds["training"] / schedule.steps,
        **parts,
        "memory_bytes": schedule.memory_bytes,
        "disk_bytes": run.disk_bytes(),
    }
    if run.plan.epochs is not None:
        # The shortest training that makes a complete bundle worth trying.
        epochs, share = min(_FEW_EPOCHS, run.plan.epochs), LEAST / schedule.subnets
        measured = schedule.seconds["measuring"] + schedule.seconds["predictor"]
        found |= {
            "shorter_epochs": epochs,
            "shorter_s": schedule.seconds["training"] * epochs / run.plan.epochs + measured * share,
        }
    passes = [asdict(recipe) for recipe in schedule.recipes]
    kept = {key: value for key, value in schedule.to_dict().items() if key not in ("recipes", "seconds")}
    return {"steps": schedule.steps, "passes": passes, "schedule": kept, "estimate": found}
