"""The process in which OpenVINO runs: numpy and openvino only, so that nothing else takes its cores."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nagsdk.device.serve import Handler, Images, serve
from nagsdk.device.worker import Worker

# OpenVINO reports its use to its makers when it is imported, from a process that it forks; it does without where this is absent.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
import openvino  # noqa: E402


class OpenVinoWorker(Worker):
    """Networks in OpenVINO on one target."""

    def __init__(self, threads: int, target: str) -> None:
        super().__init__(threads)
        self.core, self.target = openvino.Core(), target
        # Float32 is asked for: on processors that have it, OpenVINO would compute in bfloat16 by itself.
        self.config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": "1"}
        if target == "CPU":
            self.config["INFERENCE_NUM_THREADS"] = str(threads)

    def open(self, path: str) -> Any:
        """Reads and compiles an ONNX file."""
        return self.core.compile_model(self.core.read_model(path), self.target, self.config)

    def shape(self, network: Any) -> Sequence[int]:
        """Of the one input."""
        return [int(size) for size in network.input(0).shape]

    def bind(self, network: Any, images: Images) -> Callable[[], Images]:
        """One run; input and output stay where they are."""
        request = network.create_infer_request()
        request.set_input_tensor(openvino.Tensor(images, shared_memory=True))
        output = request.get_output_tensor()

        def run() -> Images:
            request.infer(share_outputs=True)
            logits: Images = output.data
            return logits

        return run


def start(settings: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, Handler]]:
    """Makes the worker; refuses a target that is not there."""
    worker = OpenVinoWorker(settings["threads"], settings["target"])
    if settings["target"] not in worker.core.available_devices:
        there = ", ".join(worker.core.available_devices)
        refused = f"OpenVINO has no {settings['target']} here; it offers {there}."
        return {
            "refused": refused,
            "next_step": "Name one of these as the target of the device, or install its driver.",
        }, {}
    return {}, worker.handlers


if __name__ == "__main__":
    serve(start)
