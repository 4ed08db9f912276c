"""Turns a `Graph` into a `torch.export` program.

The program takes float32 images, computes in the chosen precision and returns float32 logits.
"""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from nagsdk.errors import UnsupportedLayerError
from nagsdk.graph.interpret import computed
from nagsdk.graph.ir import (
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
from nagsdk.graph.tokens import Attention, LayerNorm, TokenMean, Tokens

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# This key is part of the file format and does not depend on the module's name.
ARCHITECTURE_KEY = "nagsdk.architecture"
# Metadata about where in our source an operation came from: nobody needs it, and it would be larger than the weights.
_TRACES = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")
# Before Python 3.14, the filters of warnings belong to the whole process.
_SAVING = threading.Lock()


class Program(nn.Module):
    """A graph as a torch module whose weights are stored in the channels-last format.

    Args:
        graph: The lowered network.
        dtype: Number format of weights and arithmetic.

    Raises:
        UnsupportedLayerError: A node has no torch operator.
    """

    def __init__(self, graph: Graph, dtype: torch.dtype) -> None:
        super().__init__()
        self.graph, self.dtype = graph, dtype
        # The time of a product with a single vector is the time to read the weights. A matrix product reads them faster
        # than a convolution.
        self.vectors = {node.name for node in graph.nodes if isinstance(node, Conv) and _sees_one_position(graph, node)}
        for number, node in enumerate(graph.nodes):
            if isinstance(node, (Conv, Linear, LayerNorm)):
                weight = torch.from_numpy(node.weight).to(dtype)
                if node.name in self.vectors:
                    weight = weight.flatten(1)
                elif isinstance(node, Conv):
                    weight = weight.contiguous(memory_format=torch.channels_last)
                self.register_buffer(f"weight{number}", weight)
                self.register_buffer(f"bias{number}", torch.from_numpy(node.bias).to(dtype))
            elif not isinstance(node, (Activation, Binary, Pool, Window, Flatten, Tokens, TokenMean, Attention)):
                raise UnsupportedLayerError(
                    f"{node.name} ({type(node).__name__}) cannot be written as a torch program.",
                    "Undo the rewrite that put it into the network.",
                )

    def forward(self, image: Tensor) -> Tensor:
        """Maps images, shape (n, 3, h, w), to logits, shape (n, classes), both in float32."""
        values = {Graph.INPUT: image.to(dtype=self.dtype, memory_format=torch.channels_last)}
        for number, node in enumerate(self.graph.nodes):
            values[node.name] = self._run(number, node, [values[name] for name in node.inputs])
        return values[self.graph.output].float()

    def _run(self, number: int, node: Node, inputs: list[Tensor]) -> Tensor:
        if not isinstance(node, (Conv, Linear, LayerNorm)):
            return computed(node, inputs)
        (first,) = inputs
        weight, bias = self.get_buffer(f"weight{number}"), self.get_buffer(f"bias{number}")
        if node.name in self.vectors:
            return functional.linear(first.flatten(1), weight, bias)[:, :, None, None]
        return computed(node, inputs, weight, bias)


def write_program(graph: Graph, path: Path, precision: str) -> None:
    """Writes a ``.pt2`` file that `torch.export.load` reads; it runs on the processor and, moved there, on a GPU.

    Args:
        graph: The network.
        path: File to write; an existing one is overwritten.
        precision: Key of `DTYPES`.

    Raises:
        UnsupportedLayerError: A node has no torch operator.
    """
    program = Program(graph, DTYPES[precision]).eval()
    with torch.no_grad():
        exported = torch.export.export(program, (torch.zeros(graph.input_shape),), strict=False)
    for operation in list(exported.graph.nodes):
        # torch writes this assertion before every conversion; it would refuse images that are on another device than
        # the images of the export were.
        if operation.target is torch.ops.aten._assert_tensor_metadata.default:
            exported.graph.erase_node(operation)
        for trace in _TRACES:
            operation.meta.pop(trace, None)
    exported.graph_module.recompile()
    exported.example_inputs = None  # otherwise the file would contain a whole batch of zeros
    with _SAVING, warnings.catch_warnings():
        # torch warns about weights that share their storage with no other tensor, which is harmless here.
        warnings.filterwarnings("ignore", "No complete tensor found", UserWarning)
        torch.export.save(exported, path, extra_files={ARCHITECTURE_KEY: graph.architecture})


def _sees_one_position(graph: Graph, node: Conv) -> bool:
    return (
        node.kernel == (1, 1) and node.groups == 1 and graph.shapes[node.inputs[0]][2:] == (1, 1) and node.stride == 1
    )
