"""Base class of workers for runtimes on the processor: a subclass defines how to load and run a file.

This module imports nothing heavy; see `nagsdk.device.serve`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from nagsdk.device.serve import Handler, Images, Message, in_batches, timed
from nagsdk.device.start_up import StartUp


class Worker(ABC):
    """Loads networks and answers the requests of a `nagsdk.device.process.ProcessSession`.

    Args:
        threads: Number of threads of one inference; a single one must be the calling thread.

    Attributes:
        warm_s: Least seconds of untimed runs before each burst.
    """

    warm_s: ClassVar[float] = 0.005

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._networks: dict[int, Any] = {}
        self._starts: dict[int, StartUp] = {}
        self._loaded = 0

    @abstractmethod
    def open(self, path: str) -> Any:
        """Loads a file; passes on the exception of the runtime if it refuses the file."""

    @abstractmethod
    def shape(self, network: Any) -> Sequence[int]:
        """Returns the shape of the network's input, (batch, 3, h, w)."""

    @abstractmethod
    def bind(self, network: Any, images: Images) -> Callable[[], Images]:
        """Sets the input of a network and returns a function that runs it once and returns logits (batch, classes)."""

    def facts(self, network: Any) -> Mapping[str, Any]:
        """Returns further facts about a loaded network that the session receives with its handle, JSON-ready."""
        return {}

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Handlers for `nagsdk.device.serve.serve`, by the name of the request."""
        return {"load": self._load, "unload": self._unload, "time": self._time, "infer": self._infer}

    def _load(self, request: dict[str, Any], body: bytes) -> Message:
        start = StartUp()
        network = start.load(lambda: self.open(request["path"]))
        self._loaded += 1
        self._networks[self._loaded], self._starts[self._loaded] = network, start
        return {"handle": self._loaded, **self.facts(network)}, b""

    def _unload(self, request: dict[str, Any], body: bytes) -> Message:
        del self._networks[request["handle"]], self._starts[request["handle"]]
        return {}, b""

    def _time(self, request: dict[str, Any], body: bytes) -> Message:
        network, start = self._networks[request["handle"]], self._starts[request["handle"]]
        images = np.random.default_rng(0).standard_normal(tuple(self.shape(network)), dtype=np.float32)
        run = self.bind(network, images)
        start.first(run)
        return timed(request, run, self.threads, self.warm_s, start.figures)

    def _infer(self, request: dict[str, Any], body: bytes) -> Message:
        network = self._networks[request["handle"]]
        self._starts[request["handle"]].ran()
        batch, _, *size = self.shape(network)
        if request["shape"][1:] != [3, *size]:
            raise ValueError(f"images of shape {request['shape'][1:]} do not fit an input of shape {[3, *size]}")
        return in_batches(request, body, batch, lambda images: self.bind(network, images)())
