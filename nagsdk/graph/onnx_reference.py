"""Outputs of an ONNX file by the onnx package's reference implementation, without that one's faults.

Its version 1.23 normalises only as many channels as there are images in `LRN`, and its pooling has other shapes or
values than its own specification where padding is one-sided or the last window is incomplete. These operators are
computed here, by numpy and from their definitions at https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nagsdk.space.layer import same_sides

Values = NDArray[np.float32]


def reference_outputs(content: bytes, images: Values) -> list[Values]:
    """Computes the outputs of a network.

    Args:
        content: An ONNX file with one input.
        images: Input of the network.

    Raises:
        Exception: Any kind, for operators and attributes that the package does not have.
    """
    import onnx
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(onnx.load_model_from_string(content), new_ops=list(_corrected()))
    return list(evaluator.run(None, {evaluator.input_names[0]: images}))


def _normalised(images: Values, size: int, alpha: float, beta: float, bias: float) -> Values:
    """Local response normalisation over neighbouring channels."""
    before = (size - 1) // 2
    around = [(0, 0)] * images.ndim
    around[1] = (before, size - 1 - before)
    squares = sliding_window_view(np.pad(images**2, around), size, axis=1).sum(-1)
    normalised: Values = images / (bias + alpha / size * squares) ** beta
    return normalised


class _Windows:
    """Windows of a pooling layer.

    Attributes:
        padding: Rows and columns that the operator adds to each axis, before and after.
        rest: Those that an incomplete last window lacks.
    """

    def __init__(self, images: Values, attributes: dict[str, Any]) -> None:
        kernel = attributes["kernel_shape"]
        self._strides = attributes["strides"] or [1] * len(kernel)
        self._dilations = attributes.get("dilations") or [1] * len(kernel)
        self._extents = [d * (k - 1) + 1 for d, k in zip(self._dilations, kernel, strict=True)]
        axes = list(zip(images.shape[2:], self._extents, self._strides, strict=True))
        self.padding = [(0, 0), (0, 0), *_padding(axes, attributes)]
        self.rest = [(0, 0), (0, 0)]
        self._counts = []
        for (size, extent, stride), (before, after) in zip(axes, self.padding[2:], strict=True):
            room = before + size + after - extent
            count = room // stride + 1
            # The last window may be incomplete, but must begin in the image or in the padding before it.
            if attributes["ceil_mode"] and room % stride and count * stride < before + size:
                count += 1
            self._counts.append(count)
            self.rest.append((0, max(0, (count - 1) * stride - room)))

    def of(self, padded: Values) -> Values:
        """Windows of an array that has both kinds of padding, each with its values on the last axis."""
        windows = sliding_window_view(padded, self._extents, axis=tuple(range(2, padded.ndim)))
        places = [slice(0, (n - 1) * s + 1, s) for n, s in zip(self._counts, self._strides, strict=True)]
        gaps = [slice(None, None, dilation) for dilation in self._dilations]
        chosen: Values = windows[(..., *places, *gaps)]  # type: ignore[arg-type]  # numpy takes slices there
        return chosen.reshape(*chosen.shape[: padded.ndim], -1)


def _padding(axes: Sequence[tuple[int, int, int]], attributes: dict[str, Any]) -> list[tuple[int, int]]:
    """Padding of axes, each of which has a size, the extent of its windows and their stride."""
    way = attributes["auto_pad"]
    if way == "NOTSET":
        pads = attributes["pads"] or [0] * 2 * len(axes)
        return list(zip(pads[: len(axes)], pads[len(axes) :], strict=True))
    if way == "VALID":
        return [(0, 0)] * len(axes)
    sides = [same_sides(size, extent, stride) for size, extent, stride in axes]
    return sides if way == "SAME_UPPER" else [(after, before) for before, after in sides]


@cache
def _corrected() -> tuple[type, ...]:
    """Operators for the package's evaluator, which finds each by the name of its class."""
    from onnx.reference.op_run import OpRun

    class LRN(OpRun):
        def _run(self, images: Values, **attributes: Any) -> tuple[Values]:
            return (_normalised(images, **attributes).astype(images.dtype),)

    class MaxPool(OpRun):
        def _run(self, images: Values, **attributes: Any) -> tuple[Values]:
            if len(self.output) > 1:
                raise NotImplementedError("places of the largest values")
            windows = _Windows(images, attributes)
            padded = images
            for padding in (windows.padding, windows.rest):
                padded = np.pad(padded, padding, constant_values=-np.inf)
            return (windows.of(padded).max(-1),)

    class AveragePool(OpRun):
        def _run(self, images: Values, **attributes: Any) -> tuple[Values]:
            windows = _Windows(images, attributes)
            counted = np.pad(np.ones_like(images), windows.padding, constant_values=attributes["count_include_pad"])
            both = (np.pad(images, windows.padding), counted)
            total, number = (windows.of(np.pad(values, windows.rest)).sum(-1) for values in both)
            return ((total / number).astype(images.dtype),)

    return LRN, MaxPool, AveragePool
