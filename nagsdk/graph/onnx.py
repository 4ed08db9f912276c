"""Writes a `Graph` as an ONNX file, node by node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from nagsdk.errors import UnsupportedLayerError
from nagsdk.graph.ir import (
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
    Pool,
    Weights,
    Window,
)
from nagsdk.graph.onnx_tokens import Composed

OPSET = 17
# Opset -> version of the file format that came with it; programs that read old opsets only refuse newer formats too.
IR_VERSIONS = {11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8}
_HARD_SWISH_SINCE = 14
OUTPUT = "logits"
# Key in files; it does not follow the name of the module.
ARCHITECTURE_KEY = "nagsdk.architecture"

_FUNCTIONS = {RELU: "Relu", RELU6: "Clip", HARD_SWISH: "HardSwish", HARD_SIGMOID: "HardSigmoid"}

# One unit in the last place below a sixth. OpenCV's dnn takes Mul(x, HardSigmoid(z)) with exactly a sixth for
# HardSwish(x), although z is not x in squeeze-and-excitation, and computes garbage without a word.
_SLOPE: dict[str, Any] = {"alpha": float(np.nextafter(np.float32(1 / 6), np.float32(0))), "beta": 0.5}


def write_onnx(graph: Graph, path: Path, opset: int = OPSET) -> None:
    """Writes an ONNX file with the input ``image`` (n, 3, h, w) and the output ``logits`` (n, classes).

    Equal graphs give equal bytes. Tensors are numbered with a fixed width, so that the length of the file is a sum over
    its nodes.

    Args:
        graph: The network.
        path: File to write; an existing file is overwritten.
        opset: Version of ONNX's operators, from `IR_VERSIONS`. Below 14, which brought HardSwish, each one is written
            as HardSigmoid and Mul; below 17, which brought LayerNormalization, each of these as means and products.

    Raises:
        UnsupportedLayerError: A node has no ONNX operator.
    """
    names = {
        graph.INPUT: graph.INPUT,
        **{node.name: f"t{number:04d}" for number, node in enumerate(graph.nodes)},
        graph.output: OUTPUT,
    }
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, values: Weights) -> str:
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=values.shape)
        tensor.raw_data = np.ascontiguousarray(values, dtype="<f4").tobytes()
        constants.append(tensor)
        return name

    for node in graph.nodes:
        output = names[node.name]
        inputs = [names[name] for name in node.inputs]
        composed = Composed(graph, node, inputs, output, opset)
        if composed.nodes:
            nodes += composed.nodes
            constants += composed.constants
            continue
        if isinstance(node, (Conv, Linear)):
            inputs += [constant(f"{output}.w", node.weight), constant(f"{output}.b", node.bias)]
        if isinstance(node, Activation) and node.function == RELU6:
            inputs += [constant(f"{output}.{limit}", np.array(limit, np.float32)) for limit in (0, 6)]
        operator, attributes = operator_of(node)
        if operator == "HardSwish" and opset < _HARD_SWISH_SINCE:
            nodes.append(helper.make_node("HardSigmoid", inputs, [f"{output}.s"], **_SLOPE))
            operator, inputs = "Mul", [*inputs, f"{output}.s"]
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))

    path.write_bytes(model_of(graph, nodes, constants, opset))


def model_of(graph: Graph, nodes: Sequence[onnx.NodeProto], constants: Sequence[onnx.TensorProto], opset: int) -> bytes:
    """The content of a file with these nodes and constants, which has the input and output of a graph."""
    body = helper.make_graph(
        nodes,
        "nagsdk",
        [helper.make_tensor_value_info(graph.INPUT, TensorProto.FLOAT, graph.input_shape)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, graph.shapes[graph.output])],
        constants,
    )
    model = helper.make_model(
        body,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=IR_VERSIONS[opset],
        producer_name="nagsdk",
    )
    if graph.architecture:
        helper.set_model_props(model, {ARCHITECTURE_KEY: graph.architecture})
    return bytes(model.SerializeToString(deterministic=True))


def operator_of(node: Node) -> tuple[str, dict[str, Any]]:
    """The ONNX operator of a node, and its attributes.

    Raises:
        UnsupportedLayerError: There is none.
    """
    match node:
        case Conv():
            pads = [side for side in node.sides for _ in node.kernel]
            sides = {"kernel_shape": list(node.kernel), "strides": [node.stride] * 2, "pads": pads}
            return "Conv", {**sides, "group": node.groups}
        case Linear():
            return "Gemm", {"transB": 1}
        case Activation(function=function) if function in _FUNCTIONS:
            return _FUNCTIONS[function], _SLOPE if function == HARD_SIGMOID else {}
        case Binary(function=function):
            return ("Mul" if function == MULTIPLY else "Add"), {}
        case Pool():
            return "GlobalAveragePool", {}
        case Window(function=function):
            sides = {"kernel_shape": [node.kernel] * 2, "strides": [node.stride] * 2, "pads": [node.padding] * 4}
            return ("MaxPool" if function == MAXIMUM else "AveragePool"), {**sides, "ceil_mode": int(node.partial)}
        case Flatten():
            return "Flatten", {"axis": 1}
        case _:
            raise UnsupportedLayerError(
                f"{node.name} ({type(node).__name__}) cannot be written as ONNX.",
                "Export without the rewrite that added it to the network.",
            )
