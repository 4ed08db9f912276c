"""Lists the layers of a converted network as hardware executes them, so that they can be counted and priced."""

from __future__ import annotations

import math

from nagsdk.graph.ir import (
    ADD,
    HARD_SWISH,
    MAXIMUM,
    RELU,
    RELU6,
    Activation,
    Binary,
    Conv,
    Flatten,
    Graph,
    Linear,
    Node,
    Pool,
    Window,
)
from nagsdk.space.layer import LayerSpec

# Activations by the names that layers have for them; a hard sigmoid and products have none.
_ACTIVATIONS = {RELU: "relu", RELU6: "relu6", HARD_SWISH: "hswish"}


def layers_of(graph: Graph) -> tuple[tuple[tuple[LayerSpec, int], ...], bool]:
    """Lists the layers of a network.

    Args:
        graph: The network.

    Returns:
        The layers in the order of execution with the multiply-accumulates of one image, and whether they are all that
        the network computes: operations that are no layer of their own, such as the product of a gate, are left out.
    """
    fused = graph.fusible(*_ACTIVATIONS)
    functions = {node.name: node.function for node in graph.nodes if isinstance(node, Activation)}
    found, whole = [], True
    for node in graph.nodes:
        if node.name in fused.values() or isinstance(node, Flatten):
            continue
        layer = _layer(graph, node, _ACTIVATIONS.get(functions.get(fused.get(node.name, ""), ""), "none"))
        if layer is None:
            whole = False
            continue
        per_output = math.prod(node.weight.shape[1:]) if isinstance(node, (Conv, Linear)) else 0
        found.append((layer, per_output * math.prod(graph.shapes[node.name][1:])))
    return tuple(found), whole


def _layer(graph: Graph, node: Node, activation: str) -> LayerSpec | None:
    read, made = graph.shapes[node.inputs[0]], graph.shapes[node.name]
    size = max(read[2:], default=1)
    kind, kernel, stride = "", 1, 1
    match node:
        case Conv():
            plain = "pointwise" if node.kernel == (1, 1) else "conv"
            kind = "depthwise" if node.depthwise and node.groups > 1 else plain
            kernel, stride = max(node.kernel), node.stride
        case Linear():
            kind = "linear"
        case Binary(function=function) if function == ADD:
            kind = "add"
        case Pool():
            kind = "pool"
        case Window(function=function):
            kind, kernel, stride = "maxpool" if function == MAXIMUM else "avgpool", node.kernel, node.stride
        case _:
            return None
    bias = isinstance(node, Linear)
    return LayerSpec(
        node.name[-200:], kind, read[1], made[1], kernel, stride, size, activation, batch_norm=not bias, bias=bias
    )
