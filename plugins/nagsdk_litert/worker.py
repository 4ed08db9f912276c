"""The worker process in which LiteRT runs. It imports only numpy and LiteRT, so that nothing else uses its cores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.common.processes import pin
from nagsdk.device.serve import Handler, Images, Message, in_batches, serve, timed
from nagsdk.device.start_up import started

_WARM_S = 0.005


class Worker:
    """Loads networks and answers requests about them."""

    def __init__(self, threads: int, package: str) -> None:
        self.threads = threads
        self.make: Any = import_module(f"{package}.interpreter").Interpreter
        self.networks: dict[int, Any] = {}
        self.started: dict[int, dict[str, float]] = {}
        self.loaded = 0

    def load(self, request: dict[str, Any], body: bytes) -> Message:
        """Loads a file and returns a handle."""

        def make() -> Any:
            # The file is read into memory. If it were mapped, an export that overwrites it would change the network.
            network = self.make(model_content=Path(request["path"]).read_bytes(), num_threads=self.threads)
            network.allocate_tensors()
            return network

        network, figures = started(make, _bound)
        self.loaded += 1
        self.networks[self.loaded], self.started[self.loaded] = network, figures
        return {"handle": self.loaded}, b""

    def unload(self, request: dict[str, Any], body: bytes) -> Message:
        """Frees a network."""
        del self.networks[request["handle"]], self.started[request["handle"]]
        return {}, b""

    def time(self, request: dict[str, Any], body: bytes) -> Message:
        """Times consecutive runs on one random batch."""
        run = _bound(self.networks[request["handle"]])
        return timed(request, run, self.threads, _WARM_S, self.started[request["handle"]])

    def infer(self, request: dict[str, Any], body: bytes) -> Message:
        """Runs the network on images, shape (n, 3, h, w), and returns the logits."""
        network = self.networks[request["handle"]]
        source, target = network.get_input_details()[0], network.get_output_details()[0]

        def run(images: Images) -> Images:
            network.set_tensor(source["index"], np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
            network.invoke()
            logits: Images = network.get_tensor(target["index"])
            return logits

        return in_batches(request, body, int(source["shape"][0]), run)


def _bound(network: Any) -> Callable[[], object]:
    """A function that runs the network once on a random batch."""
    source = network.get_input_details()[0]
    network.set_tensor(source["index"], np.random.default_rng(0).standard_normal(source["shape"], dtype=np.float32))
    run: Callable[[], object] = network.invoke
    return run


def start(settings: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, Handler]]:
    """Creates the worker."""
    if settings["cores"]:
        pin(settings["cores"])
    worker = Worker(settings["threads"], settings["package"])
    return {}, {"load": worker.load, "unload": worker.unload, "time": worker.time, "infer": worker.infer}


if __name__ == "__main__":
    serve(start)
