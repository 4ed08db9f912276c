"""Checks a finished TFLite file: whether it is complete, and which of its operators runtimes can accelerate."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nagsdk.errors import DeviceError
from nagsdk.graph.tflite_file import ARCHITECTURE_KEY, IDENTIFIER
from nagsdk.graph.tflite_schema import schema

_NAMES: Mapping[int, str] = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_MOVES = ("TRANSPOSE",)
# Operators of lowered networks that delegates run, according to XNNPACK's README and the operation parsers of the GPU
# delegate's model builder, both in TensorFlow Lite.
_COMMON = {
    "ADD",
    "AVERAGE_POOL_2D",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "MAX_POOL_2D",
    "MEAN",
    "MUL",
    "PAD",
    "RELU",
    "RELU6",
    "RESHAPE",
    "SLICE",
}
# Those of tokens, which are written in float only; whether the GPU delegate runs them is not known.
_TOKENS = {"BATCH_MATMUL", "GELU", "RSQRT", "SOFTMAX", "SUB"}
_FLOAT, _INTEGER = "float", "int8"
# By the numbers that an operator reads. The GPU delegate has no integer kernels.
DELEGATES: Mapping[str, Mapping[str, frozenset[str]]] = {
    "xnnpack": {
        _FLOAT: frozenset(_COMMON | _TOKENS | {"DEQUANTIZE", "HARD_SWISH", "QUANTIZE", "TRANSPOSE"}),
        _INTEGER: frozenset(_COMMON | {"DEQUANTIZE", "QUANTIZE", "TRANSPOSE"}),
    },
    "gpu": {_FLOAT: frozenset(_COMMON | {"DEQUANTIZE", "HARD_SWISH"}), _INTEGER: frozenset()},
}


@dataclass(frozen=True)
class Lint:
    """Content of a TFLite file.

    Attributes:
        operators: Number of occurrences of each operator.
        kinds: The operators, each with the numbers that it reads: ``float`` or ``int8``.
        input_shape: Shape of the input, (n, h, w, c).
        weight_bytes: Size of all constants in bytes.
        architecture: Text form of the architecture; empty if the file does not contain it.
    """

    operators: Mapping[str, int]
    kinds: frozenset[tuple[str, str]]
    input_shape: tuple[int, ...]
    weight_bytes: int
    architecture: str

    @property
    def transposes(self) -> int:
        """Number of operators that only move data; of files that nagsdk writes, only those with attention have some."""
        return sum(self.operators.get(name, 0) for name in _MOVES)

    def refused_by(self, delegate: str) -> tuple[str, ...]:
        """Returns the operators that a delegate would leave to the plain CPU kernels; those on integers with [int8].

        Args:
            delegate: A key of `DELEGATES`.
        """
        refused = (kind for kind in self.kinds if kind[0] not in DELEGATES[delegate][kind[1]])
        return tuple(sorted(name if numbers == _FLOAT else f"{name}[{numbers}]" for name, numbers in refused))

    def to_dict(self) -> dict[str, Any]:
        """Returns the content for the manifest, JSON-ready."""
        return {
            "operators": dict(self.operators),
            "operator_count": sum(self.operators.values()),
            "transposes": self.transposes,
            "weight_bytes": self.weight_bytes,
            "refused_by": {delegate: list(self.refused_by(delegate)) for delegate in DELEGATES},
        }


def lint(path: Path) -> Lint:
    """Reads and checks a complete TFLite file; runtimes do not check it, and an incomplete file can crash them.

    Raises:
        DeviceError: The file is missing, incomplete, or not a TFLite file.
    """
    try:
        content = path.read_bytes()
        if content[4:8] != IDENTIFIER:
            raise ValueError("the identifier of the format is missing")
        return _read(content)
    except (OSError, ValueError, IndexError, TypeError, struct.error) as error:
        raise DeviceError(f"{path.name} is not a complete TFLite file: {error}.", "Export it again.") from error


def _read(content: bytes) -> Lint:
    model = schema.Model.GetRootAs(content, 0)
    if model.SubgraphsLength() != 1:
        raise ValueError(f"it holds {model.SubgraphsLength()} networks instead of one")
    body = model.Subgraphs(0)
    weights = 0
    for index in range(_length(model.BuffersLength(), content)):
        data = model.Buffers(index).DataAsNumpy()  # raises if the buffer reaches beyond the end of the file
        weights += 0 if isinstance(data, int) else len(data)
    for index in range(_length(body.TensorsLength(), content)):
        tensor = body.Tensors(index)
        if not 0 <= tensor.Buffer() < model.BuffersLength():
            raise ValueError(f"the buffer of its tensor {index} does not exist")
    operators: Counter[str] = Counter()
    kinds = set()
    for index in range(_length(body.OperatorsLength(), content)):
        operator = body.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        places = [*operator.InputsAsNumpy(), *operator.OutputsAsNumpy()]
        if not all(-1 <= place < body.TensorsLength() for place in places):
            raise ValueError(f"its operator {index} reads or writes a tensor that does not exist")
        name = _NAMES.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "unknown")
        operators[name] += 1
        integer = body.Tensors(int(places[0])).Type() == schema.TensorType.INT8
        kinds.add((name, _INTEGER if integer else _FLOAT))
    source = body.Tensors(int(body.Inputs(0)))
    return Lint(
        dict(sorted(operators.items())),
        frozenset(kinds),
        tuple(int(size) for size in source.ShapeAsNumpy()),
        weights,
        _architecture(model),
    )


def _architecture(model: Any) -> str:
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == ARCHITECTURE_KEY.encode():
            return bytes(model.Buffers(entry.Buffer()).DataAsNumpy()).decode()
    return ""


def _length(claimed: int, content: bytes) -> int:
    if claimed > len(content) // 4:
        raise ValueError("it declares more parts than fit into its size")
    return claimed
