"""What stands in a finished TFLite file: is it whole, and what would a runtime make of it?"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nagsdk.errors import DeviceError
from nagsdk.graph.tflite import ARCHITECTURE_KEY, IDENTIFIER
from nagsdk.graph.tflite_schema import schema

_NAMES: Mapping[int, str] = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_MOVES = ("TRANSPOSE",)
# What delegates take of float operators that a lowered network can have: XNNPACK's README, and the operation parsers of
# the GPU delegate's model builder, both in TensorFlow Lite.
_COMMON = {
    "ADD",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "HARD_SWISH",
    "MEAN",
    "MUL",
    "PAD",
    "RELU",
    "RESHAPE",
    "SLICE",
}
DELEGATES: Mapping[str, frozenset[str]] = {
    "xnnpack": frozenset(_COMMON | {"DEQUANTIZE", "TRANSPOSE"}),
    "gpu": frozenset(_COMMON | {"DEQUANTIZE"}),
}


@dataclass(frozen=True)
class Lint:
    """What was read from a file.

    Attributes:
        operators: How often each operator occurs.
        input_shape: (n, h, w, c).
        weight_bytes: Of all constants.
        architecture: Text form of the architecture, empty where the file names none.
    """

    operators: Mapping[str, int]
    input_shape: tuple[int, ...]
    weight_bytes: int
    architecture: str

    @property
    def transposes(self) -> int:
        """Operators that only move data about; a file of ours needs none."""
        return sum(self.operators.get(name, 0) for name in _MOVES)

    def refused_by(self, delegate: str) -> tuple[str, ...]:
        """Operators that a delegate would leave to the plain CPU kernels.

        Args:
            delegate: A key of `DELEGATES`.
        """
        return tuple(sorted(set(self.operators) - DELEGATES[delegate]))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "operators": dict(self.operators),
            "operator_count": sum(self.operators.values()),
            "transposes": self.transposes,
            "weight_bytes": self.weight_bytes,
            "refused_by": {delegate: list(self.refused_by(delegate)) for delegate in DELEGATES},
        }


def lint(path: Path) -> Lint:
    """Reads a TFLite file through, which a runtime does not: a cut file can crash it.

    Raises:
        DeviceError: The file is missing, cut, or no TFLite file.
    """
    try:
        content = path.read_bytes()
        if content[4:8] != IDENTIFIER:
            raise ValueError("it lacks the mark of a TFLite file")
        return _read(content)
    except (OSError, ValueError, IndexError, TypeError, struct.error) as error:
        raise DeviceError(f"{path.name} is no whole TFLite file: {error}.", "Export it again.") from error


def _read(content: bytes) -> Lint:
    model = schema.Model.GetRootAs(content, 0)
    if model.SubgraphsLength() != 1:
        raise ValueError(f"it holds {model.SubgraphsLength()} networks")
    body = model.Subgraphs(0)
    weights = 0
    for index in range(_length(model.BuffersLength(), content)):
        data = model.Buffers(index).DataAsNumpy()  # raises where it reaches beyond the file
        weights += 0 if isinstance(data, int) else len(data)
    for index in range(_length(body.TensorsLength(), content)):
        tensor = body.Tensors(index)
        if not 0 <= tensor.Buffer() < model.BuffersLength():
            raise ValueError(f"its tensor {index} has no buffer")
    operators: Counter[str] = Counter()
    for index in range(_length(body.OperatorsLength(), content)):
        operator = body.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        places = [*operator.InputsAsNumpy(), *operator.OutputsAsNumpy()]
        if not all(-1 <= place < body.TensorsLength() for place in places):
            raise ValueError(f"its operator {index} reads or writes no tensor")
        operators[_NAMES.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "unknown")] += 1
    source = body.Tensors(int(body.Inputs(0)))
    return Lint(
        dict(sorted(operators.items())),
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
        raise ValueError("it claims more parts than it can hold")
    return claimed
