"""The figures of a bundle's task, which `nagsdk train` leaves in it."""

from __future__ import annotations

from typing import Any

from nagsdk.bundle.bundle import Bundle
from nagsdk.common.reading import json_of
from nagsdk.manifest.task_schema import TaskRecord

TASK, TASK_PAGE = "task.json", "report.html"
_MOST_TASK = 10**5


def task_of(bundle: Bundle) -> dict[str, Any] | None:
    """The content of a bundle's task.json; None if it has none.

    Raises:
        DamagedBundleError: It is not valid.
    """
    if TASK not in bundle.files:
        return None
    return bundle.files.parsed(
        TASK, _MOST_TASK, lambda content: TaskRecord.model_validate(json_of(content)).model_dump()
    )
