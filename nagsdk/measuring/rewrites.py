"""Picks the fastest of a backend's rewrites of a graph by timing them on the device."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nagsdk.common.files import write_atomically
from nagsdk.common.reading import read_json

if TYPE_CHECKING:
    from nagsdk.measuring.measurement import Measurement

_MOST_BYTES, _MOST_MS = 64 * 1024, 1e9


@dataclass(frozen=True)
class RewriteChoice:
    """The rewrite that was the fastest on a device.

    Attributes:
        name: Name of the rewrite; see `Backend.rewrites`.
        p50_ms: Latency of the timed network with each rewrite, at the device's quiet speed.
        architecture: Text form of the timed network.
        date: Date of the measurement.
    """

    name: str
    p50_ms: Mapping[str, float]
    architecture: str
    date: str

    @classmethod
    def of(cls, architecture: str, found: Mapping[str, Measurement]) -> RewriteChoice:
        """Returns the choice that follows from one network timed with every rewrite in the same session."""
        p50_ms = {name: measurement.normalised_ms() for name, measurement in found.items()}
        return cls(
            min(p50_ms, key=p50_ms.__getitem__), p50_ms, architecture, datetime.now(UTC).isoformat(timespec="seconds")
        )

    @property
    def told(self) -> str:
        """The choice as a sentence for people."""
        others = ", ".join(f"{name} {ms:.4g} ms" for name, ms in self.p50_ms.items() if name != self.name)
        return (
            f"Graphs are written with the rewrite {self.name}, the fastest on this device: "
            f"{self.p50_ms[self.name]:.4g} ms, compared with {others}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields, JSON-ready."""
        return asdict(self)


def read_choice(path: Path, names: Collection[str]) -> RewriteChoice | None:
    """Reads a stored choice.

    Args:
        path: File of the choice.
        names: Rewrites that the backend offers.

    Returns:
        The choice; None if there is no valid file, or if the choice was made between other rewrites.
    """
    try:
        values = read_json(path, _MOST_BYTES)
        p50_ms = {str(name): float(ms) for name, ms in values["p50_ms"].items()}
        if not all(0 < ms < _MOST_MS for ms in p50_ms.values()):
            return None
        choice = RewriteChoice(str(values["name"]), p50_ms, str(values["architecture"]), str(values["date"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return choice if choice.name in names and set(p50_ms) == set(names) else None


def keep_choice(path: Path, choice: RewriteChoice) -> None:
    """Stores a choice for later runs.

    Raises:
        OutputError: The folder is not writable or the disk is full.
    """
    write_atomically(path, json.dumps(choice.to_dict(), indent=2).encode())
