"""Computes a `Graph` with torch, node by node, so that every tensor can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as functional
from torch import Tensor

from nagsdk.errors import UnsupportedLayerError
from nagsdk.graph.ir import (
    GATE,
    GELU,
    HARD_SIGMOID,
    HARD_SWISH,
    MAXIMUM,
    MULTIPLY,
    RELU,
    RELU6,
    Activation,
    Binary,
    Conv,
    Flatten,
    Graph,
    Linear,
    Node,
    Pad,
    Pool,
    Rows,
    Window,
)
from nagsdk.graph.tokens import Attention, LayerNorm, TokenMean, Tokens

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    GELU: functional.gelu,
    RELU: functional.relu,
    RELU6: functional.relu6,
    HARD_SWISH: functional.hardswish,
    HARD_SIGMOID: functional.hardsigmoid,
    GATE: lambda x: functional.relu6(x + 3),
}


def computed(node: Node, inputs: list[Tensor], weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Computes one node.

    Args:
        node: The node.
        inputs: What it reads.
        weight: Used instead of the node's weight, if given.
        bias: Used instead of the node's bias, if given.

    Raises:
        UnsupportedLayerError: The kind of node is unknown.
    """
    match node:
        case Conv() | Linear() | LayerNorm():
            weight = torch.from_numpy(node.weight) if weight is None else weight
            bias = torch.from_numpy(node.bias) if bias is None else bias
            if isinstance(node, Linear):
                return functional.linear(inputs[0], weight, bias)
            if isinstance(node, LayerNorm):
                return functional.layer_norm(inputs[0], weight.shape, weight, bias, node.epsilon)
            if not node.extra:
                return functional.conv2d(inputs[0], weight, bias, node.stride, node.padding, 1, node.groups)
            padded = functional.pad(inputs[0], node.sides * 2)
            return functional.conv2d(padded, weight, bias, node.stride, 0, 1, node.groups)
        case Activation(function=function) if function in _FUNCTIONS:
            return _FUNCTIONS[function](inputs[0])
        case Binary(function=function):
            return inputs[0] * inputs[1] if function == MULTIPLY else inputs[0] + inputs[1]
        case Pool():
            return inputs[0].mean((2, 3), keepdim=True)
        case Window(function=function):
            if function == MAXIMUM:
                return functional.max_pool2d(inputs[0], node.kernel, node.stride, node.padding, ceil_mode=node.partial)
            return functional.avg_pool2d(inputs[0], node.kernel, node.stride, ceil_mode=node.partial)
        case Flatten():
            return inputs[0].flatten(1)
        case Tokens():
            return inputs[0].flatten(2).transpose(1, 2)
        case TokenMean():
            return inputs[0].mean(1)
        case Attention(heads=heads):
            q, k, v = (tensor.reshape(*tensor.shape[:2], heads, -1).transpose(1, 2) for tensor in inputs)
            return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        case Pad(top=top, bottom=bottom, left=left, right=right):
            return functional.pad(inputs[0], (left, right, top, bottom))
        case Rows(start=start, stop=stop):
            return inputs[0][:, :, start:stop]
        case _:
            raise not_in_integers(node)


def not_in_integers(node: Node) -> UnsupportedLayerError:
    """The error for a kind of node that has no integer form."""
    return UnsupportedLayerError(
        f"{node.name} ({type(node).__name__}) cannot be computed in integers.", "Use another precision, such as fp32."
    )


def last_readers(graph: Graph) -> dict[str, tuple[str, ...]]:
    """The tensors that nothing reads after a node, by the name of the node, so that their memory can be freed."""
    last = {name: node.name for node in graph.nodes for name in node.inputs if name != graph.output}
    found: dict[str, tuple[str, ...]] = {}
    for name, reader in last.items():
        found[reader] = (*found.get(reader, ()), name)
    return found


@torch.no_grad()
def tensors(graph: Graph, images: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Computes a network and yields every tensor with its name, that of the input first.

    Args:
        graph: The network.
        images: Inputs, shape (n, 3, h, w); n may differ from the graph's batch.
    """
    values, over = {graph.INPUT: images}, last_readers(graph)
    yield graph.INPUT, images
    for node in graph.nodes:
        values[node.name] = computed(node, [values[name] for name in node.inputs])
        yield node.name, values[node.name]
        for name in over.get(node.name, ()):
            del values[name]
