"""The worker's side of a `ProcessSession`: messages over pipes, and the loop that answers them.

A message is one line of JSON followed by a body; the field `bytes` holds the length of the body. This module imports
nothing heavy, so that a worker loads its runtime and nothing else.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

Message = tuple[dict[str, Any], bytes]
Handler = Callable[[dict[str, Any], bytes], Message]
Images = NDArray[np.float32]


def read(stream: IO[bytes]) -> Message | None:
    """Reads one message; returns None at the end of the stream.

    Other lines are skipped: a runtime may have printed them before `serve` redirected standard output.
    """
    while (line := stream.readline()).endswith(b"\n"):
        try:
            header = json.loads(line)
            length = header["bytes"]
        except (ValueError, TypeError, LookupError):
            continue
        body = stream.read(length)
        return (header, body) if len(body) == length else None
    return None


def write(stream: IO[bytes], header: dict[str, Any], body: bytes = b"") -> None:
    """Writes one message."""
    stream.write(json.dumps({**header, "bytes": len(body)}).encode() + b"\n" + body)
    stream.flush()


def serve(start: Callable[[dict[str, Any]], tuple[dict[str, Any], Mapping[str, Handler]]]) -> None:
    """Answers requests until the parent closes standard input, which ends the process even during a run.

    Args:
        start: Called once with the settings (the JSON of the first argument). It returns the greeting for the
            session, and a handler for each request by its name. An exception in a handler becomes an error answer.
    """
    settings = json.loads(sys.argv[1])
    _raise_priority()
    sys.stdout.flush()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    answers.write(b"\n")  # ends a line that a runtime may have printed while it was imported
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # so that the output of a runtime does not mix with the answers
    requests: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def listen() -> None:
        while (message := read(sys.stdin.buffer)) is not None:
            requests.put(message)
        _end_session()

    threading.Thread(target=listen, daemon=True).start()
    greeting, handlers = start(settings)
    write(answers, greeting)
    while True:
        request, body = requests.get()
        try:
            answer, content = handlers[request["do"]](request, body)
        except Exception as error:  # a runtime may raise anything
            answer, content = {"error": f"{type(error).__name__}: {error}"}, b""
        write(answers, answer, content)


def in_batches(request: dict[str, Any], body: bytes, batch: int, run: Callable[[Images], Images]) -> Message:
    """Answers an `infer` request: runs the images in batches of a fixed size, repeating the last image to fill up."""
    images: Images = np.frombuffer(body, np.float32).reshape(request["shape"])
    padded = images[np.minimum(np.arange(-(-len(images) // batch) * batch), len(images) - 1)]
    parts = [run(padded[i : i + batch]) for i in range(0, len(padded), batch)]
    outputs = np.ascontiguousarray(np.concatenate(parts)[: len(images)], np.float32)
    return {"shape": list(outputs.shape)}, outputs.tobytes()


def warm_up(run: Callable[[], object], runs: int, seconds: float) -> None:
    """Runs a network at least `runs` times and for at least `seconds`.

    The time matters for tiny networks: a few runs are over before a sleeping core has reached its full speed.
    """
    end, done = time.perf_counter() + seconds, 0
    while done < runs or time.perf_counter() < end:
        run()
        done += 1


def timed(
    request: dict[str, Any], run: Callable[[], object], threads: int, warm_s: float, known: Mapping[str, float]
) -> Message:
    """Answers a `time` request with consecutive runs of a network on the CPU.

    Args:
        request: Holds the number of timed `runs` and of untimed runs before them (`warmup`).
        run: Runs the network once.
        threads: Number of threads of the network; a single one must be the calling thread.
        warm_s: Least seconds of untimed runs.
        known: Properties of the network that were observed when it was loaded.
    """
    warm_up(run, max(1, request["warmup"]), warm_s)
    wall, cpu = [], []
    process_start = time.process_time_ns()
    for _ in range(request["runs"]):
        wall_start, cpu_start = time.perf_counter_ns(), time.thread_time_ns()
        run()
        cpu.append((time.thread_time_ns() - cpu_start) / 1e6)
        wall.append((time.perf_counter_ns() - wall_start) / 1e6)
    if threads == 1:
        # Windows counts a thread's CPU time in ticks of 15.6 ms, which is too coarse for single runs.
        return {"wall_ms": wall, "cpu_ms": [] if sys.platform == "win32" else cpu, "properties": dict(known)}, b""
    # Threads that wait for each other sleep or spin, so their CPU time does not show whether a core was taken away.
    total = (time.process_time_ns() - process_start) / 1e6 / request["runs"]
    return {"wall_ms": wall, "cpu_ms": [], "properties": {**known, "cpu_all_threads_ms": total}}, b""


def _end_session() -> NoReturn:
    """Ends this process, and what it started where it leads a session of its own."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


def _raise_priority() -> None:
    """Raises the priority of this process where the system allows it, so that other work disturbs the timings less.

    Linux first shares the processor between whole sessions (autogroups), so the worker is started in its own session
    and the priority of that session is raised too.
    """
    if sys.platform == "win32":
        return
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        Path("/proc/self/autogroup").write_bytes(b"-20")
    except OSError:
        pass  # without the rights for it, or on macOS: the CPU times still show which readings were disturbed
