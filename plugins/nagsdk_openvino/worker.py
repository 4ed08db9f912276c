"""The worker process in which OpenVINO runs. It imports little, so that nothing else uses its cores."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nagsdk.device.serve import Handler, Images, Message, serve
from nagsdk.device.worker import Worker

# When OpenVINO is imported, it forks a process that reports its use to its makers, unless this package is missing.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
import openvino  # noqa: E402

_PROFILE_WARMUP = 3


class OpenVinoWorker(Worker):
    """Runs networks with OpenVINO on one target."""

    def __init__(self, threads: int, target: str) -> None:
        super().__init__(threads)
        self.core, self.target = openvino.Core(), target
        # Without the hint f32, OpenVINO would compute in bfloat16 on processors that support it.
        self.config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": "1"}
        if target == "CPU":
            # OpenVINO would pin the thread to a core, also while another program uses that core and others are free.
            self.config |= {"INFERENCE_NUM_THREADS": str(threads), "ENABLE_CPU_PINNING": "NO"}

    def open(self, path: str) -> Any:
        """Reads and compiles an ONNX file."""
        return self.core.compile_model(self.core.read_model(path), self.target, self.config)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The usual handlers, and the profiler."""
        return {**super().handlers, "operators": self._operators}

    def _operators(self, request: dict[str, Any], body: bytes) -> Message:
        """Runs a file with OpenVINO's counters of operators."""
        config = {**self.config, "PERF_COUNT": "YES"}
        network = self.core.compile_model(self.core.read_model(request["path"]), self.target, config)
        inference = network.create_infer_request()
        images = np.zeros(self.shape(network), np.float32)
        taken: dict[str, tuple[str, list[float]]] = {}
        for number in range(_PROFILE_WARMUP + request["runs"]):
            inference.infer({0: images})
            for one in inference.get_profiling_info() if number >= _PROFILE_WARMUP else ():
                if one.status == openvino.ProfilingInfo.Status.EXECUTED:
                    ms = one.real_time.total_seconds() * 1e3
                    taken.setdefault(one.node_name, (one.node_type, []))[1].append(ms)
        return {"operators": [[name, kind, float(np.median(ms))] for name, (kind, ms) in taken.items()]}, b""

    def shape(self, network: Any) -> Sequence[int]:
        """Shape of the network's only input, (batch, 3, h, w)."""
        return [int(size) for size in network.input(0).shape]

    def bind(self, network: Any, images: Images) -> Callable[[], Images]:
        """Returns a function that runs the network once, without copying input or output."""
        request = network.create_infer_request()
        request.set_input_tensor(openvino.Tensor(images, shared_memory=True))
        output = request.get_output_tensor()

        def run() -> Images:
            request.infer(share_outputs=True)
            logits: Images = output.data
            return logits

        return run


def start(settings: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, Handler]]:
    """Creates the worker; refuses to start if OpenVINO does not offer the target."""
    worker = OpenVinoWorker(settings["threads"], settings["target"])
    offered = worker.core.available_devices
    if settings["target"] not in offered:
        refused = f"OpenVINO has no {settings['target']} on this machine; it offers {', '.join(offered)}."
        next_step = "Choose one of these with the device option `target`, or install the driver of the missing one."
        return {"refused": refused, "next_step": next_step}, {}
    return {}, worker.handlers


if __name__ == "__main__":
    serve(start)
