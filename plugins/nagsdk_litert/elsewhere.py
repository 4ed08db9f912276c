"""The part of a backend that devices share whose networks are LiteRT's files and run elsewhere than with LiteRT."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nagsdk.device.backend import Backend, Tensor
from nagsdk.device.description import Device
from nagsdk.graph.schemes import Scheme
from nagsdk.space.layer import LayerSpec
from nagsdk_litert.backend import HOST, LiteRtBackend

if TYPE_CHECKING:
    from nagsdk.graph.ir import Graph


class TfliteElsewhere(Backend):
    """Exports the files of LiteRT for a device that is not this machine, and checks them with LiteRT here."""

    layout = LiteRtBackend.layout
    runs_elsewhere = True

    def __init__(self) -> None:
        self._litert = LiteRtBackend()

    @abstractmethod
    def host_like(self, device: Device) -> Device:
        """A LiteRT device on this machine for which the same file is exported."""

    def tolerance(self, device: Device) -> float:
        """The tolerance of LiteRT for the device's precision."""
        return self._litert.tolerance(self.host_like(device))

    def layer_bytes(self, layer: LayerSpec, device: Device) -> float:
        """Bytes of the layer in the TFLite file."""
        return self._litert.layer_bytes(layer, self.host_like(device))

    def check_export(self, device: Device) -> None:
        """Checks that the packages which write TFLite files are installed."""
        self._litert.check_export(self.host_like(device))

    def scheme(self, device: Device) -> Scheme:
        """The same integers as for LiteRT on this machine."""
        return self._litert.scheme(self.host_like(device))

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes a TFLite file; only int8 takes ranges from images."""
        self._litert.export(graph, path, self.host_like(device), images)

    def inspect(self, artifact: Path) -> Mapping[str, Any]:
        """Operators of the file, and which of them delegates do not run; see `nagsdk.graph.lint.Lint.to_dict`."""
        return self._litert.inspect(artifact)

    def emulate(self, artifact: Path, device: Device, images: Tensor) -> Tensor | None:
        """Runs the file with LiteRT on this machine, if LiteRT is installed."""
        if not self._litert.presence(HOST).available:
            return None
        with self._litert.open(HOST) as session:
            return session.infer(session.load(artifact), images)
