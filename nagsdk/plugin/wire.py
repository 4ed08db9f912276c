"""The messages between nagsdk and the process of a plugin: pickles with their length before them.

Functions do not travel. The receiver gets a function in their place that asks the sender to call the original.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO, Any

from nagsdk.events import Event

Parts = list[bytearray]
_LENGTH = struct.Struct("<Q")
# Answers consist of these packages' objects; others would run code of the plugin where they are unpickled.
_ROOTS = ("nagsdk", "numpy", "pathlib")


@dataclass(frozen=True)
class Request:
    """A call of a plugin's method.

    Attributes:
        target: Where the object is: ``plugin``, ``session``, or the name of a registry, with the id of the object.
        method: Name of the method.
        arguments: Its arguments.
        limit_s: Seconds that it may take.
    """

    target: tuple[str, Any]
    method: str
    arguments: tuple[Any, ...]
    limit_s: float


@dataclass(frozen=True)
class Asked:
    """The plugin calls a function that was among the arguments; the reply is what it returned."""

    function: int
    arguments: tuple[Any, ...]

    def is_usual(self, codes: bool) -> bool:
        """Whether the arguments are events, or codes of architectures."""
        if not codes:
            return all(isinstance(value, Event) for value in self.arguments)
        import numpy as np

        return all(isinstance(value, np.ndarray) and value.dtype.kind == "i" for value in self.arguments)


@dataclass(frozen=True)
class Warned:
    """A warning of the plugin's code."""

    text: str
    category: str
    file: str
    line: int


@dataclass(frozen=True)
class Reply:
    """The end of a call: a value, or an error.

    Attributes:
        value: The checked answer.
        error: The error in its place, if any: the name of its class in `nagsdk.errors`, message and next step.
        warnings: Warnings of the plugin meanwhile.
    """

    value: Any
    error: tuple[str, str, str] | None = None
    warnings: tuple[Warned, ...] = ()


def send(stream: IO[bytes], message: Any, functions: Sequence[Callable[..., Any]] = ()) -> None:
    """Sends a message; its large arrays follow it as they are, without a copy.

    Args:
        stream: Where to write it.
        message: The message.
        functions: Functions in it that stay here.
    """
    numbers = {id(function): number for number, function in enumerate(functions)}
    buffer, arrays = io.BytesIO(), list[pickle.PickleBuffer]()
    pickler = pickle.Pickler(buffer, pickle.HIGHEST_PROTOCOL, buffer_callback=arrays.append)
    pickler.persistent_id = lambda value: numbers.get(id(value))  # type: ignore[method-assign]
    pickler.dispatch_table = {MappingProxyType: lambda mapping: (read_only, (dict(mapping),))}
    pickler.dump(message)
    parts = [buffer.getbuffer(), *(array.raw() for array in arrays)]
    stream.write(_LENGTH.pack(len(parts)) + b"".join(_LENGTH.pack(len(part)) for part in parts))
    for part in parts:
        stream.write(part)
    stream.flush()


def read_only(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    """A mapping that cannot be changed; Python does not pickle such mappings."""
    return MappingProxyType(mapping)


def receive_parts(stream: IO[bytes]) -> Parts | None:
    """The next message, still pickled; None at the end of the stream."""

    def read(length: int) -> bytearray:
        content = bytearray(length)
        if stream.readinto(content) < length:  # type: ignore[attr-defined]
            raise EOFError
        return content

    try:
        (count,) = _LENGTH.unpack(read(_LENGTH.size))
        lengths = [_LENGTH.unpack(read(_LENGTH.size))[0] for _ in range(count)]
        return [read(length) for length in lengths]
    except EOFError:
        return None


def answer_in(parts: Parts) -> Any:
    """A message from a plugin.

    Raises:
        pickle.UnpicklingError: It holds objects of other packages than nagsdk and numpy.
    """
    return _AnswerUnpickler(io.BytesIO(parts[0]), buffers=parts[1:]).load()


def request_in(parts: Parts, function: Callable[[int], Callable[..., Any]]) -> Any:
    """A message to a plugin.

    Args:
        parts: The pickled message.
        function: Makes what stands for a function that stayed with the sender, from its number.
    """
    unpickler = pickle.Unpickler(io.BytesIO(parts[0]), buffers=parts[1:])  # noqa: S301 — from nagsdk itself
    unpickler.persistent_load = function  # type: ignore[method-assign]
    return unpickler.load()


class _AnswerUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        root = module.partition(".")[0]
        if root not in _ROOTS:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module, name)
