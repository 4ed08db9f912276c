"""The process in which ONNX Runtime runs: numpy and onnxruntime only, so that nothing else takes its cores."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from nagsdk.device.serve import Handler, Message, in_batches, serve, warm_up

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
        warm_up(lambda: session.run(None, feed), max(1, request["warmup"]), _WARM_S)
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
        return in_batches(request, body, int(source.shape[0]), lambda images: session.run(None, {source.name: images})[0])


def start(settings: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, Handler]]:
    """Makes the worker; refuses a provider that this build does not have."""
    if settings["cores"]:
        os.sched_setaffinity(0, settings["cores"])
    available = onnxruntime.get_available_providers()
    if settings["provider"] not in available:
        return {
            "refused": f"ONNX Runtime {onnxruntime.__version__} has no {settings['provider']} here; it offers {', '.join(available)}.",
            "next_step": "Name one of these as the provider of the device, or install a build of ONNX Runtime that has it.",
        }, {}
    worker = Worker(settings["threads"], settings["provider"], settings["spinning"])
    return {}, {"load": worker.load, "unload": worker.unload, "time": worker.time, "infer": worker.infer}


if __name__ == "__main__":
    serve(start)
