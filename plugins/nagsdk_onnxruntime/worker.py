"""The process in which ONNX Runtime runs: numpy and onnxruntime only, so that nothing else takes its cores."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from nagsdk.device.serve import Handler, Message, in_batches, serve, timed

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
        return timed(request, lambda: session.run(None, feed), self.threads, _WARM_S)

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
