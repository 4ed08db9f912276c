"""The folder of unfinished work, ``<output>.work``, which a run that is started again continues."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path

from nagsdk.common.files import writing
from nagsdk.common.outputs import require_only
from nagsdk.common.reading import read_json
from nagsdk.common.temporary import is_plain
from nagsdk.training.plan import MOST_PLAN, PLAN, Plan

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


def _is_training(plan: Path) -> bool:
    try:
        content = read_json(plan, MOST_PLAN) if is_plain(plan) else None
    except ValueError:
        return False
    return isinstance(content, dict) and content.keys() >= {
        field.name for field in fields(Plan) if field.default is MISSING
    }
