"""The folder of unfinished work, ``<output>.work``, which a run that is started again continues."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, asdict, fields
from pathlib import Path

from nagsdk.common.files import write_atomically, writing
from nagsdk.common.outputs import require_only
from nagsdk.common.reading import read_json
from nagsdk.common.temporary import is_plain
from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import UsageError
from nagsdk.training.plan import MOST_PLAN, PLAN, Plan
from nagsdk.training.schedule import Schedule

_SCHEDULE = "schedule"

# What `fit_predictor` stores there for one choice of weights, images and subnets.
_OF_FIT = re.compile(r"[0-9a-f]{16}-.*")


def work_of(output: Path) -> Path:
    """The folder of unfinished work of an output folder.

    Raises:
        OutputError: It is there and holds something else, in which nothing must be overwritten.
    """
    work = output.with_name(f"{output.name}.work")
    with writing(work):
        if not _is_training(work / PLAN):
            require_only(work, "unfinished work", lambda path: bool(_OF_FIT.fullmatch(path.name)) and path.is_dir())
    return work


def begun(work: Path, plan: Plan) -> Schedule | None:
    """The schedule of the training that was begun in a work folder; None if none was.

    Args:
        work: The work folder.
        plan: Settings of the training that is asked for.

    Raises:
        UsageError: A training with other settings was begun, or what it kept is damaged.
    """
    file = work / PLAN
    if not file.is_file():
        return None
    try:
        known = read_json(file, MOST_PLAN)
        if not isinstance(known, dict):
            raise ValueError("it holds no settings")
        if differing := plan.differing(known):
            raise UsageError(
                f"{work} contains a training with other settings ({', '.join(differing)}).",
                f"Use the same settings, give another folder with --output, or delete {work}.",
            )
        return Schedule.from_dict(known.get(_SCHEDULE))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {what_is_wrong(error)}.", f"Delete {work} to start again.") from error


def begin(work: Path, plan: Plan, schedule: Schedule) -> None:
    """Writes what `begun` reads."""
    content = {**asdict(plan), _SCHEDULE: schedule.to_dict()}
    write_atomically(work / PLAN, json.dumps(content, indent=1).encode())


def _is_training(plan: Path) -> bool:
    try:
        content = read_json(plan, MOST_PLAN) if is_plain(plan) else None
    except ValueError:
        return False
    return isinstance(content, dict) and content.keys() >= {f.name for f in fields(Plan) if f.default is MISSING}
