"""Standard input, output and error as this process got them: closed, broken, or of a narrow encoding."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys

from nagsdk.errors import OutputError


def prepare() -> None:
    """Makes the standard streams fit for use.

    No character may end a command that the encoding of the output lacks, as that of pipes on Windows. JSON consists of
    ASCII characters only, so nothing in it is replaced.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # A file that took the place of a closed stream would receive what libraries print.
            os.open(os.devnull, os.O_RDWR)
    for stream, instead in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape", "surrogatepass"):
            stream.reconfigure(errors=instead)


def check() -> None:
    """Raises an error before work starts if nobody will read the results.

    Raises:
        OutputError: Standard output is a pipe whose reader has ended.
    """
    if sys.platform == "win32" or sys.stdout is None:
        return
    with contextlib.suppress(OSError, ValueError):
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        if any(events & select.POLLERR for _, events in poll.poll(0)):
            raise OutputError(
                "Standard output is a pipe, and the program that reads it has ended.",
                "Run the command without that program, or write to a file.",
            )


def flush() -> None:
    """Writes out what was printed, so that an error is noticed while it can still be told."""
    if sys.stdout is not None:
        sys.stdout.flush()


def discard() -> None:
    """Throws away what cannot be written to standard output; Python would try again, and fail, when it ends."""
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, sys.stdout.fileno())
            os.close(nothing)
