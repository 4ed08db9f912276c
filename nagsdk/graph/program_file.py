"""Reads programs of torch.export (``.pt2``) without torch: their JSON and raw weights, and nothing that is pickled.

torch's own reader unpickles what a stranger's file holds. The layout is that of torch 2.9 to 2.13
(`torch/export/pt2_archive`, `torch/_export/serde/schema.py`).
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.common.reading import read_bytes
from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import UsageError
from nagsdk.graph.ir import ADD, HARD_SIGMOID, HARD_SWISH, MAXIMUM, MEAN, MULTIPLY, RELU, RELU6, Graph
from nagsdk.graph.lowering import Lowering, unsupported

MOST_BYTES = 512 * 10**6
_MOST_JSON, _MOST_NODES, _MAJOR = 64 * 10**6, 20_000, 8
_FLOAT32, _STRIDED = 7, 7
_EXPORT_AGAIN = (
    "Save it with torch.export.save(torch.export.export(module.eval(), (torch.zeros(1, 3, size, size),)), PATH), "
    "or give an ONNX file."
)
Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class ProgramFile:
    """A program of torch.export: one image in, one row of outputs per image.

    Attributes:
        sha256: SHA-256 of the file.
        graph: The network.
        parameters: Number of values in its parameters.
    """

    sha256: str
    graph: Graph
    parameters: int

    @classmethod
    def read(cls, path: Path) -> ProgramFile:
        """Reads and converts a file.

        Args:
            path: The file.

        Raises:
            UsageError: It is no program of torch.export in a known layout, or has other inputs and outputs.
            UnsupportedLayerError: It has an operation that cannot be converted; the message names it.
        """
        try:
            content = read_bytes(path, MOST_BYTES)
            archive = _Archive(content)
            program, weights = archive.json("models/model.json"), archive.weights()
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {what_is_wrong(error)}.", "Give a .pt2 file.") from error
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, zipfile.BadZipFile) as error:
            raise UsageError(
                f"{path} is not a program of torch.export in a known layout: {what_is_wrong(error)}.", _EXPORT_AGAIN
            ) from error
        try:
            graph, used = _Reader(program, weights).graph()
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise UsageError(f"{path} cannot be converted: {what_is_wrong(error)}.", _EXPORT_AGAIN) from error
        return cls(hashlib.sha256(content).hexdigest(), graph, used)


class _Archive:
    """The members of a program's file that are read, each at most as large as the file itself.

    Raises:
        ValueError: A member is missing or too large.
    """

    def __init__(self, content: bytes) -> None:
        self.files = zipfile.ZipFile(io.BytesIO(content))
        self.members = {name.partition("/")[2]: info for name, info in self.files.NameToInfo.items()}
        if sum(info.file_size for info in self.members.values()) > MOST_BYTES:
            raise ValueError("it is too large when unpacked")
        if self.read("archive_format", 100).strip() != b"pt2":
            raise ValueError("its archive has another format")

    def read(self, name: str, most: int) -> bytes:
        info = self.members.get(name)
        if info is None or info.file_size > most:
            raise ValueError(f"{name[:80]} is {'missing' if info is None else 'too large'}")
        with self.files.open(info) as file:
            return file.read(most + 1)[:most]

    def json(self, name: str) -> Any:
        return json.loads(self.read(name, _MOST_JSON))

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The float32 tensors of the file by their names; others are left out."""
        found = {}
        for name, told in self.json("data/weights/model_weights_config.json")["config"].items():
            meta = told["tensor_meta"]
            if told["use_pickle"] or meta["dtype"] != _FLOAT32 or meta["layout"] != _STRIDED:
                continue
            shape, strides = (tuple(_whole(n["as_int"]) for n in meta[key]) for key in ("sizes", "strides"))
            if not re.fullmatch(r"[A-Za-z0-9_]+", told["path_name"]) or meta["storage_offset"]["as_int"] != 0:
                raise ValueError(f"the weight {name[:80]} is stored in an unknown way")
            raw = np.frombuffer(self.read(f"data/weights/{told['path_name']}", MOST_BYTES), "<f4")
            if strides != tuple(int(np.prod(shape[n + 1 :])) for n in range(len(shape))):
                # Other orders of dimensions, such as channels last, are told by the strides.
                last = sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
                if min(shape, default=1) < 1 or last >= raw.size:
                    raise ValueError(f"the weight {name[:80]} is too small")
                raw = np.lib.stride_tricks.as_strided(raw, shape, [4 * step for step in strides], writeable=False)
            found[name] = np.array(raw.reshape(shape), np.float32)
        return found


class _Reader:
    """Converts the nodes of a program."""

    def __init__(self, program: Any, weights: Mapping[str, NDArray[np.float32]]) -> None:
        if program["schema_version"]["major"] != _MAJOR:
            raise ValueError(f"its schema has the version {program['schema_version']['major']!r}")
        self.body, self.signature = program["graph_module"]["graph"], program["graph_module"]["signature"]
        if len(self.body["nodes"]) > _MOST_NODES:
            raise ValueError(f"it has more than {_MOST_NODES} operations")
        self.constants: dict[str, NDArray[np.float32]] = {}
        self.used: set[str] = set()
        images = []
        for spec in self.signature["input_specs"]:
            ((kind, told),) = spec.items()
            if kind == "user_input":
                images.append(told["arg"]["as_tensor"]["name"])
            elif kind in ("parameter", "buffer") and (name := told[f"{kind}_name"]) in weights:
                self.constants[told["arg"]["name"]] = weights[name]
                self.used |= {told["arg"]["name"]} if kind == "parameter" else set()
        outputs = [spec["user_output"]["arg"]["as_tensor"]["name"] for spec in self.signature["output_specs"]]
        if len(images) != 1 or len(outputs) != 1:
            raise ValueError(f"it has {len(images)} inputs and {len(outputs)} outputs, not one each")
        shape = tuple(size.get("as_int", 0) for size in self.body["tensor_values"][images[0]]["sizes"])
        if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or min(map(_whole, shape)) < 1:
            raise ValueError(f"its input has the shape {list(shape)}, not (n, 3, size, size) with fixed sizes")
        self.lowering, self.output = Lowering(images[0], shape), outputs[0]

    def graph(self) -> tuple[Graph, int]:
        for node in self.body["nodes"]:
            target = str(node["target"]).removeprefix("torch.ops.aten.")
            given = {told["name"]: _value(told["arg"]) for told in node["inputs"]}
            output = node["outputs"][0]["as_tensor"]["name"]
            convert = _OPERATIONS.get(target.partition(".")[0].removesuffix("_"))
            if convert is None:
                raise unsupported(f"{output} ({target[:80]})")
            convert(self, output, given)
        return self.lowering.finish(self.output), sum(self.constants[name].size for name in self.used)

    def constant(self, given: Arguments, name: str) -> NDArray[np.float32] | None:
        value = given.get(name)
        if value is None:
            return None
        if value not in self.constants:
            raise unsupported(f"{str(value)[:80]} (weights that are computed, or no float32)")
        return self.constants[value]

    def needed(self, given: Arguments, name: str) -> NDArray[np.float32]:
        found = self.constant(given, name)
        if found is None:
            raise unsupported(f"an operation without its {name}")
        return found

    def conv(self, output: str, given: Arguments) -> None:
        padding = given.get("padding", [0])
        if isinstance(padding, str) or given.get("transposed"):
            raise unsupported(f"{output} (a convolution that is transposed or pads by name)")
        self.lowering.conv(
            output,
            given["input"],
            self.needed(given, "weight"),
            self.constant(given, "bias"),
            given.get("stride", [1]),
            padding,
            given.get("dilation", [1]),
            given.get("groups", 1),
        )

    def norm(self, output: str, given: Arguments) -> None:
        if given.get("training"):
            raise unsupported(f"{output} (batch normalisation in training mode; call eval() before the export)")
        mean, variance = self.needed(given, "running_mean"), self.needed(given, "running_var")
        scale, shift = self.constant(given, "weight"), self.constant(given, "bias")
        self.lowering.norm(output, given["input"], scale, shift, mean, variance, float(given["eps"]))

    def linear(self, output: str, given: Arguments) -> None:
        self.lowering.linear(output, given["input"], self.needed(given, "weight"), self.constant(given, "bias"))

    def clip(self, output: str, given: Arguments) -> None:
        low, high = (given.get(name, value) for name, value in (("min_val", -1.0), ("max_val", 1.0)))
        if (low, high) != (0, 6):
            raise unsupported(f"{output} (a clip to {low} and {high})")
        self.lowering.activation(output, given["self"], RELU6)

    def binary(self, function: str, output: str, given: Arguments) -> None:
        if not all(isinstance(given[name], str) for name in ("self", "other")) or given.get("alpha", 1) != 1:
            raise unsupported(f"{output} (a sum or product with a number)")
        self.lowering.binary(output, given["self"], given["other"], function)

    def mean(self, output: str, given: Arguments) -> None:
        sizes = given.get("dim") or []
        if sorted(size % 4 for size in sizes) != [2, 3] or len(self.lowering.shape(given["self"])) != 4:
            raise unsupported(f"{output} (a mean that is not over height and width)")
        kept = bool(given.get("keepdim"))
        means = output if kept else f"{output}/mean"
        self.lowering.mean(means, given["self"])
        if not kept:
            self.lowering.flatten(output, means)

    def adaptive(self, output: str, given: Arguments) -> None:
        if set(given["output_size"]) != {1}:
            raise unsupported(f"{output} (an adaptive mean to {given['output_size']})")
        self.lowering.mean(output, given["self"])

    def window(self, function: str, output: str, given: Arguments) -> None:
        if set(given.get("dilation", [1])) != {1} or given.get("divisor_override") is not None:
            raise unsupported(f"{output} (windows with gaps or another divisor)")
        kernel = given["kernel_size"]
        strides, padding = given.get("stride") or kernel, given.get("padding", [0])
        self.lowering.window(
            output, given["self"], function, kernel, strides, padding, bool(given.get("ceil_mode", False))
        )

    def flatten(self, output: str, given: Arguments) -> None:
        if (given.get("start_dim", 0), given.get("end_dim", -1)) not in ((1, -1), (1, 3)):
            raise unsupported(f"{output} (a flatten that does not start at dimension 1)")
        self.lowering.flatten(output, given["self"])

    def reshape(self, output: str, given: Arguments) -> None:
        self.lowering.reshape(output, given["self"], given.get("size", given.get("shape")))

    def same(self, output: str, given: Arguments) -> None:
        if given.get("train"):
            raise unsupported(f"{output} (a dropout in training mode; call eval() before the export)")
        self.lowering.same(output, given["self"] if "self" in given else given["input"])


def _activation(function: str) -> Callable[[_Reader, str, Arguments], None]:
    return lambda reader, output, given: reader.lowering.activation(output, given["self"], function)


_OPERATIONS: Mapping[str, Callable[[_Reader, str, Arguments], None]] = {
    "conv2d": _Reader.conv,
    "convolution": _Reader.conv,
    "batch_norm": _Reader.norm,
    "linear": _Reader.linear,
    "relu": _activation(RELU),
    "relu6": _activation(RELU6),
    "hardtanh": _Reader.clip,
    "hardswish": _activation(HARD_SWISH),
    "hardsigmoid": _activation(HARD_SIGMOID),
    "add": lambda reader, output, given: reader.binary(ADD, output, given),
    "mul": lambda reader, output, given: reader.binary(MULTIPLY, output, given),
    "mean": _Reader.mean,
    "adaptive_avg_pool2d": _Reader.adaptive,
    "max_pool2d": lambda reader, output, given: reader.window(MAXIMUM, output, given),
    "avg_pool2d": lambda reader, output, given: reader.window(MEAN, output, given),
    "flatten": _Reader.flatten,
    "view": _Reader.reshape,
    "reshape": _Reader.reshape,
    "dropout": _Reader.same,
    "clone": _Reader.same,
    "contiguous": _Reader.same,
}


def _value(told: Mapping[str, Any]) -> Any:
    """An argument: the name of a tensor, a number, a list of numbers, or None."""
    ((kind, value),) = told.items()
    if kind == "as_none":
        return None
    if kind == "as_tensor":
        return str(value["name"])
    if kind in ("as_ints", "as_floats", "as_bools") and isinstance(value, Sequence) and not isinstance(value, str):
        return [_number(one) for one in value]
    if kind in ("as_int", "as_float", "as_bool"):
        return _number(value)
    return None if kind in ("as_memory_format", "as_layout", "as_scalar_type", "as_device") else f"{kind}"


def _number(value: Any) -> float | int | bool:
    if not isinstance(value, (int, float)):
        raise ValueError(f"{str(value)[:40]!r} is not a number")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MOST_BYTES:
        raise ValueError(f"{str(value)[:40]!r} is not a size")
    return value
