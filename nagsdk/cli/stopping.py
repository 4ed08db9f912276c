"""Ctrl-C, SIGTERM and SIGHUP end a command soon, whatever it is doing, and leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from types import FrameType
from typing import NoReturn

from nagsdk.common.processes import end_children
from nagsdk.common.unfinished import undo_all

# Time for the command to end by itself, for example to close its sessions, after a signal.
_GRACE_S = 1.0
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_SAY_S = 0.2  # what standard error may take before nothing waits for it
_SHOW_CURSOR = b"\x1b[?25h"


class Stopping:
    """Lets signals stop the running command.

    The first signal raises KeyboardInterrupt in the main thread, unless that imports: native modules abort the process
    where Python raises an exception while they set themselves up. A second one, or a command that does not end soon (it
    may be inside a long call of a library, or may wait for a thread), ends the process at once. A thread of its own
    watches over that, because Python handles no signal during a call into a library.
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._ended = False
        self._said = threading.Event()

    def listen(self) -> None:
        """Handles signals from now on; only in the main thread of a program that ends after the command."""
        numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
        # A signal that is ignored, as under nohup, stays ignored.
        before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
        watched, told = socket.socketpair()
        told.setblocking(False)

        def forget() -> None:
            # A forked process would tell this one of its own signals.
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)

        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=forget)
        self._told = told  # the descriptor must stay open
        signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(watched, frozenset(before), self._said), daemon=True).start()
        for number in before:
            signal.signal(number, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._signal is None and not self._ended:
            self._signal = number
            if not _importing(frame):
                raise KeyboardInterrupt

    def finish(self) -> None:
        """Keeps later signals from interrupting; the command has ended."""
        self._ended = True

    def leave(self, last_words: str) -> NoReturn:
        """Ends this process after an interruption, without waiting for its threads.

        Args:
            last_words: What is said on standard error.
        """
        if self._signal is not None:
            self._said.wait(_SAY_S)
        _say(last_words)
        self.end(128 + (self._signal or signal.SIGINT))

    def end(self, code: int) -> NoReturn:
        """Ends this process at once: prints what is waiting, ends its children and removes what is temporary.

        Args:
            code: The exit code.
        """
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        _leave(code)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


def _watch(watched: socket.socket, numbers: frozenset[int], said: threading.Event) -> None:
    """Waits for the first signal, then for the second one or the end of the grace period, and ends the process."""

    def next_signal() -> int | None:
        while got := watched.recv(1):
            if got[0] in numbers:
                return got[0]
        return None

    first = next_signal()
    if first is None:
        return

    def say() -> None:
        _say("stopping…")
        said.set()

    # In a thread, because standard error may be a full pipe that nobody reads.
    threading.Thread(target=say, daemon=True).start()
    watched.settimeout(_GRACE_S)
    with contextlib.suppress(TimeoutError):
        next_signal()
    _leave(128 + first)


def _say(text: str) -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            os.write(2, f"{text}\n".encode(sys.stderr.encoding or "ascii", "replace"))


def _leave(code: int) -> NoReturn:
    try:
        end_children()
        undo_all()
        with contextlib.suppress(OSError):
            if os.isatty(2):
                os.write(2, _SHOW_CURSOR)  # a progress bar has hidden it
    finally:
        os._exit(code)
