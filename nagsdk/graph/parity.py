"""Does the exported network compute what the torch network computes?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nagsdk.errors import DeviceError


def relative_error(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """Largest norm of the difference over the images, each as a share of its expected norm.

    Args:
        expected: Logits (n, classes).
        actual: Likewise.
    """
    difference = np.linalg.norm(actual.astype(np.float64) - expected, axis=1)
    norm = np.linalg.norm(expected.astype(np.float64), axis=1)
    return float((difference / np.maximum(norm, np.finfo(np.float64).tiny)).max())


def probe_image(size: int) -> NDArray[np.uint8]:
    """An RGB image made of integers, the same on every machine and easily made in any language.

    At column x and row y, modulo 256: red 8x + 3y, green xy, blue 255 - 5x + 2y.

    Args:
        size: Height and width.

    Returns:
        Shape (size, size, 3).
    """
    y, x = np.mgrid[:size, :size]
    return np.stack([8 * x + 3 * y, x * y, 255 - 5 * x + 2 * y], axis=-1).astype(np.uint8)


def check(expected: NDArray[np.float32], actual: NDArray[np.float32], tolerance: float) -> float:
    """Compares logits of an artifact with those of the network it was made from.

    Args:
        expected: Logits (n, classes) of the torch network.
        actual: Logits of the artifact on the same images.
        tolerance: Largest accepted `relative_error`.

    Returns:
        The relative error.

    Raises:
        DeviceError: They differ by more, in shape, or are not finite.
    """
    next_step = "The file must not be used. Try another version of the runtime, and report this architecture as a bug of the export."
    if expected.shape != actual.shape:
        raise DeviceError(f"The exported network returns {actual.shape} instead of {expected.shape}.", next_step)
    if not (np.isfinite(expected).all() and np.isfinite(actual).all()):
        side = "exported" if np.isfinite(expected).all() else "torch"
        raise DeviceError(f"The {side} network returns numbers that are not finite.", next_step)
    error = relative_error(expected, actual)
    if not error <= tolerance:
        raise DeviceError(
            f"The exported network differs from torch by {error:.1e} of the output norm, more than {tolerance:.0e}.",
            next_step,
        )
    return error
