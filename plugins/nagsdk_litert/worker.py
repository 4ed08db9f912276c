"""The worker process in which LiteRT runs. It imports only numpy and LiteRT, so that nothing else uses its cores."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.common.processes import pin
from nagsdk.device.serve import Handler, Images, Message, in_batches, serve, timed
from nagsdk.device.start_up import StartUp

_WARM_S = 0.005


class Worker:
    """Loads networks and answers requests about them."""

    def __init__(self, threads: int, package: str) -> None:
        self.threads = threads
        self.make: Any = import_module(f"{package}.interpreter").Interpreter
        self.networks: dict[int, Any] = {}
        self.starts: dict[int, StartUp] = {}
        self.loaded = 0

    def load(self, request: dict[str, Any], body: bytes) -> Message:
        """Loads a file and returns a handle."""

        def make() -> Any:
            # The file is read into memory. If it were mapped, an export that overwrites it would change the network.
            network = self.make(model_content=Path(request["path"]).read_bytes(), num_threads=self.threads)
            network.allocate_tensors()
            return network

        start = StartUp()
        network = start.load(make)
        self.loaded += 1
        self.networks[self.loaded], self.starts[self.loaded] = network, start
        return {"handle": self.loaded}, b""

    def unload(self, request: dict[str, Any], body: bytes) -> Message:
        """Frees a network."""
        del self.networks[request["handle"]], self.starts[request["handle"]]
        return {}, b""

    def time(self, request: dict[str, Any], body: bytes) -> Message:
        """Times consecutive runs on one random batch."""
        network, start = self.networks[request["handle"]], self.starts[request["handle"]]
        source = network.get_input_details()[0]
        images = np.random.default_rng(0).standard_normal(source["shape"], dtype=np.float32)
        network.set_tensor(source["index"], _numbers(images, source))
        start.first(network.invoke)
        return timed(request, network.invoke, self.threads, _WARM_S, start.figures)

    def infer(self, request: dict[str, Any], body: bytes) -> Message:
        """Runs the network on images, shape (n, 3, h, w), and returns the logits."""
        network = self.networks[request["handle"]]
        self.starts[request["handle"]].ran()
        source, target = network.get_input_details()[0], network.get_output_details()[0]

        def run(images: Images) -> Images:
            network.set_tensor(source["index"], _numbers(np.ascontiguousarray(images.transpose(0, 2, 3, 1)), source))
            network.invoke()
            return _real(network.get_tensor(target["index"]), target)

        return in_batches(request, body, int(source["shape"][0]), run)


def _numbers(values: Images, tensor: dict[str, Any]) -> NDArray[Any]:
    """The values in the numbers of an input, which may be integers with a scale and a zero point."""
    if tensor["dtype"] == np.float32:
        return values
    (scale, zero_point), limits = tensor["quantization"], np.iinfo(tensor["dtype"])
    steps = np.rint(values * (np.float32(1) / np.float32(scale))) + np.float32(zero_point)
    integers: NDArray[Any] = steps.clip(limits.min, limits.max).astype(tensor["dtype"])
    return integers


def _real(values: NDArray[Any], tensor: dict[str, Any]) -> Images:
    """What the numbers of an output stand for."""
    if tensor["dtype"] == np.float32:
        return values
    scale, zero_point = tensor["quantization"]
    real: Images = (values.astype(np.int32) - zero_point).astype(np.float32) * np.float32(scale)
    return real


def start(settings: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, Handler]]:
    """Creates the worker."""
    if settings["cores"]:
        pin(settings["cores"])
    worker = Worker(settings["threads"], settings["package"])
    return {}, {"load": worker.load, "unload": worker.unload, "time": worker.time, "infer": worker.infer}


if __name__ == "__main__":
    serve(start)
