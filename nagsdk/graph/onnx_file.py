"""Reads ONNX files that others made: what goes in and out, and what their layers cost."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from nagsdk.common.reading import read_bytes
from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import UsageError
from nagsdk.graph.ir import Graph
from nagsdk.space.layer import LayerSpec

# Suffix of programs of torch.export.
PROGRAM = ".pt2"
MOST_BYTES = 512 * 10**6
_MOST_NODES, _MOST_RESOLUTION, _MOST_CLASSES = 20_000, 4096, 100_000
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_WEIGHTED, _OWN_DOMAINS = ("Conv", "Gemm", "MatMul"), ("", "ai.onnx")
# They multiply and accumulate too, or hold operators that may.
_UNCOUNTED = {
    *("ConvTranspose", "DeformConv", "ConvInteger", "QLinearConv", "MatMulInteger", "QLinearMatMul", "Einsum"),
    *("RNN", "GRU", "LSTM", "Attention", "If", "Loop", "Scan"),
}
Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class OnnxFile:
    """A network in an ONNX file: one image in, one row of outputs per image.

    Attributes:
        name: Name and hash of the file, such as ``onnx:mobilenetv2:5f2c…``.
        content: The bytes of the network with a fixed batch size; those of the file if it has the right one.
        sha256: SHA-256 of the file.
        resolution: Height and width of its input.
        classes: Number of outputs per image.
        batch: Number of images of one inference.
        layers: Convolutions and matrix products, with their multiply-accumulates.
        uncounted: Kinds of operators that may multiply and accumulate, and are not in `layers`: matrix products of
            other kinds, operators that onnx does not know, and layers behind those, whose shapes are not known.
        parameters: Number of values in its weights.
    """

    name: str
    content: bytes
    sha256: str
    resolution: int
    classes: int
    batch: int
    layers: tuple[tuple[LayerSpec, int], ...]
    uncounted: tuple[str, ...]
    parameters: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(macs for _, macs in self.layers)

    def graph(self) -> Graph:
        """The network as nagsdk writes it for devices that take other files.

        Raises:
            UnsupportedLayerError: It has an operator that cannot be converted; the message names it.
        """
        from nagsdk.graph.onnx_lowering import graph_of

        return graph_of(onnx.load_model_from_string(self.content))

    @classmethod
    def read(cls, path: Path, batch: int) -> OnnxFile:
        """Reads and checks a file.

        Args:
            path: The file.
            batch: Number of images of one inference, for files that leave it open.

        Raises:
            UsageError: It is no ONNX file that can be measured; the message says why.
        """
        try:
            content = read_bytes(path, MOST_BYTES)
            model = onnx.load_model_from_string(content)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {what_is_wrong(error)}.", "Give an ONNX file.") from error
        except Exception as error:  # protobuf has errors of its own, and raises others for some damages
            raise UsageError(
                f"{path} is not an ONNX file, or is damaged.",
                "Export the network again, as ONNX or, with the suffix .pt2, as a program of torch.export.",
            ) from error
        if not model.graph.node or len(model.graph.node) > _MOST_NODES:
            raise UsageError(
                f"{path} has {len(model.graph.node)} operators; 1 to {_MOST_NODES} are allowed.",
                "Give an ONNX file with a network.",
            )
        outside = [tensor.name for tensor in _tensors(model.graph) if tensor.data_location == tensor.EXTERNAL]
        if outside:
            raise UsageError(
                f"{path} keeps weights in other files ({outside[0]}), which are not read.",
                "Export it with external_data=False, or save it as one file: "
                "onnx.save(onnx.load(PATH), PATH, save_as_external_data=False).",
            )
        size, changed = _input(path, model, batch)
        try:
            onnx.checker.check_model(model)
            inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        except Exception as error:  # onnx raises errors of several libraries
            raise UsageError(f"{path} is not valid: {_one_line(error)}", "Export the network again.") from error
        shapes = _shapes(inferred.graph)
        classes = _output(path, model.graph, shapes, batch)
        layers, uncounted = _layers(inferred.graph.node, shapes, batch)
        if not layers:
            others = f", but {', '.join(uncounted)}" if uncounted else ""
            raise UsageError(
                f"{path} has no convolution and no matrix product of a known shape{others}.",
                "Give a network for images; integers between QuantizeLinear and DequantizeLinear are understood.",
            )
        digest = hashlib.sha256(content).hexdigest()
        return cls(
            name_of(path, digest),
            model.SerializeToString() if changed else content,
            digest,
            size,
            classes,
            batch,
            layers,
            uncounted,
            sum(int(np.prod(tensor.dims, dtype=np.int64)) for tensor in model.graph.initializer),
        )


def name_of(path: Path, digest: str) -> str:
    """Name of a finished network: the kind, the name and the first digits of the hash of its file."""
    stem = _NOT_IN_A_NAME.sub("-", path.stem)[:60]
    return f"{path.suffix[1:].lower() if path.suffix == PROGRAM else 'onnx'}:{stem}:{digest[:12]}"


def _input(path: Path, model: onnx.ModelProto, batch: int) -> tuple[int, bool]:
    """Height and width of the input; fixes an open batch size, and says whether it did."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    wanted = f"Give a network with one float32 input of shape ({batch}, 3, size, size), size at most {_MOST_RESOLUTION}"
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        told = ", ".join(f"{value.name} {_type(value)} {_shown(_shape(value))}" for value in inputs) or "none"
        raise UsageError(f"{path} has the inputs: {told}.", f"{wanted}.")
    shape = _shape(inputs[0])
    size = shape[-1] if len(shape) == 4 else 0
    fits = isinstance(size, int) and 0 < size <= _MOST_RESOLUTION and shape[1:] == (3, size, size)
    if not fits or (isinstance(shape[0], int) and shape[0] != batch):
        raise UsageError(
            f"The input {inputs[0].name} of {path} has the shape {_shown(shape)}.",
            f"{wanted}, or another --batch; an open batch size is fixed by nagsdk, other open sizes are not.",
        )
    assert isinstance(size, int)
    if isinstance(shape[0], int):
        return size, False
    for value in (*inputs, *model.graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]  # shapes that were inferred for the open size
    return size, True


def _output(path: Path, graph: onnx.GraphProto, shapes: Mapping[str, Shape], batch: int) -> int:
    """Number of outputs per image."""
    told = ", ".join(f"{value.name} {_shown(shapes.get(value.name, ()))}" for value in graph.output)
    shape = shapes.get(graph.output[0].name, ()) if len(graph.output) == 1 else ()
    classes = shape[1] if len(shape) == 2 and shape[0] == batch else 0
    if not isinstance(classes, int) or not 0 < classes <= _MOST_CLASSES:
        raise UsageError(
            f"{path} has the outputs: {told}.", f"Give a network with one output of shape ({batch}, classes)."
        )
    return classes


def _layers(
    nodes: Iterable[onnx.NodeProto], shapes: Mapping[str, Shape], batch: int
) -> tuple[tuple[tuple[LayerSpec, int], ...], tuple[str, ...]]:
    """The layers with the multiply-accumulates of one image, and the kinds of operators that are not counted."""
    layers: list[tuple[LayerSpec, int]] = []
    uncounted = set()
    for node in nodes:
        if node.domain not in _OWN_DOMAINS or node.op_type in _UNCOUNTED:
            uncounted.add(node.op_type[:60])
            continue
        if node.op_type not in _WEIGHTED:
            continue
        sizes = [shapes.get(name, ()) for name in (*node.input[:2], node.output[0])]
        if not all(shape and all(isinstance(n, int) for n in shape) for shape in sizes):
            uncounted.add(node.op_type)
            continue
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        name = (node.name or f"{node.op_type}{len(layers)}")[-200:]
        layer, macs = _layer(name, node.op_type, attributes, [[int(n) for n in shape] for shape in sizes])
        layers.append((layer, macs // batch))
    return tuple(layers), tuple(sorted(uncounted))


def _layer(
    name: str, operator: str, attributes: Mapping[str, Any], sizes: Sequence[Sequence[int]]
) -> tuple[LayerSpec, int]:
    """A layer and its multiply-accumulates, from the shapes of its input, its weight and its output."""
    read, weight, made = sizes
    outputs = int(np.prod(made, dtype=np.int64))
    if operator != "Conv":
        into = read[0] if attributes.get("transA") else read[-1]
        return LayerSpec(name, "linear", into, made[-1], 1, 1, 1), outputs * into
    kernel, stride = max(weight[2:]), max(attributes.get("strides", [1]))
    groups = int(attributes.get("group", 1))
    plain = "pointwise" if kernel == 1 else "conv"
    kind = "depthwise" if groups == read[1] == made[1] and groups > 1 else plain
    layer = LayerSpec(name, kind, read[1], made[1], kernel, stride, max(read[2:]))
    return layer, outputs * int(np.prod(weight[1:], dtype=np.int64))


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All tensors that a file stores, in its graphs and in the attributes of its operators."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _shapes(graph: onnx.GraphProto) -> dict[str, Shape]:
    stored = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    return {value.name: _shape(value) for value in (*graph.input, *graph.value_info, *graph.output)} | stored


def _shape(value: onnx.ValueInfoProto) -> Shape:
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in dims)


def _type(value: onnx.ValueInfoProto) -> str:
    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    except KeyError:
        return "of an unknown type"


def _shown(shape: Shape) -> str:
    return f"({', '.join(str(size)[:40] for size in shape)})"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
