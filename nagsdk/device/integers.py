"""What a backend's `export` writes in a precision of integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nagsdk.errors import DeviceError

if TYPE_CHECKING:
    from nagsdk.device.backend import Backend, Tensor
    from nagsdk.device.description import Device
    from nagsdk.graph.integers import IntegerGraph
    from nagsdk.graph.ir import Graph


def in_integers(backend: Backend, graph: Graph, device: Device, images: Tensor | None = None) -> IntegerGraph:
    """The network in integers: as it is if it has been through `Backend.quantised`, which it goes through otherwise.

    Args:
        backend: The backend that writes the file.
        graph: The lowered network, or what `quantised` returned.
        device: The device to export for.
        images: Normalised images (n, 3, h, w) to take the ranges of tensors from; if None, they are made up.

    Raises:
        DeviceError: `quantised` makes no integers.
    """
    from nagsdk.graph.integers import IntegerGraph

    made = graph if isinstance(graph, IntegerGraph) else backend.quantised(graph, device, images)
    if not isinstance(made, IntegerGraph):
        raise DeviceError(
            f"{backend.title} made no integers of a network for {device.precision}.", "Report this to its author."
        )
    return made
