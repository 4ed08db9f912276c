"""Findings of `nagsdk doctor`; backends report their own in the same form."""

from __future__ import annotations

from dataclasses import dataclass

OK, ABSENT, WRONG = "ok", "absent", "wrong"


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        area: Subject of the check, such as ``packages`` or ``adb``.
        state: ``ok``; ``absent``, which matters only to those who need it; ``wrong``, which should be fixed.
        found: What was found, in one sentence.
        mend: How to fix it, as a command if there is one; empty if nothing needs to be done.
    """

    area: str
    state: str
    found: str
    mend: str = ""
