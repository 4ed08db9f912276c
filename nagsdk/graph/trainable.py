"""An `IntegerGraph` whose weights can be trained: it rounds as its integers do, and gradients pass the rounding."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from nagsdk.graph.integers import HIGHEST, LOWEST, MOST_OF_BIASES, Affine, IntegerGraph, with_ranges
from nagsdk.graph.interpret import computed, last_readers
from nagsdk.graph.ir import Conv, Graph, Linear


class TrainableGraph(nn.Module):
    """The network of an `IntegerGraph` as a torch module.

    Its parameters are shares: of a channel's largest weight, and for biases of the range of the layer's output. An
    optimiser that moves all parameters alike, such as Adam, so changes all layers by as many integers, although
    folded batch normalisation and rewrites leave some of them with very small weights.

    Args:
        graph: The network. Its ranges are kept; corrections of biases become part of the biases.

    Attributes:
        rounding: Whether the forward pass rounds as the integers do.
    """

    def __init__(self, graph: IntegerGraph) -> None:
        super().__init__()
        self.graph, self.rounding = graph, True
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        self.place: dict[str, int] = {}
        self.wide: list[float] = []
        for node in graph.nodes:
            if isinstance(node, (Conv, Linear)):
                place = self.place[node.name] = len(self.place)
                weight = torch.from_numpy(node.weight)
                bias = torch.from_numpy((node.bias + graph.ranges.corrections.get(node.name, 0)).astype("float32"))
                unit = _largest(weight)
                unit = torch.where(unit > 0, unit, 1.0)
                wide = graph.affine(node.name).scale * (HIGHEST - LOWEST)
                self.register_buffer(f"unit{place}", unit)
                self.wide.append(wide)
                self.weights.append(nn.Parameter(weight / unit))
                self.biases.append(nn.Parameter(bias / wide))

    def forward(self, images: Tensor) -> Tensor:
        """Computes the logits of images (n, 3, h, w) as the file is fed with them."""
        graph = self.graph
        values = {graph.INPUT: self._rounded(images, graph.INPUT)}
        over = last_readers(graph)
        for node in graph.nodes:
            inputs = [values[name] for name in node.inputs]
            parameters = self._weights_of(node) if isinstance(node, (Conv, Linear)) else ()
            values[node.name] = self._rounded(computed(node, inputs, *parameters), node.name)
            for name in over.get(node.name, ()):
                del values[name]
        return values[graph.output]

    def trained(self) -> IntegerGraph:
        """The network in integers, with the weights as they are now."""
        graph = self.graph
        nodes = []
        with torch.no_grad():
            for node in graph.nodes:
                if isinstance(node, (Conv, Linear)):
                    weight, bias = (values.numpy() for values in self._real(node))
                    node = replace(node, weight=weight, bias=bias)
                nodes.append(node)
        plain = Graph(graph.input_shape, tuple(nodes), graph.output, graph.architecture, input_range=graph.input_range)
        return with_ranges(plain, replace(graph.ranges, corrections={}), graph.most)

    def _real(self, node: Conv | Linear) -> tuple[Tensor, Tensor]:
        """Weights and biases before they are rounded."""
        place = self.place[node.name]
        return self.weights[place] * getattr(self, f"unit{place}"), self.biases[place] * self.wide[place]

    def _weights_of(self, node: Conv | Linear) -> tuple[Tensor, Tensor]:
        weight, bias = self._real(node)
        if not self.rounding:
            return weight, bias
        with torch.no_grad():
            largest = _largest(weight)
            source = self.graph.affine(node.inputs[0]).scale
            least = (bias.abs() / (source * MOST_OF_BIASES)).reshape(largest.shape)
            scales = torch.maximum(largest / self.graph.most, least)
            scales = torch.where(scales > 0, scales, 1.0)
            steps = source * scales.flatten()
            rounded = (weight / scales).round().clamp(-self.graph.most, self.graph.most) * scales
            whole = (bias / steps.clamp_min(torch.finfo(torch.float32).tiny)).round() * steps
        return weight + (rounded - weight).detach(), bias + (whole - bias).detach()

    def _rounded(self, tensor: Tensor, name: str) -> Tensor:
        affine = self.graph.tensors.get(name)
        if affine is None or not self.rounding:
            return tensor
        limited = tensor.clamp(*(affine.scale * (end - affine.zero_point) for end in (LOWEST, HIGHEST)))
        return limited + (_nearest(limited, affine) - limited).detach()


def _largest(weight: Tensor) -> Tensor:
    """The largest magnitude of each output channel, in dimensions that go with the weights."""
    return weight.abs().flatten(1).amax(1).reshape(-1, *[1] * (weight.ndim - 1))


def _nearest(tensor: Tensor, affine: Affine) -> Tensor:
    steps = (tensor / affine.scale).round() + affine.zero_point
    return (steps.clamp(LOWEST, HIGHEST) - affine.zero_point) * affine.scale
