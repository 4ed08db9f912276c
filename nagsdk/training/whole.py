"""Tells how long the whole of a training will still take, and not only the stage that runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from nagsdk.events import Advanced, Event, Listener, Remaining
from nagsdk.training.schedule import Schedule

_EVERY_S = 1.0
# The estimate is corrected by what was done so far, but a short beginning says little.
_LEAST_S, _MOST_WRONG = 20.0, 5.0


class Whole:
    """Passes events on, and adds the time that remains of all parts of a schedule.

    Args:
        schedule: The schedule with the estimated seconds of its parts.
        on_event: Receives every event as well.

    Attributes:
        spent: Seconds that the parts took in this process so far.
    """

    def __init__(self, schedule: Schedule, on_event: Listener) -> None:
        self.on_event = on_event
        self.expected = dict(schedule.seconds)
        self.expect(schedule)
        self._done = dict.fromkeys(self.expected, 0.0)
        self.spent = dict.fromkeys(self.expected, 0.0)
        self._part: str | None = None
        self._began = self._told = time.monotonic()

    def expect(self, schedule: Schedule) -> None:
        """Takes over how many events each part of a schedule sends while it advances."""
        near, anywhere = schedule.footing
        self._events = {
            "training": schedule.steps,
            "measuring": schedule.subnets + near + anywhere + 3 + schedule.losses,
            "predictor": 30,
        }

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Marks the work of one part, which may come in several pieces."""
        self._part, began = name, time.monotonic()
        try:
            yield
        finally:
            self._part = None
            self.spent[name] += time.monotonic() - began
        if name != "measuring" and name != "training":
            self._done[name] = 1.0

    def listen(self, event: Event) -> None:
        """Passes an event on, and tells the remaining time now and then."""
        self.on_event(event)
        if self._part is None or not isinstance(event, Advanced):
            return
        known = self._events.get(self._part)
        if known is not None:
            self._done[self._part] = min(1.0, self._done[self._part] + 1 / max(known, 1))
        now = time.monotonic()
        if now - self._told >= _EVERY_S:
            self._told = now
            self.on_event(Remaining(f"the whole of {sum(self.expected.values()) / 60:.0f} min", self.seconds()))

    def seconds(self) -> float:
        """The seconds that remain, by the estimate and by how long the parts so far took."""
        left = sum(seconds * (1 - self._done[part]) for part, seconds in self.expected.items())
        done = sum(self.expected.values()) - left
        spent = time.monotonic() - self._began
        wrong = spent / done if spent >= _LEAST_S and done > 0 else 1.0
        return left * min(max(wrong, 1 / _MOST_WRONG), _MOST_WRONG)
