"""The process in which a plugin runs; its arguments are the name and the module of the entry point.

It imports the plugin, lets it register, and calls its methods for the `nagsdk.plugin.process.PluginProcess` that
started it. A method may raise, exit, hang, crash or print: only this process is affected.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import sys
import threading
import warnings
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import IO, Any, TextIO

from nagsdk import errors
from nagsdk.common.foreign_code import blaming, failure, shown
from nagsdk.errors import NagsdkError
from nagsdk.plugin.answers import plain_device, plain_family, plain_network
from nagsdk.plugin.guard import INTERFACES, answered, facts_of
from nagsdk.plugin.load import GROUP, Loaded, load
from nagsdk.plugin.wire import Asked, Parts, Reply, Request, Warned, receive_parts, request_in, send

_MOST_PRINTED = 4096
_MOST_WARNINGS = 20
_PLAIN: dict[str, Callable[[Any], Any]] = {
    "devices": plain_device,
    "spaces": plain_family,
    "networks": plain_network,
}


class Runner:
    """Serves the calls of one plugin.

    Args:
        point: The entry point of the plugin.
        requests: Pickled requests, and the replies to what the plugin asked.
        answers: Where to send the answers.
        trace: Where the traceback goes when the plugin takes too long.
    """

    def __init__(self, point: EntryPoint, requests: queue.SimpleQueue[Parts], answers: IO[bytes], trace: int) -> None:
        self.point, self.requests, self.answers, self.trace = point, requests, answers, trace
        self.whose = f"The plugin {point.name}"
        self.warned: list[Warned] = []
        self.sessions: dict[int, Any] = {}
        self.opened, self.limit_s = 0, 0.0
        self.loaded: Loaded
        warnings.simplefilter("always")  # whether they are shown is decided by the filters of the other process
        warnings.showwarning = self._warn

    def serve(self) -> None:
        """Answers requests until the process is ended."""
        while True:
            request: Request = request_in(self.requests.get(), self._asking)
            self.warned, self.limit_s = [], request.limit_s
            self._watch()
            try:
                value, error = self._answer(request), None
            except KeyboardInterrupt as raised:  # of the plugin: the user's does not reach this process
                value, error = None, _plain(failure(self.whose, raised, request.method))
            except NagsdkError as raised:
                value, error = None, _plain(raised)
            faulthandler.cancel_dump_traceback_later()
            warned = tuple(self.warned)
            try:
                send(self.answers, Reply(value, error, warned))
            except Exception as unsendable:  # objects of the plugin that cannot be pickled; nothing was written yet
                send(self.answers, Reply(None, _plain(failure(self.whose, unsendable, request.method)), warned))

    def _answer(self, request: Request) -> Any:
        kind, key = request.target
        if request.method == "register":
            return self._register()
        if kind == "session":
            real = self.sessions[key] if request.method != "close" else self.sessions.pop(key)
        else:
            real = self.loaded.plugin if kind == "plugin" else getattr(self.loaded.contribution, kind).get(key)
        answer = answered(self.whose, real, request.method, request.arguments)
        if request.method != "open":
            return answer
        self.opened += 1
        self.sessions[self.opened] = answer
        return self.opened

    def _register(self) -> dict[str, Any]:
        """Imports the plugin and describes what it registers."""
        with _Printed() as printed:
            self.loaded = load(self.point)
        described: dict[str, Any] = {}
        for kind, registry in vars(self.loaded.contribution).items():
            if kind in INTERFACES:
                described[kind] = [
                    (facts_of(real, INTERFACES[kind]), type(real).__module__, type(real).__qualname__)
                    for real in registry
                ]
            else:
                with blaming("It", f"nagsdk_register_{kind}"):
                    described[kind] = [_PLAIN[kind](item) for item in registry]
        return {
            **described,
            "printed": shown(printed.text),
            "resolves": hasattr(self.loaded.plugin, "nagsdk_resolve_device"),
            "file": getattr(sys.modules.get(self.point.module), "__file__", None) or "",
        }

    def _watch(self) -> None:
        # This thread of C code ends the process although the plugin may hold the interpreter's lock, and says where.
        faulthandler.dump_traceback_later(self.limit_s, exit=True, file=self.trace)

    def _asking(self, number: int) -> Callable[..., Any]:
        """A function that stands for one of nagsdk's own process."""

        def ask(*arguments: Any) -> Any:
            faulthandler.cancel_dump_traceback_later()  # what nagsdk does meanwhile may take any time
            send(self.answers, Asked(number, arguments))
            value = request_in(self.requests.get(), self._asking)
            self._watch()
            return value

        return ask

    def _warn(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if len(self.warned) < _MOST_WARNINGS:
            self.warned.append(Warned(shown(str(message)), category.__name__, filename, lineno))


class _Printed:
    """Keeps the beginning of what is written to standard output, by Python or to the descriptor, and drops the rest.

    Afterwards, standard output goes where standard error goes.
    """

    text = ""

    def __enter__(self) -> _Printed:
        reading, writing = os.pipe()
        os.dup2(writing, 1)
        os.close(writing)
        self._reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._reader.start()
        return self

    def _read(self, reading: int) -> None:
        kept = b""
        while chunk := os.read(reading, 65536):
            kept += chunk[: _MOST_PRINTED - len(kept)]
            self.text = kept.decode(errors="replace")

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        os.dup2(2, 1)
        self._reader.join(1.0)


def _plain(error: NagsdkError) -> tuple[str, str, str]:
    """An error without objects of the plugin: of the next class that nagsdk has."""
    kind = next(k for k in type(error).__mro__ if getattr(errors, k.__name__, None) is k)
    return kind.__name__, error.message, error.next_step


def main() -> None:
    """Takes over standard input and output, and serves."""
    trace = int(sys.argv[3])
    faulthandler.enable(trace)
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 — for as long as the process lives
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    received: queue.SimpleQueue[Parts] = queue.SimpleQueue()

    def listen() -> None:
        while (content := receive_parts(requests)) is not None:
            received.put(content)
        os._exit(0)  # the other process has ended

    threading.Thread(target=listen, daemon=True).start()
    runner = Runner(EntryPoint(sys.argv[1], sys.argv[2], GROUP), received, answers, trace)
    send(answers, Reply("ready"))
    runner.serve()
