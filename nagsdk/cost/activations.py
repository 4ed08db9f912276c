"""The metric for budgets on the memory of activations, which decides whether a microcontroller can run a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from nagsdk.cost.metric import MAXIMUM, Metric
from nagsdk.device.description import Device
from nagsdk.space.layer import LayerSpec

# What a built file tells about itself, in bytes; see `nagsdk.graph.arena.peak_activations`.
ACTIVATION_BYTES = "activation_bytes"
_INTEGER = "int8"


class Activations(Metric):
    """Memory for the tensors that are needed at the same time, as TensorFlow Lite plans it, without weights."""

    id, title = "activations", "Peak memory of the activations in bytes, exact for the built file"
    units: ClassVar[Mapping[str, float]] = {
        "KiB@activations": 1024.0,
        "MiB@activations": 2.0**20,
        "kB@activations": 1e3,
        "MB@activations": 1e6,
    }
    aggregation = MAXIMUM
    measured = ACTIVATION_BYTES

    def of_layer(self, layer: LayerSpec, device: Device) -> float:
        """Bytes of the tensors that the layer's operations need at the same time.

        For networks of inverted residual blocks, the largest of them is that of the whole network.
        """
        integer = device.precision == _INTEGER
        return float(device.batch * (1 if integer else 4) * _numbers(layer, integer))


def _numbers(layer: LayerSpec, integer: bool) -> int:
    """Numbers in the tensors that a layer needs at the same time."""
    read, written = layer.in_channels * layer.in_size**2, layer.out_channels * layer.out_size**2
    needed = [layer.activations]
    if layer.stride > 1 and layer.kernel > 1:  # zeros are put around the input first
        padded = layer.in_channels * (layer.in_size + 2 * (layer.kernel // 2)) ** 2
        needed += [read + padded, padded + written]
    if layer.kind == "attention":  # scores before and after the softmax, besides the values
        needed.append(written + 2 * layer.heads * layer.in_size**4)
    if layer.kind == "norm":
        needed.append(4 * written)
    if layer.activation in ("hswish", "gelu"):  # hard swish is x · relu6(x + 3) in integers
        needed.append((3 if integer else 2) * written)
    return max(needed)
