"""Weights in one byte: symmetric, with the largest magnitude of a channel (or of all) at 127."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nagsdk.graph.ir import Weights

MOST = 127


def quantised(
    weights: Weights, axis: int | None, most: int = MOST, least: Weights | float = 0.0
) -> tuple[NDArray[np.int8], Weights]:
    """Rounds weights to whole multiples of a scale.

    Args:
        weights: The weights.
        axis: Dimension of the output channels, each of which gets a scale of its own; None for one scale in all.
        most: The multiple that the largest magnitude becomes.
        least: No scale is smaller, one number or one for each scale.

    Returns:
        The multiples, from -most to most, in the shape of the weights; and the scales, shape (channels,) or (1,).
    """
    others = tuple(a for a in range(weights.ndim) if a != axis)
    largest = np.abs(weights).max(axis=others, keepdims=True)
    scales = np.maximum(largest / np.float32(most), np.reshape(least, (-1, *[1] * (weights.ndim - 1))))
    scales = np.where(scales > 0, scales, np.float32(1)).astype(np.float32)
    return np.rint(weights / scales).clip(-most, most).astype(np.int8), scales.ravel()
