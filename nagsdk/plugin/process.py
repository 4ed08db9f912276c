"""Processes in which the plugins of others run, so that nothing they do reaches the process that uses nagsdk."""

from __future__ import annotations

import builtins
import contextlib
import os
import pickle
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import IO, Any

from nagsdk import errors
from nagsdk.common.foreign_code import FIX, shown
from nagsdk.common.processes import end
from nagsdk.common.telemetry import OFF
from nagsdk.device.backend import Session
from nagsdk.errors import DeviceError
from nagsdk.generator.strategy import Question
from nagsdk.plugin.guard import stand_in
from nagsdk.plugin.wire import Asked, Parts, Reply, Request, answer_in, receive_parts, send

# As a module of its own name, so that tracebacks tell it from the plugin.
_RUN = "from nagsdk.plugin.runner import main; main()"
# Time that the interpreter and nagsdk's own modules take to start, in addition to the plugin.
_START_S = 30.0
# How long a process may take to end itself after its time is over, before it is killed.
_GRACE_S = 5.0
# A process that ends after this share of its time was ended by its own watch, whose clock is another one.
_LATE = 0.95
_MOST_IDLE = 2
# So many start at the same time: more would only keep each other, and what already runs, from the cores.
_STARTING = threading.BoundedSemaphore(os.cpu_count() or 1)
# Time limits, as multiples of the setting `plugin_timeout_s`.
_QUICK, _USUAL, _LONG = 2.5, 30.0, 180.0
_LIMITS = dict.fromkeys(
    ("presence", "supports", "layer_bytes", "rewrites", "simulate", "tolerance", "scheme", "diagnose", "of_layer"),
    _QUICK,
) | {
    "register": 1.0,
    "kept_by_layer": _QUICK,
    "nagsdk_resolve_device": _QUICK,
    "close": _QUICK,
    "time": _QUICK,
    "compile": _LONG,
    "setup": _LONG,
    "propose": _LONG,
}
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in ', re.MULTILINE)
# Of the log, only the last chunks are kept.
_MOST_CHUNKS, _MOST_CHUNK = 64, 4096
_OWN, _PYTHON = Path(__file__).parents[1], Path(os.__file__).parent


class EndedError(DeviceError):
    """The process of a plugin ended by a crash or an exit, or was ended because it did not answer in time.

    Args:
        whose: The plugin.
        how: What happened.
        late: Whether it did not answer in time.
        method: The method that was called.
        where: File and line, if they are known.
    """

    def __init__(self, whose: str, how: str, late: bool, method: str, where: Sequence[str]) -> None:
        super().__init__(f"{whose} {how} ({', '.join([*where, f'in {method}'])}).", FIX)
        self.how, self.late, self.where = how, late, where


class PluginProcess:
    """One process of a plugin; it serves one call at a time.

    Args:
        point: The entry point of the plugin.

    Attributes:
        file: File of the plugin's module, once it has registered.
    """

    def __init__(self, point: EntryPoint) -> None:
        self.point, self.file = point, ""
        self._started_by = os.getpid()
        # In the log, what the plugin prints would get between the lines. Windows cannot pass a file on like this.
        self._trace = tempfile.TemporaryFile() if os.name == "posix" else None  # noqa: SIM115 — as long as the process
        trace = 2 if self._trace is None else self._trace.fileno()
        self._process = subprocess.Popen(  # noqa: S603 — this interpreter and our own module
            [sys.executable, "-P", "-c", _RUN, point.name, point.value, str(trace)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=() if self._trace is None else (trace,),
            env={**os.environ, **OFF, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        self._answers: queue.SimpleQueue[Parts | None] = queue.SimpleQueue()
        self._asked = time.monotonic()
        self._log: deque[bytes] = deque(maxlen=_MOST_CHUNKS)
        assert self._process.stdout is not None and self._process.stderr is not None
        self._threads = (
            threading.Thread(target=_read_answers, args=(self._process.stdout, self._answers.put), daemon=True),
            threading.Thread(target=_read_log, args=(self._process.stderr, self._log.append), daemon=True),
        )
        for thread in self._threads:
            thread.start()
        self._end = weakref.finalize(self, _end, self._process, self._started_by)
        self._ready = False

    @property
    def usable(self) -> bool:
        """Whether it runs, and was not started by the process that this one was forked from."""
        return self._end.alive and self._started_by == os.getpid() and self._process.poll() is None

    def ask(self, request: Request) -> Any:
        """Calls a method of the plugin.

        Raises:
            EndedError: It ended its process, or exceeded its time limit.
            DeviceError: It failed or gave a wrong answer.
        """
        try:
            reply = self._reply(request)
        except BaseException:  # also Ctrl-C: what the process does now is not known
            self.end()
            raise
        for warned in reply.warnings:
            found = getattr(builtins, warned.category, UserWarning)
            category = found if isinstance(found, type) and issubclass(found, Warning) else UserWarning
            warnings.warn_explicit(warned.text, category, warned.file, warned.line)
        if reply.error is not None:
            kind, message, next_step = reply.error
            raise getattr(errors, kind)(message, next_step)
        return reply.value

    def end(self) -> None:
        """Kills the process."""
        self._end()

    def _reply(self, request: Request) -> Reply:
        if not self._ready:
            self._ready = isinstance(self._next("start", _START_S), Reply)
        asked = [value for value in request.arguments if isinstance(value, Question)]
        of_codes = [value.loss for value in asked if value.loss is not None]
        functions = [value for value in request.arguments if callable(value)] + of_codes
        functions += [function for value in asked for function in (value.generator, value.on_event)]
        self._send(request, functions)
        while not isinstance(message := self._next(request.method, request.limit_s), Reply):
            if not (isinstance(message, Asked) and message.is_usual(functions[message.function] in of_codes)):
                told = f"{self._whose} reports something else than events and codes in {request.method}."
                raise DeviceError(told, FIX)
            self._send(functions[message.function](*message.arguments))
        return message

    @property
    def _whose(self) -> str:
        return f"The plugin {self.point.name}"

    def _send(self, message: Any, functions: Sequence[Callable[..., Any]] = ()) -> None:
        assert self._process.stdin is not None
        self._asked = time.monotonic()  # before the other process knows, so that its time limit does not end earlier
        with contextlib.suppress(OSError):  # it has ended, which the next read tells
            send(self._process.stdin, message, functions)

    def _next(self, method: str, limit_s: float) -> Any:
        try:
            content = self._answers.get(timeout=limit_s + _GRACE_S)
        except queue.Empty:
            content = None
        if content is not None:
            try:
                return answer_in(content)
            except (pickle.UnpicklingError, AttributeError, ImportError) as error:
                told = f"{self._whose} answered {method} with an object that only itself knows: {shown(str(error))}."
                raise DeviceError(told, FIX) from error
        raise self._ended(method, limit_s, time.monotonic() - self._asked >= _LATE * limit_s)

    def _ended(self, method: str, limit_s: float, late: bool) -> EndedError:
        """The error for a process that has ended, or did not answer."""
        how = f"did not answer within {limit_s:g} s"
        if not late:
            try:
                status = self._process.wait(_GRACE_S)
                what = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
            except subprocess.TimeoutExpired:
                what = "its output is closed"
            how = f"ended its process: {what}"
        return EndedError(self._whose, how, late, method, self._where())

    def _where(self) -> list[str]:
        """Where the plugin was, by the traceback that its process has left."""
        for thread in self._threads:
            thread.join(1.0)
        if self._trace is None:
            log = b"".join(self._log).decode(errors="replace")
        else:
            self._trace.seek(0)
            log = self._trace.read(_MOST_CHUNKS * _MOST_CHUNK).decode(errors="replace")
        _, _, at = log.rpartition("Current thread 0x") if "Current thread 0x" in log else log.rpartition("Thread 0x")
        frames = [
            (file, line)
            for file, line in _FRAME.findall(at)
            if not file.startswith("<") and not {_OWN, _PYTHON} & {*Path(file).parents}
        ]
        folder = Path(self.file).parent
        own = [frame for frame in frames if self.file and folder in Path(frame[0]).parents] or frames
        return [f"{own[0][0]}, line {own[0][1]}"] if own else []


def _asked_for(method: str, arguments: Sequence[Any]) -> float:
    """The timeout that a call names itself."""
    return float(arguments[-1]) if method in ("time", "layer_times") else 0.0


def _read_answers(stream: IO[bytes], into: Callable[[Parts | None], None]) -> None:
    while (content := receive_parts(stream)) is not None:
        into(content)
    into(None)


def _read_log(stream: IO[bytes], into: Callable[[bytes], None]) -> None:
    while chunk := os.read(stream.fileno(), 65536):
        into(chunk[-_MOST_CHUNK:])


def _end(process: subprocess.Popen[bytes], started_by: int) -> None:
    if started_by == os.getpid():  # a fork must not end what belongs to the process that it was forked from
        end(process)


class Processes:
    """The processes of one plugin: idle ones are used again, and calls at the same time get one each.

    Args:
        point: The entry point of the plugin.
        seconds: The setting `plugin_timeout_s`, which the time limits are multiples of.
    """

    def __init__(self, point: EntryPoint, seconds: float) -> None:
        self.point, self.seconds = point, seconds
        self._idle: list[PluginProcess] = [PluginProcess(point)]
        self._in_session, self._most_idle = weakref.WeakSet[PluginProcess](), _MOST_IDLE

    def call(
        self, target: tuple[str, Any], method: str, arguments: Sequence[Any], limits: Mapping[str, float] = {}
    ) -> Any:
        """Calls a method in an idle process.

        Args:
            target: See `Request`.
            method: Name of the method.
            arguments: Its arguments.
            limits: Time limits that the plugin declares, by method.

        Raises:
            DeviceError: See `PluginProcess.ask`.
        """
        process = self._take()
        try:
            answer = process.ask(self.request(target, method, arguments, limits))
        finally:
            if method != "open" or sys.exc_info()[0] is not None:
                self.give_back(process)
        return self._session(process, answer, limits) if method == "open" else answer

    def request(
        self, target: tuple[str, Any], method: str, arguments: Sequence[Any], limits: Mapping[str, float]
    ) -> Request:
        """The request for a call, with its time limit."""
        limit = limits.get(method, self.seconds * _LIMITS.get(method, _USUAL))
        return Request(target, method, tuple(arguments), limit + _asked_for(method, arguments))

    def give_back(self, process: PluginProcess) -> None:
        """Keeps a process for the next call, if it still runs; as many as there were open sessions at a time."""
        self._in_session.discard(process)
        if process.usable and len(self._idle) < self._most_idle:
            self._idle.append(process)
        else:
            process.end()

    def _take(self) -> PluginProcess:
        if (idle := self._take_idle()) is not None:
            return idle
        with _STARTING:
            if (idle := self._take_idle()) is not None:  # one became idle meanwhile
                return idle
            process = PluginProcess(self.point)
            try:
                process.file = process.ask(self.request(("plugin", ""), "register", (), {}))["file"]
            except BaseException:
                process.end()
                raise
            return process

    def _take_idle(self) -> PluginProcess | None:
        while True:
            try:
                process = self._idle.pop()  # one step, so that threads need no lock
            except IndexError:
                return None
            if process.usable:
                return process

    def register(self) -> dict[str, Any]:
        """Lets the plugin register in its first process; see `nagsdk.plugin.runner.Runner`."""
        (process,) = self._idle
        described: dict[str, Any] = process.ask(self.request(("plugin", ""), "register", (), {}))
        process.file = described["file"]
        return described

    def end(self) -> None:
        """Ends the processes that are idle."""
        while self._idle:
            self._idle.pop().end()

    def _session(self, process: PluginProcess, number: int, limits: Mapping[str, float]) -> Session:
        turn, closed = threading.Lock(), threading.Event()
        self._in_session.add(process)
        self._most_idle = max(self._most_idle, len(self._in_session))

        def caller(method: str, arguments: Sequence[Any]) -> Any:
            if method == "close" and not closed.is_set() and turn.locked():
                process.end()  # as a burst in another thread would last
            with turn:
                if closed.is_set() or not process.usable:
                    if method == "close":
                        return closed.set()
                    raise DeviceError("This session is closed.", "Open a new one.")
                try:
                    return process.ask(self.request(("session", number), method, arguments, limits))
                finally:
                    if method == "close":
                        closed.set()
                        self.give_back(process)

        return stand_in(Session, {}, caller, lambda: Session)  # type: ignore[type-abstract]
