"""The worker process in which ONNX Runtime runs. It imports little, so that nothing else uses its cores."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from nagsdk.common.processes import pin
from nagsdk.device.serve import Handler, Images, Message, serve
from nagsdk.device.worker import Worker

_PROFILE_WARMUP = 3
_KERNEL = "_kernel_time"


class OnnxRuntimeWorker(Worker):
    """Runs networks with ONNX Runtime on one execution provider."""

    def __init__(self, threads: int, provider: str, spinning: bool) -> None:
        super().__init__(threads)
        self.provider, self.spinning = provider, spinning
        self.options = self._options()

    def _options(self) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(self.spinning)))
        return options

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

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The usual handlers, and the profiler."""
        return {**super().handlers, "operators": self._operators}

    def _operators(self, request: dict[str, Any], body: bytes) -> Message:
        """Runs a file with ONNX Runtime's profiler."""
        options = self._options()
        options.enable_profiling = True
        with tempfile.TemporaryDirectory(prefix="nagsdk-") as folder:
            options.profile_file_prefix = str(Path(folder) / "profile")
            network = onnxruntime.InferenceSession(request["path"], options, providers=[self.provider])
            run = self.bind(network, np.zeros(self.shape(network), np.float32))
            for _ in range(_PROFILE_WARMUP + request["runs"]):
                run()
            events = json.loads(Path(network.end_profiling()).read_text("utf-8"))
        taken: dict[str, tuple[str, list[float]]] = {}
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
                kind = event["args"].get("op_name", "")
                taken.setdefault(event["name"].removesuffix(_KERNEL), (kind, []))[1].append(event["dur"] / 1e3)
        rows = [[name, kind, float(np.median(ms[_PROFILE_WARMUP:]))] for name, (kind, ms) in taken.items()]
        return {"operators": rows}, b""

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
