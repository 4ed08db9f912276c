"""The worker process in which ONNX Runtime runs. It imports little, so that nothing else uses its cores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnxruntime

from nagsdk.common.processes import pin
from nagsdk.device.serve import Handler, Images, serve
from nagsdk.device.worker import Worker


class OnnxRuntimeWorker(Worker):
    """Runs networks with ONNX Runtime on one execution provider."""

    def __init__(self, threads: int, provider: str, spinning: bool) -> None:
        super().__init__(threads)
        self.provider = provider
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1
        self.options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        self.options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))

    def open(self, path: str) -> Any:
        """Loads an ONNX file."""
        return onnxruntime.InferenceSession(path, self.options, providers=[self.provider])

    def shape(self, network: Any) -> Sequence[int]:
        """Shape of the network's only input, (batch, 3, h, w)."""
        shape: Sequence[int] = network.get_inputs()[0].shape
        return shape

    def bind(self, network: Any, images: Images) -> Callable[[], Images]:
        """Returns a function that runs the network once on the images."""
        feed = {network.get_inputs()[0].name: images}
        return lambda: network.run(None, feed)[0]

    def facts(self, network: Any) -> Mapping[str, Any]:
        """Names of the execution providers that the network really uses."""
        return {"providers": network.get_providers()}


def start(settings: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, Handler]]:
    """Creates the worker; refuses to start if this build of ONNX Runtime does not have the provider."""
    if settings["cores"]:
        pin(settings["cores"])
    available = onnxruntime.get_available_providers()
    if settings["provider"] not in available:
        return {
            "refused": f"ONNX Runtime {onnxruntime.__version__} has no {settings['provider']} on this machine; "
            f"it offers {', '.join(available)}.",
            "next_step": "Choose one of these with the device option `provider`, or install a build of ONNX Runtime "
            "that has the other one.",
        }, {}
    return {}, OnnxRuntimeWorker(settings["threads"], settings["provider"], settings["spinning"]).handlers


if __name__ == "__main__":
    serve(start)
