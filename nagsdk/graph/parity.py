"""Parity: checks that an exported network computes the same as the torch network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nagsdk.errors import DeviceError

# By so many times may the outputs of integers for a few images differ more than those for many images together.
FEW_IMAGES = 4.0
_NEXT_STEP = (
    "Do not use the file. Try another version of the runtime, and report this architecture as a bug of the export."
)


def overall_error(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """Returns the norm of the difference of all logits as a share of the norm of the expected ones.

    Integers that are rounded in another way differ by steps, which only many images average out.
    """
    difference = np.linalg.norm(actual.astype(np.float64) - expected)
    return float(difference / max(float(np.linalg.norm(expected.astype(np.float64))), np.finfo(np.float64).tiny))


def relative_error(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """Returns the largest relative error of any image: the norm of the difference as a share of the expected norm.

    Args:
        expected: Expected logits (n, classes).
        actual: Actual logits (n, classes).
    """
    difference = np.linalg.norm(actual.astype(np.float64) - expected, axis=1)
    norm = np.linalg.norm(expected.astype(np.float64), axis=1)
    return float((difference / np.maximum(norm, np.finfo(np.float64).tiny)).max())


def probe_image(size: int) -> NDArray[np.uint8]:
    """Returns an RGB test image computed from integers, the same on every machine and easy to make in any language.

    The values at column x and row y, modulo 256, are: red 8x + 3y, green xy, blue 255 - 5x + 2y.

    Args:
        size: Height and width.

    Returns:
        The image, shape (size, size, 3).
    """
    y, x = np.mgrid[:size, :size]
    return np.stack([8 * x + 3 * y, x * y, 255 - 5 * x + 2 * y], axis=-1).astype(np.uint8)


def check(
    expected: NDArray[np.float32],
    actual: NDArray[np.float32],
    tolerance: float,
    of: str = "torch",
    error_of: Callable[[NDArray[np.float32], NDArray[np.float32]], float] = relative_error,
    next_step: str = _NEXT_STEP,
) -> float:
    """Compares the logits of an artifact with those of the network that it was made from.

    Args:
        expected: Logits (n, classes) of the network.
        actual: Logits of the artifact on the same images.
        tolerance: Largest accepted error.
        of: What computed the expected logits, for messages.
        error_of: `relative_error` or `overall_error`.
        next_step: What to do if they differ.

    Returns:
        The error.

    Raises:
        DeviceError: The logits differ by more than the tolerance, have another shape, or are not finite.
    """
    if expected.shape != actual.shape:
        raise DeviceError(f"The exported network returns {actual.shape} instead of {expected.shape}.", next_step)
    if not (np.isfinite(expected).all() and np.isfinite(actual).all()):
        side = "the exported network" if np.isfinite(expected).all() else of
        raise DeviceError(f"Not all outputs of {side} are finite.", next_step)
    error = error_of(expected, actual)
    if not error <= tolerance:
        raise DeviceError(
            f"The exported network differs from {of} by {error:.1e} of the output norm, more than {tolerance:.0e}.",
            next_step,
        )
    return error
