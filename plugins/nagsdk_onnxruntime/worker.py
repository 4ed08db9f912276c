"""The process in which ONNX Runtime runs: numpy and onnxruntime only, so that nothing else takes its cores.

Requests come in on standard input and answers go out on standard output (see `wire`). It ends with its
parent: at the end of standard input, even during a run.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from nagsdk_onnxruntime.wire import Message, read, write

_WARM_S = 0.005


class Worker:
    """Answers requests with the networks that are loaded."""

    def __init__(self, threads: int, provider: str, spinning: bool) -> None:
        self.threads, self.provider = threads, provider
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1
        self.options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        self.options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
        self.sessions: dict[int, Any] = {}
        self.loaded = 0

    def load(self, request: dict[str, Any], body: bytes) -> Message:
        """Loads a file and answers its handle and the providers it really got."""
        session = onnxruntime.InferenceSession(request["path"], self.options, providers=[self.provider])
        self.loaded += 1
        self.sessions[self.loaded] = session
        return {"handle": self.loaded, "providers": session.get_providers()}, b""

    def unload(self, request: dict[str, Any], body: bytes) -> Message:
        """Frees a network."""
        del self.sessions[request["handle"]]
        return {}, b""

    def time(self, request: dict[str, Any], body: bytes) -> Message:
        """Times consecutive runs on one random batch."""
        session = self.sessions[request["handle"]]
        source = session.get_inputs()[0]
        feed = {source.name: np.random.default_rng(0).standard_normal(source.shape, dtype=np.float32)}
        # A tiny network's runs are over before a core that slept has woken up: warm for some time as well.
        awake = time.perf_counter() + _WARM_S
        for done in itertools.count(1):
            session.run(None, feed)
            if done >= request["warmup"] and time.perf_counter() >= awake:
                break
        wall, cpu = [], []
        process_start = time.process_time_ns()
        for _ in range(request["runs"]):
            # A single thread of ONNX Runtime is the calling thread.
            wall_start, cpu_start = time.perf_counter_ns(), time.thread_time_ns()
            session.run(None, feed)
            cpu.append((time.thread_time_ns() - cpu_start) / 1e6)
            wall.append((time.perf_counter_ns() - wall_start) / 1e6)
        if self.threads == 1:
            return {"wall_ms": wall, "cpu_ms": cpu, "properties": {}}, b""
        # Threads that wait for each other sleep or spin: their CPU time does not show whether any was taken away.
        total = (time.process_time_ns() - process_start) / 1e6 / request["runs"]
        return {"wall_ms": wall, "cpu_ms": [], "properties": {"cpu_all_threads_ms": total}}, b""

    def infer(self, request: dict[str, Any], body: bytes) -> Message:
        """Runs images and answers the rows of the first output."""
        session = self.sessions[request["handle"]]
        source = session.get_inputs()[0]
        images = np.frombuffer(body, np.float32).reshape(request["shape"])
        batch = int(source.shape[0])
        # The batch of the network is fixed: the last one is filled up by repetition, and cut again.
        padded = images[np.minimum(np.arange(-(-len(images) // batch) * batch), len(images) - 1)]
        parts = [session.run(None, {source.name: padded[i : i + batch]})[0] for i in range(0, len(padded), batch)]
        outputs = np.ascontiguousarray(np.concatenate(parts)[: len(images)], np.float32)
        return {"shape": list(outputs.shape)}, outputs.tobytes()

    def answer(self, request: dict[str, Any], body: bytes) -> Message:
        """Answers one request; an exception of the runtime becomes an answer too."""
        methods = {"load": self.load, "unload": self.unload, "time": self.time, "infer": self.infer}
        try:
            return methods[request["do"]](request, body)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}, b""


def _take_precedence() -> None:
    """Goes before other work where the system allows it: what is timed is the network, not its neighbours.

    Linux weighs whole sessions against each other first (autogroups), which is why the worker leads one of its own.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        Path("/proc/self/autogroup").write_text("-20", "ascii")
    except (AttributeError, OSError):
        pass  # an ordinary user, or another system: disturbed readings are told by their CPU time


def main() -> None:
    """Serves requests until the parent closes standard input."""
    settings = json.loads(sys.argv[1])
    if settings["cores"]:
        os.sched_setaffinity(0, settings["cores"])
    _take_precedence()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a runtime that prints must not garble the answers
    requests: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def listen() -> None:
        while (message := read(sys.stdin.buffer)) is not None:
            requests.put(message)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    worker = Worker(settings["threads"], settings["provider"], settings["spinning"])
    write(answers, {"version": onnxruntime.__version__, "available": onnxruntime.get_available_providers()})
    while True:
        write(answers, *worker.answer(*requests.get()))


if __name__ == "__main__":
    main()
