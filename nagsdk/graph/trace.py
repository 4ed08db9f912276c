"""Lowers a torch module in eval mode to a `Graph` with torch.fx, and folds batch normalisation."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional

from nagsdk.errors import UnsupportedLayerError
from nagsdk.graph.ir import (
    ADD,
    GELU,
    HARD_SIGMOID,
    HARD_SWISH,
    MAXIMUM,
    MEAN,
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
    Pool,
    Weights,
    Window,
)
from nagsdk.graph.lowering import folded
from nagsdk.graph.tokens import Attention, LayerNorm, TokenMean, Tokens

_ACTIVATIONS: dict[object, str] = {
    nn.ReLU: RELU,
    functional.relu: RELU,
    torch.relu: RELU,
    nn.ReLU6: RELU6,
    functional.relu6: RELU6,
    nn.Hardswish: HARD_SWISH,
    functional.hardswish: HARD_SWISH,
    nn.Hardsigmoid: HARD_SIGMOID,
    functional.hardsigmoid: HARD_SIGMOID,
    functional.gelu: GELU,
}
_BINARIES: dict[object, str] = {operator.add: ADD, torch.add: ADD, operator.mul: MULTIPLY, torch.mul: MULTIPLY}
# Value of the attribute `lowered` of modules that become one node; see `nagsdk.families.attention`.
_ATTENTION = "attention"
_NOTHING_IN_EVAL = (nn.Identity, nn.Dropout, nn.Dropout2d)
_NEXT_STEP = (
    "Build the network from convolutions, batch normalisation, linear layers, ReLU, ReLU6, hard swish, hard sigmoid, "
    "GELU, sums, products, zeros around the image of a convolution, maxima and means of windows, the global mean, "
    "layer normalisation, nagsdk.families.attention.Attention, and flatten(2).transpose(1, 2), which turns an image "
    "into tokens."
)
# torch.fx changes how all modules of the process are called, for the milliseconds that it takes.
_TRACING = threading.Lock()


def trace(subnet: nn.Module, resolution: int, batch: int = 1) -> Graph:
    """Lowers a network.

    Batch normalisation is folded into the preceding convolution in float64 and rounded to float32 once, so that folding
    costs no accuracy. The weights are copied.

    Args:
        subnet: A network in eval mode that torch.fx can trace; its `architecture`, if it has one, is recorded.
        resolution: Height and width of the input in pixels.
        batch: Number of images of one inference.

    Raises:
        UnsupportedLayerError: The network contains an operation that cannot be exported; the message names it.
    """
    if subnet.training:
        raise UnsupportedLayerError("A network in training mode cannot be exported.", "Call eval() on it first.")
    try:
        with _TRACING:
            traced = _Tracer().trace(subnet)
    except Exception as error:  # torch.fx raises whatever the traced code does
        raise UnsupportedLayerError(f"torch.fx cannot trace {type(subnet).__name__}: {error}", _NEXT_STEP) from error
    lowering = _Lowering(dict(subnet.named_modules()))
    for node in traced.nodes:
        lowering.add(node)
    architecture = str(getattr(subnet, "architecture", ""))
    graph = Graph((batch, 3, resolution, resolution), tuple(lowering.nodes.values()), lowering.output, architecture)
    graph.shapes  # noqa: B018 — raises an error if shapes do not fit
    return graph


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return hasattr(module, "lowered") or super().is_leaf_module(module, name)


class _Lowering:
    """Collects nodes; `tensor` maps an fx node to the name of the node that holds its value."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        self.modules = modules
        self.nodes: dict[str, Node] = {}
        self.tensor: dict[fx.Node, str] = {}
        # Zeros that torch adds before a convolution become a part of it: left, right, above and below the image.
        self.around: dict[fx.Node, tuple[int, ...]] = {}
        self.output = ""

    def add(self, node: fx.Node) -> None:
        match node.op:
            case "placeholder" if not self.tensor:
                self.tensor[node] = Graph.INPUT
            case "output" if isinstance(node.args[0], fx.Node):
                self.output = self.tensor[node.args[0]]
            case "call_module":
                self._module(node, self.modules[str(node.target)])
            case "call_function":
                self._function(node)
            case "call_method":
                self._method(node)
            case _:
                raise _unsupported(f"{node.op} {node.name}")

    def _put(self, node: fx.Node, make: Callable[..., Node], *arguments: Any) -> None:
        name = str(node.target) if node.op == "call_module" else node.name
        if name in self.nodes or name == Graph.INPUT:
            name = node.name
        # A tensor that is read twice is listed twice.
        read = [a for a in node.args if isinstance(a, fx.Node)] or node.all_input_nodes
        inputs = tuple(self.tensor[n] for n in read)
        self.nodes[name] = make(name, inputs, *arguments)
        self.tensor[node] = name

    def _module(self, node: fx.Node, module: nn.Module) -> None:
        if getattr(module, "lowered", None) == _ATTENTION:
            self._put(node, Attention, module.heads)
        elif isinstance(module, nn.Conv2d):
            square = (
                all(len(set(v)) == 1 for v in (module.kernel_size, module.stride, module.dilation))
                and module.dilation[0] == 1
            )
            left, right, above, below = self.around.get(node.all_input_nodes[0], (0, 0, 0, 0))
            if (
                not square
                or isinstance(module.padding, str)
                or len(set(module.padding)) != 1
                or module.padding_mode != "zeros"
                or (left, right) != (above, below)
            ):
                raise _unsupported(f"{node.target} ({module})")
            padding = module.padding[0] + left
            numbers = (module.stride[0], padding, module.groups, right - left)
            self._put(node, Conv, _array(module.weight), _bias(module), *numbers)
        elif isinstance(module, nn.ZeroPad2d):
            self._pad(node, module.padding)
        elif isinstance(module, nn.BatchNorm2d):
            self._fold(node, module)
        elif isinstance(module, nn.Linear):
            self._put(node, Linear, _array(module.weight), _bias(module))
        elif isinstance(module, nn.LayerNorm):
            self._norm(node, module)
        elif isinstance(module, nn.GELU) and module.approximate == "none":
            self._put(node, Activation, GELU)
        elif type(module) in _ACTIVATIONS:
            self._put(node, Activation, _ACTIVATIONS[type(module)])
        elif isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
            self._put(node, Pool)
        elif isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
            self._window(node, module)
        elif isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1):
            self._put(node, Flatten)
        elif isinstance(module, _NOTHING_IN_EVAL):
            self.tensor[node] = self.tensor[node.all_input_nodes[0]]
        else:
            raise _unsupported(f"{node.target} ({module})")

    def _pad(self, node: fx.Node, widths: Any) -> None:
        whole = isinstance(widths, (tuple, list)) and len(widths) == 4
        if not whole or not all(isinstance(width, int) and width >= 0 for width in widths):
            raise _unsupported(f"{node.name} (padding by {widths})")
        (before,) = node.all_input_nodes
        readers = [self.modules.get(str(user.target)) for user in node.users if user.op == "call_module"]
        convolutions = [reader for reader in readers if isinstance(reader, nn.Conv2d)]
        if before in self.around or len(convolutions) != len(node.users):
            raise _unsupported(f"{node.name} (zeros around an image that something else than a convolution reads)")
        self.around[node], self.tensor[node] = tuple(widths), self.tensor[before]

    def _window(self, node: fx.Node, module: nn.MaxPool2d | nn.AvgPool2d) -> None:
        maximum = isinstance(module, nn.MaxPool2d)
        kernel, stride, padding = (
            pair if isinstance(pair, tuple) else (pair, pair)
            for pair in (module.kernel_size, module.stride or module.kernel_size, module.padding)
        )
        alike = all(len(set(pair)) == 1 for pair in (kernel, stride, padding))
        whole = module.dilation in (1, (1, 1)) and not module.return_indices if maximum else not padding[0]
        if not (alike and whole and getattr(module, "divisor_override", None) is None):
            raise _unsupported(f"{node.target} ({module})")
        function = MAXIMUM if maximum else MEAN
        self._put(node, Window, function, kernel[0], stride[0], padding[0], module.ceil_mode)

    def _fold(self, node: fx.Node, norm: nn.BatchNorm2d) -> None:
        before = node.all_input_nodes[0]
        conv = self.nodes.get(self.tensor[before])
        # If another operation reads the convolution too, its output must not change.
        if (
            not isinstance(conv, Conv)
            or len(before.users) != 1
            or norm.running_mean is None
            or norm.running_var is None
        ):
            raise _unsupported(
                f"{node.target} (batch normalisation that does not follow a convolution, or has no statistics)"
            )
        scale, shift = (_array(norm.weight), _array(norm.bias)) if norm.affine else (None, None)
        mean, variance = _array(norm.running_mean), _array(norm.running_var)
        self.nodes[conv.name] = folded(conv, scale, shift, mean, variance, norm.eps)
        self.tensor[node] = conv.name

    def _norm(self, node: fx.Node, norm: nn.LayerNorm) -> None:
        if len(norm.normalized_shape) != 1:
            raise _unsupported(f"{node.target} (layer normalisation over more than the channels)")
        channels = norm.normalized_shape[0]
        weight = np.ones(channels, np.float32) if norm.weight is None else _array(norm.weight)
        bias = np.zeros(channels, np.float32) if norm.bias is None else _array(norm.bias)
        self._put(node, LayerNorm, weight, bias, norm.eps)

    def _function(self, node: fx.Node) -> None:
        if node.target in _ACTIVATIONS and node.kwargs.get("approximate", "none") == "none":
            self._put(node, Activation, _ACTIVATIONS[node.target])
        elif (
            node.target in _BINARIES
            and all(isinstance(a, fx.Node) for a in node.args)
            and len(node.args) == 2
            and not node.kwargs
        ):
            self._put(node, Binary, _BINARIES[node.target])
        elif node.target is functional.pad:
            given = {**dict(zip(("pad", "mode", "value"), node.args[1:], strict=False)), **node.kwargs}
            if given.get("mode", "constant") != "constant" or given.get("value") not in (None, 0):
                raise _unsupported(f"{node.name} (padding with something else than zeros)")
            self._pad(node, given["pad"])
        elif node.target is torch.flatten:
            self._flatten(node)
        elif node.target is torch.mean:
            self._mean(node)
        elif node.target is torch.transpose:
            self._transpose(node)
        else:
            raise _unsupported(f"{node.name} ({getattr(node.target, '__name__', node.target)})")

    def _method(self, node: fx.Node) -> None:
        if node.target == "mean":
            self._mean(node)
        elif node.target == "flatten":
            self._flatten(node)
        elif node.target == "transpose":
            self._transpose(node)
        else:
            raise _unsupported(f"{node.name} (the method {node.target})")

    def _mean(self, node: fx.Node) -> None:
        sizes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        keep = node.args[2] if len(node.args) > 2 else node.kwargs.get("keepdim", False)
        if sizes in (1, [1], (1,)) and not keep:
            self._put(node, TokenMean)
            return
        if (
            not isinstance(sizes, (tuple, list))
            or sorted(s % 4 for s in sizes if isinstance(s, int)) != [2, 3]
            or len(sizes) != 2
            or not keep
        ):
            raise _unsupported(f"{node.name} (a mean that is not over height and width, or does not keep them)")
        self._put(node, Pool)

    def _flatten(self, node: fx.Node) -> None:
        if _starts_at_2(node) and all(user.target in ("transpose", torch.transpose) for user in node.users):
            self.tensor[node] = self.tensor[node.all_input_nodes[0]]
            return
        if node.args[1:] not in ((1,), (1, -1)) and not (len(node.args) == 1 and node.kwargs == {"start_dim": 1}):
            raise _unsupported(f"{node.name} (a flatten that does not start at dimension 1)")
        self._put(node, Flatten)

    def _transpose(self, node: fx.Node) -> None:
        before = node.all_input_nodes[0]
        axes = {*node.args[1:], *node.kwargs.values()}
        if before.target not in ("flatten", torch.flatten) or not _starts_at_2(before) or axes != {1, 2}:
            raise _unsupported(f"{node.name} (a transpose that does not follow flatten(2) and turn it into tokens)")
        self._put(node, Tokens)


def _starts_at_2(flatten: fx.Node) -> bool:
    starts = flatten.args[1:] in ((2,), (2, -1)) and not flatten.kwargs
    return starts or (len(flatten.args) == 1 and flatten.kwargs == {"start_dim": 2})


def _array(tensor: torch.Tensor) -> Weights:
    return np.array(tensor.detach().cpu().numpy(), dtype=np.float32)


def _bias(module: nn.Conv2d | nn.Linear) -> Weights:
    return np.zeros(module.weight.shape[0], np.float32) if module.bias is None else _array(module.bias)


def _unsupported(what: str) -> UnsupportedLayerError:
    return UnsupportedLayerError(f"The network cannot be exported: {what} is not supported.", _NEXT_STEP)
