"""What `nagsdk doctor` finds; backends report theirs in the same form."""

from __future__ import annotations

from dataclasses import dataclass

OK, ABSENT, WRONG = "ok", "absent", "wrong"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        area: What it belongs to, such as ``packages`` or ``adb``.
        state: ``ok``; ``absent``, which matters only to those who want it; ``wrong``, which should be mended.
        found: What was found, one sentence.
        mend: What to do about it, a command where there is one; empty where nothing needs to be done.
    """

    area: str
    state: str
    found: str
    mend: str = ""
