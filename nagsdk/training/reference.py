"""A well-known network in torch, built from its list of layers, to compare a training with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn
from torch.nn import functional

from nagsdk.space.layer import LayerSpec

_ACTIVATIONS = {"none": nn.Identity, "relu": nn.ReLU, "relu6": nn.ReLU6, "hswish": nn.Hardswish, "swish": nn.SiLU}


class _Excite(nn.Module):
    """Squeeze-and-excitation."""

    def __init__(self, layer: LayerSpec) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(layer.in_channels, layer.se_channels, 1)
        self.expand = nn.Conv2d(layer.se_channels, layer.in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Rescales the channels of x (n, c, h, w)."""
        y = functional.relu(self.reduce(x.mean((2, 3), keepdim=True)))
        return x * functional.hardsigmoid(self.expand(y))


class ReferenceNetwork(nn.Module):
    """A network of the catalogue (`nagsdk.networks.catalogue`) with random weights, for inputs of any size.

    Args:
        layers: Its layers, which form a chain in which each sum adds the last tensor of the same shape.
        classes: Number of classes; the last layer gets as many outputs.
    """

    def __init__(self, layers: Sequence[LayerSpec], classes: int) -> None:
        super().__init__()
        self.specs = tuple(layers)
        self.layers = nn.ModuleList(_module(layer, classes if layer is layers[-1] else None) for layer in layers)

    def forward(self, images: Tensor) -> Tensor:
        """Maps normalised images (n, 3, h, w) to logits (n, classes)."""
        x = images
        # By channels and height at the usual input size: at a small one, sizes before and after a stride may be equal.
        seen: dict[tuple[int, int], Tensor] = {}
        for spec, layer in zip(self.specs, self.layers, strict=True):
            shape = spec.out_channels, spec.out_size
            x = x + seen[shape] if spec.kind == "add" else layer(x)
            if spec.kind != "pointwise" or shape not in seen:
                seen[shape] = x
        return x


def macs_of(layers: Sequence[LayerSpec], size: int) -> int:
    """Multiply-accumulates of a chain of layers for an input of this height and width."""
    total = 0
    for layer in layers:
        sized = replace(layer, in_size=size)
        total, size = total + sized.macs, sized.out_size
    return total


def _module(layer: LayerSpec, classes: int | None) -> nn.Module:
    into, out, side = layer.in_channels, classes or layer.out_channels, layer.kernel
    if layer.kind == "add":
        return nn.Identity()
    if layer.kind == "se":
        return _Excite(layer)
    if layer.kind == "pool":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if layer.kind == "linear":
        return nn.Sequential(nn.Linear(into, out), _ACTIVATIONS[layer.activation]())
    groups = into if layer.kind == "depthwise" else 1
    convolution = nn.Conv2d(into, out, side, layer.stride, side // 2, groups=groups, bias=layer.bias)
    norm = nn.BatchNorm2d(out) if layer.batch_norm else nn.Identity()
    return nn.Sequential(convolution, norm, _ACTIVATIONS[layer.activation]())
