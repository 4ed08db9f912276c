"""The far side of a `ProcessSession`: messages over pipes, and the loop that answers them.

A message is one line of JSON, then `bytes` bytes. This module imports nothing heavy, so that a worker holds
its runtime and nothing else.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Message = tuple[dict[str, Any], bytes]
Handler = Callable[[dict[str, Any], bytes], Message]
Images = NDArray[np.float32]


def read(stream: IO[bytes]) -> Message | None:
    """Reads one message; None at the end of the stream.

    Lines that begin no message are skipped: what a runtime printed before `serve` took its standard output away.
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
    """Serves requests until the parent closes standard input, also during a run.

    Args:
        start: Called once with the settings (the JSON of the first argument); returns what to greet the
            session with, and a handler for each request by its name. What a handler raises becomes an answer.
    """
    settings = json.loads(sys.argv[1])
    _take_precedence()
    sys.stdout.flush()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    answers.write(b"\n")  # ends what a runtime printed while it was imported
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a runtime that prints must not garble the answers
    requests: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def listen() -> None:
        while (message := read(sys.stdin.buffer)) is not None:
            requests.put(message)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    greeting, handlers = start(settings)
    write(answers, greeting)
    while True:
        request, body = requests.get()
        try:
            answer, content = handlers[request["do"]](request, body)
        except Exception as error:  # whatever a runtime raises
            answer, content = {"error": f"{type(error).__name__}: {error}"}, b""
        write(answers, answer, content)


def in_batches(request: dict[str, Any], body: bytes, batch: int, run: Callable[[Images], Images]) -> Message:
    """Answers an `infer` request: the images in batches of a fixed size, the last one filled up by repetition."""
    images: Images = np.frombuffer(body, np.float32).reshape(request["shape"])
    padded = images[np.minimum(np.arange(-(-len(images) // batch) * batch), len(images) - 1)]
    parts = [run(padded[i : i + batch]) for i in range(0, len(padded), batch)]
    outputs = np.ascontiguousarray(np.concatenate(parts)[: len(images)], np.float32)
    return {"shape": list(outputs.shape)}, outputs.tobytes()


def warm_up(run: Callable[[], object], runs: int, seconds: float) -> None:
    """Runs so often and so long at least: a tiny network's runs are over before a core that slept has woken up."""
    awake, done = time.perf_counter() + seconds, 0
    while done < runs or time.perf_counter() < awake:
        run()
        done += 1


def timed(request: dict[str, Any], run: Callable[[], object], threads: int, warm_s: float) -> Message:
    """Answers a `time` request with consecutive runs of a network on the CPU.

    Args:
        request: With the number of `runs` and of untimed ones before (`warmup`).
        run: One run.
        threads: Of the network; a single one must be the calling thread.
        warm_s: Seconds that the untimed runs go on at least.
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
        # Windows counts a thread's CPU time in ticks of 15.6 ms, which say nothing of a run.
        return {"wall_ms": wall, "cpu_ms": [] if sys.platform == "win32" else cpu, "properties": {}}, b""
    # Threads that wait for each other sleep or spin: their CPU time does not show whether any was taken away.
    total = (time.process_time_ns() - process_start) / 1e6 / request["runs"]
    return {"wall_ms": wall, "cpu_ms": [], "properties": {"cpu_all_threads_ms": total}}, b""


def _take_precedence() -> None:
    """Goes before other work where the system allows it: what is timed is the network, not its neighbours.

    Linux weighs whole sessions against each other first (autogroups), which is why the worker leads one of its own.
    """
    if sys.platform == "win32":
        return
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        Path("/proc/self/autogroup").write_bytes(b"-20")
    except OSError:
        pass  # an ordinary user, or macOS: disturbed readings are told by their CPU time
