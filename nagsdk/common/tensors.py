"""Reads safetensors files that others wrote, and checks what is in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Far above anything that training leaves, and far below what overflows float32 when a few of them are multiplied.
_LARGEST = 1e6


def read_tensors(content: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Arrays and metadata of a safetensors file.

    Args:
        content: The bytes of the file.

    Raises:
        ValueError: It is not such a file, or it holds types that numpy does not have.
    """
    from safetensors.numpy import load

    try:
        # It checks that all arrays lie within the file, so that none is larger than the file.
        arrays = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except Exception as error:
        # For damaged headers it raises many kinds, such as OverflowError for a shape.
        raise ValueError(f"it is not a readable safetensors file ({error})") from error
    return arrays, header.get("__metadata__") or {}


def check_arrays(arrays: Mapping[str, NDArray[np.generic]], wanted: Mapping[str, tuple[tuple[int, ...], str]]) -> None:
    """Checks that exactly the wanted arrays are there, and that their numbers are finite and of a usual size.

    Args:
        arrays: Arrays by name.
        wanted: Shape and type of each.

    Raises:
        ValueError: A name is missing or unknown, or a shape, a type or a number is wrong.
    """
    import numpy as np

    if arrays.keys() != wanted.keys():
        raise ValueError(f"it holds the arrays {', '.join(sorted(arrays)) or 'none'}, not {', '.join(sorted(wanted))}")
    for name, (shape, kind) in wanted.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != kind:
            raise ValueError(f"{name} has shape {array.shape} and type {array.dtype}, not {shape} and {kind}")
        if kind != "bool" and not (np.abs(array) <= _LARGEST).all():
            raise ValueError(f"{name} is not finite everywhere, or holds numbers beyond {_LARGEST:.0e}")
