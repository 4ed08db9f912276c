"""Checks of this installation: what works, what is wrong, and the commands that fix it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nagsdk.common.lazy import lazy_names

if TYPE_CHECKING:
    from nagsdk.doctor.checks import doctor

__all__ = ["doctor"]

__getattr__, __dir__ = lazy_names(__name__, {"doctor": "nagsdk.doctor.checks"})
