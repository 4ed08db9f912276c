"""The process in which the runtime runs: a crash, a hang or a leak in it stays here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnxruntime

from nagsdk.device.serve import Handler, Images, serve
from nagsdk.device.worker import Worker


class TemplateWorker(Worker):
    """Networks in the runtime."""

    def open(self, path: str) -> Any:
        """Loads a file; compiling belongs here, never into a run."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def shape(self, network: Any) -> Sequence[int]:
        """Of its input, (batch, 3, h, w)."""
        shape: Sequence[int] = network.get_inputs()[0].shape
        return shape

    def bind(self, network: Any, images: Images) -> Callable[[], Images]:
        """Gives it the images; what is returned is one run, which is what gets timed."""
        feed = {network.get_inputs()[0].name: images}
        return lambda: network.run(None, feed)[0]


def start(settings: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, Handler]]:
    """Makes the worker; a greeting with `refused` and `next_step` would refuse."""
    return {}, TemplateWorker(settings["threads"]).handlers


if __name__ == "__main__":
    serve(start)
