"""Sessions whose runtime runs in a subprocess, so that a crash or a hang there cannot take the caller down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nagsdk.common.processes import end
from nagsdk.common.telemetry import OFF
from nagsdk.device.backend import Burst, Session, Tensor
from nagsdk.device.layer_times import LayerTime
from nagsdk.device.serve import Message, read, write
from nagsdk.errors import DeviceError, DeviceUnavailableError, MeasurementError

_REQUEST_TIMEOUT_S = 120.0


class ProcessSession(Session):
    """A session whose networks run in a worker process, which runs `nagsdk.device.serve.serve`.

    Args:
        settings: Settings of the worker, JSON-ready; passed as its first argument.
        environment: Environment variables that are added to those of the worker.

    Attributes:
        runtime: Name of the runtime, for messages.
        worker: Module that the worker process runs.
        start_timeout_s: Seconds that the worker may take to send its greeting.
        remedy: What the user should do if the worker does not start.
        greeting: First message of the worker.

    Raises:
        DeviceUnavailableError: The worker does not start.
    """

    runtime: ClassVar[str]
    worker: ClassVar[str]
    start_timeout_s: ClassVar[float] = 60.0
    remedy: ClassVar[str]

    def __init__(self, settings: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self._turn = threading.Lock()
        self._closed = False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 — lives as long as the session
        self._process = subprocess.Popen(  # noqa: S603 — this interpreter and a module of ours
            [sys.executable, "-P", "-m", self.worker, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
            env={**os.environ, **OFF, **environment, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        try:
            self.greeting, _ = self._exchange(self.start_timeout_s, "start", None)
            if "refused" in self.greeting:
                raise DeviceUnavailableError(self.greeting["refused"], self.greeting["next_step"])
        except BaseException as error:
            self.close()
            if isinstance(error, MeasurementError):
                raise DeviceUnavailableError(error.message, self.remedy) from error
            raise

    def load(self, compiled: Path) -> int:
        """Loads a file."""
        return int(self._load(compiled)["handle"])

    def _load(self, compiled: Path) -> dict[str, Any]:
        answer, _ = self._ask(
            _REQUEST_TIMEOUT_S, f"load {compiled.name}", {"do": "load", "path": str(compiled.resolve())}
        )
        return answer

    def unload(self, handle: int) -> None:
        """Frees a loaded network."""
        self._ask(_REQUEST_TIMEOUT_S, "unload a network", {"do": "unload", "handle": handle})

    def time(self, handle: int, warmup: int, runs: int, timeout_s: float) -> Burst:
        """Times consecutive runs on one random batch."""
        answer, _ = self._ask(
            timeout_s, "time a network", {"do": "time", "handle": handle, "warmup": warmup, "runs": runs}
        )
        return Burst(tuple(answer["wall_ms"]), tuple(answer["cpu_ms"]), answer["properties"])

    def _operators(self, compiled: Path, runs: int, timeout_s: float) -> tuple[LayerTime, ...]:
        """Asks a worker that has a handler for `operators`."""
        request = {"do": "operators", "path": str(compiled.resolve()), "runs": runs}
        answer, _ = self._ask(timeout_s, f"profile {compiled.name}", request)
        return tuple(LayerTime(name, kind, ms) for name, kind, ms in answer["operators"])

    def infer(self, handle: int, images: Tensor) -> Tensor:
        """Runs images (n, 3, h, w) and returns logits (n, classes)."""
        request = {"do": "infer", "handle": handle, "shape": images.shape}
        answer, body = self._ask(
            _REQUEST_TIMEOUT_S, "run a network", request, np.ascontiguousarray(images, np.float32).tobytes()
        )
        return np.frombuffer(body, np.float32).reshape(answer["shape"])

    def close(self) -> None:
        """Kills the worker process and what it started."""
        self._closed = True
        end(self._process)
        for stream in (self._process.stdin, self._process.stdout, self._log):
            try:
                if stream is not None:
                    stream.close()
            except OSError:
                pass  # unsent data to a dead worker

    def _ask(self, timeout_s: float, what: str, request: dict[str, Any], body: bytes = b"") -> Message:
        with self._turn:
            if self._closed:
                raise DeviceError("This session is closed.", "Open a new one.")
            answer, content = self._exchange(timeout_s, what, (request, body))
        if "error" in answer:
            raise DeviceError(
                f"{self.runtime} could not {what}: {answer['error']}",
                "Export the network again; the message says what is wrong with it.",
            )
        return answer, content

    def _exchange(self, timeout_s: float, what: str, request: Message | None) -> Message:
        """Sends a request and waits for the answer; kills the worker after the timeout, which ends the wait."""
        assert self._process.stdin is not None and self._process.stdout is not None
        timed_out = threading.Event()

        def kill() -> None:
            timed_out.set()
            end(self._process)

        timer = threading.Timer(timeout_s, kill)
        timer.daemon = True  # an interruption between two lines must not leave a thread that this process waits for
        try:
            timer.start()
            if request is not None:
                write(self._process.stdin, *request)
            answer = read(self._process.stdout)
        except OSError:
            answer = None
        finally:
            timer.cancel()
        if answer is None:
            raise self._failure(
                f"did not {what} within {timeout_s:g} s" if timed_out.is_set() else f"died when asked to {what}"
            )
        return answer

    def _failure(self, what: str) -> MeasurementError:
        end(self._process)
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        self.close()
        reason = f": {lines[-1]}" if lines else ""
        return MeasurementError(
            f"{self.runtime} {what} (exit status {self._process.returncode}){reason}.",
            "Try again; if it happens again, allow more time, free memory or choose a smaller network.",
        )
