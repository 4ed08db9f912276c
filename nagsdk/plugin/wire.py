"""The messages between nagsdk and the process of a plugin: pickles with their length before them.

Functions do not travel. The receiver gets a function in their place that asks the sender to call the original.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any

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
    """Sends a message.

    Args:
        stream: Where to write it.
        message: The message.
        functions: Functions in it that stay here.
    """
    numbers = {id(function): number for number, function in enumerate(functions)}
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, pickle.HIGHEST_PROTOCOL)
    pickler.persistent_id = lambda value: numbers.get(id(value))  # type: ignore[method-assign]
    pickler.dump(message)
    content = buffer.getbuffer()
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def receive_bytes(stream: IO[bytes]) -> bytes | None:
    """The next message, still pickled; None at the end of the stream."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    content = stream.read(length)
    return content if len(content) == length else None


def answer_in(content: bytes) -> Any:
    """A message from a plugin.

    Raises:
        pickle.UnpicklingError: It holds objects of other packages than nagsdk and numpy.
    """
    return _AnswerUnpickler(io.BytesIO(content)).load()


def request_in(content: bytes, function: Callable[[int], Callable[..., Any]]) -> Any:
    """A message to a plugin.

    Args:
        content: The pickled message.
        function: Makes what stands for a function that stayed with the sender, from its number.
    """
    unpickler = pickle.Unpickler(io.BytesIO(content))  # noqa: S301 — from nagsdk itself
    unpickler.persistent_load = function  # type: ignore[method-assign]
    return unpickler.load()


class _AnswerUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        root = module.partition(".")[0]
        if root not in _ROOTS:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module, name)
