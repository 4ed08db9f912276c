"""Shows progress: bars on a terminal, only warnings elsewhere. All of it goes to standard error."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from nagsdk.cli.printing import say
from nagsdk.errors import printable
from nagsdk.events import Advanced, Event, Finished, Listener, Notice, Remaining, Started

if TYPE_CHECKING:
    from rich.progress import TaskID

# What a screen of 80 columns has room for, beside a bar of 20 and the times.
_LONGEST, _BAR = 41, 20
# Where click keeps the listener of a command.
_BARS = "nagsdk.bars"


def listener() -> Listener:
    """The listener of the running command, always the same one: bars on a terminal, only warnings elsewhere."""
    if not sys.stderr.isatty():
        return warn
    if (context := click.get_current_context(silent=True)) is None:
        return Bars()
    if _BARS not in context.meta:  # only one part of the screen can be drawn on at a time
        context.meta[_BARS] = bars = Bars()
        context.find_root().call_on_close(bars.close)
    found: Bars = context.meta[_BARS]
    return found


def at_once(event: Event) -> None:
    """Shows an event with the listener of the running command, which is made when the first one comes."""
    listener()(event)


def warn(event: Event) -> None:
    """The listener that prints only warnings."""
    if isinstance(event, Notice) and event.warning:
        say(f"Warning: {event.text}", err=True)


def speaks() -> bool:
    """Whether this process prints results: only the first of the processes that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


class Bars:
    """A listener that draws bars while stages run, and nothing between stages, when results may be printed."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.table import Column

        self._console = Console(stderr=True)
        # Texts of architectures are long, and texts from devices must not be read as markup.
        column = Column(no_wrap=True, max_width=_LONGEST, overflow="ellipsis")
        text = TextColumn("{task.description}", markup=False, table_column=column)
        # Unlike bars, spinners of rich do not look at the encoding.
        spinner = SpinnerColumn("dots" if self._console.encoding.startswith("utf") else "line")
        columns = (spinner, text, BarColumn(_BAR), TimeElapsedColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._tasks: list[TaskID] = []
        self._whole: TaskID | None = None

    def __call__(self, event: Event) -> None:
        """Shows an event."""
        from rich.text import Text

        match event:
            case Started(text, total):
                self._tasks.append(self._progress.add_task(printable(text), total=total))
                self._progress.start()
            case Advanced(text, done) if self._tasks:
                self._progress.update(self._tasks[-1], completed=done, description=printable(text))
            case Remaining(text, seconds):
                told = f"{printable(text)}: {_minutes(seconds)} left"
                if self._whole is None:
                    self._whole = self._progress.add_task(told, total=None)
                self._progress.update(self._whole, description=told)
            case Finished() if self._tasks:
                self._progress.remove_task(self._tasks.pop())
                if not self._tasks:
                    self.close()
            case Notice(text, warning):
                text = printable(text)
                self._console.print(Text("Warning: ", "yellow") + Text(text, "default") if warning else Text(text))

    def close(self) -> None:
        """Removes the bars from the screen."""
        self._progress.stop()


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
