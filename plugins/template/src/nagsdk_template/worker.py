"""The worker process in which the runtime runs; a crash, a hang or a memory leak there cannot harm nagsdk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnxruntime

from nagsdk.device.serve import Handler, Images, serve
from nagsdk.device.worker import Worker


class TemplateWorker(Worker):
    """Loads networks into the runtime and runs them."""

    def open(self, path: str) -> Any:
        """Loads a file; compile here if the runtime needs it, because what `bind` returns is timed."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def shape(self, network: Any) -> Sequence[int]:
        """Shape of the network's input, (batch, 3, h, w)."""
        shape: Sequence[int] = network.get_inputs()[0].shape
        return shape

    def bind(self, network: Any, images: Images) -> Callable[[], Images]:
        """Returns a function that runs the network once on the images; nagsdk times each call of it."""
        feed = {network.get_inputs()[0].name: images}
        return lambda: network.run(None, feed)[0]


def start(settings: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, Handler]]:
    """Creates the worker; to refuse to start, return a greeting with the keys `refused` and `next_step`."""
    return {}, TemplateWorker(settings["threads"]).handlers


if __name__ == "__main__":
    serve(start)
