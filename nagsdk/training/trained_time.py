"""For how long a supernet was trained, over all runs that were killed."""

from __future__ import annotations

import time
from pathlib import Path

from nagsdk.common.files import write_atomically
from nagsdk.events import Event, Listener
from nagsdk.supernet.train import TrainAdvanced

SECONDS = "seconds.txt"  # in the folder of unfinished work
_SAVED_S = 5.0
_LONGEST_STEP_S = 600.0


class TrainingTime:
    """Passes events on, and adds up for how long a supernet was trained, over all runs that were killed.

    Args:
        file: Keeps the seconds.
        on_event: Receives every event as well.
    """

    def __init__(self, file: Path, on_event: Listener) -> None:
        self.file, self.on_event = file, on_event
        self.seconds = float(file.read_text("utf-8")) if file.is_file() else 0.0
        self._last: float | None = None
        self._saved = self.seconds

    def listen(self, event: Event) -> None:
        """See `TrainingTime`."""
        self.on_event(event)
        now = time.monotonic()
        if not isinstance(event, TrainAdvanced):
            self._save()
            return
        if self._last is not None and now - self._last < _LONGEST_STEP_S:  # a machine that slept did not train
            self.seconds += now - self._last
        self._last = now
        if self.seconds - self._saved > _SAVED_S:
            self._save()

    def _save(self) -> None:
        if self.seconds != self._saved:
            write_atomically(self.file, f"{self.seconds:.3f}".encode())
            self._saved = self.seconds
