"""The worker process in which ONNX Runtime runs on the GPU.

Input and output stay in the GPU's memory, as in an application that avoids copies.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from nagsdk.common.pip import pip
from nagsdk.device.serve import Handler, Images, Message, in_batches, serve
from nagsdk_cuda.burst import Bursts
from nagsdk_cuda.nvml import Watch

PROVIDER = "CUDAExecutionProvider"


class Worker:
    """Loads networks and answers requests about them."""

    def __init__(self, index: int, tf32: bool) -> None:
        self.index, self.watch = index, Watch(index)
        self.provider = (PROVIDER, {"device_id": str(index), "use_tf32": str(int(tf32))})
        self.networks: dict[int, tuple[Any, Any]] = {}
        self.loaded = 0
        self.bursts = Bursts()

    def load(self, request: dict[str, Any], body: bytes) -> Message:
        """Loads a file; a fallback to another provider is an error."""
        session = onnxruntime.InferenceSession(request["path"], providers=[self.provider])
        got = session.get_providers()[0]
        if got != PROVIDER:
            raise RuntimeError(
                f"it fell back from {PROVIDER} to {got}; install the CUDA and cuDNN libraries that this build needs"
            )
        binding = session.io_binding()
        source, target = session.get_inputs()[0], session.get_outputs()[0]
        image = np.random.default_rng(0).standard_normal(source.shape, dtype=np.float32)
        self._bind(binding, source.name, image)
        binding.bind_output(target.name, "cuda", self.index)
        self.loaded += 1
        self.networks[self.loaded] = (session, binding)
        return {"handle": self.loaded}, b""

    def _bind(self, binding: Any, name: str, image: Images) -> None:
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(image, "cuda", self.index))

    def unload(self, request: dict[str, Any], body: bytes) -> Message:
        """Frees a network."""
        del self.networks[request["handle"]]
        return {}, b""

    def time(self, request: dict[str, Any], body: bytes) -> Message:
        """Times consecutive runs; each one is waited for."""
        session, binding = self.networks[request["handle"]]

        def once() -> float:
            start = time.perf_counter_ns()
            session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            return (time.perf_counter_ns() - start) / 1e6

        return {"wall_ms": self.bursts.take(once, request), "cpu_ms": [], "properties": self.watch.state()}, b""

    def infer(self, request: dict[str, Any], body: bytes) -> Message:
        """Runs the network on images and returns the logits."""
        session, binding = self.networks[request["handle"]]
        source = session.get_inputs()[0]

        def run(images: Images) -> Images:
            self._bind(binding, source.name, np.ascontiguousarray(images))
            session.run_with_iobinding(binding)
            logits: Images = binding.copy_outputs_to_cpu()[0]
            return logits

        return in_batches(request, body, int(source.shape[0]), run)


def start(settings: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, Handler]]:
    """Creates the worker; refuses to start if ONNX Runtime was built without the provider."""
    available = onnxruntime.get_available_providers()
    if PROVIDER not in available:
        return {
            "refused": f"ONNX Runtime {onnxruntime.__version__} has no {PROVIDER} on this machine; "
            f"it offers {', '.join(available)}.",
            "next_step": f"{pip('uninstall', 'onnxruntime')}; {pip('install', 'onnxruntime-gpu')}",
        }, {}
    worker = Worker(settings["index"], settings["tf32"])
    return {}, {"load": worker.load, "unload": worker.unload, "time": worker.time, "infer": worker.infer}


if __name__ == "__main__":
    serve(start)
