"""Training curves: a CSV table that is always written, and TensorBoard on request."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nagsdk.common.files import writing
from nagsdk.common.pip import pip
from nagsdk.errors import UsageError
from nagsdk.events import Advanced, Event, Listener, Started
from nagsdk.supernet.train import TRAINING, TrainAdvanced

_COLUMNS = tuple(f.name for f in fields(TrainAdvanced) if f.name not in {f.name for f in fields(Advanced)})


class Curves:
    """Passes events on and records the figures of training steps.

    ``curve.csv`` has one row for every step that was run. Steps of a killed run after its last checkpoint are run again
    and appear twice.

    Args:
        work: Folder of the table.
        tensorboard: Folder for TensorBoard; None writes nothing for it.
        on_event: Receives every event as well.

    Raises:
        UsageError: TensorBoard is requested but not installed.
    """

    def __init__(self, work: Path, tensorboard: Path | None, on_event: Listener) -> None:
        self.table, self.on_event = work / "curve.csv", on_event
        self.board: Any = None
        if tensorboard is not None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise UsageError(
                    "TensorBoard is not installed.", f"Install it: {pip('install', 'nagsdk[tensorboard]')}"
                ) from error
            self.board = SummaryWriter(str(tensorboard))
        self.before, self.total = 0, 0
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        """Returns itself; the table is created when the first rows are written."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Writes the remaining rows and closes TensorBoard."""
        self._flush()
        if self.board is not None:
            self.board.close()

    def listen(self, event: Event) -> None:
        """Passes an event on and records it; see `Curves`."""
        self.on_event(event)
        if isinstance(event, Started) and event.text == TRAINING:
            # Passes that an earlier run completed are started as well and end immediately.
            self.before += self.total
            self.total = int(event.total or 0)
        if not isinstance(event, TrainAdvanced):
            self._flush()
            return
        values = {name: getattr(event, name) for name in _COLUMNS}
        step = self.before + int(event.done)
        self.lines.append(",".join([str(step), *(f"{value:.6g}" for value in values.values())]))
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def _flush(self) -> None:
        if not self.lines:
            return
        with writing(self.table):
            self.table.parent.mkdir(parents=True, exist_ok=True)
            new = not self.table.exists()
            with self.table.open("a", encoding="utf-8", newline="\n") as file:
                file.write("\n".join(([",".join(("step", *_COLUMNS))] if new else []) + self.lines) + "\n")
        self.lines.clear()
