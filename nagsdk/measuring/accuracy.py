"""Figures from a network's outputs for labelled images: paired gains, calibration error, temperature."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.common.quantiles import normal_quantile
from nagsdk.errors import DataError
from nagsdk.measuring.measurement import Floats

Outputs = NDArray[np.float32]
Labels = NDArray[np.int64]
_BINS = 15
_MOST_TEMPERATURE = 20.0


@dataclass(frozen=True)
class Gain:
    """How much better one network is than another, on the same images.

    Attributes:
        points: Top-1 of the second network less that of the first one, in per cent.
        low: Lower end of the 95 % interval.
        high: Upper end of it.
        images: Number of images.
        changed: Number of images of which exactly one of the two names the right class.
        noise: Whether the interval contains 0, so that these images cannot tell the gain from none.
    """

    points: float
    low: float
    high: float
    images: int
    changed: int
    noise: bool

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields, JSON-ready."""
        return asdict(self)


def paired_gain(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Gain:
    """Compares two networks on the same images.

    Only images of which exactly one network names the right class tell the two apart. The interval is that of Agresti
    and Min (2005): a normal one after half an image was added to each of the four cells of the table, so that it also
    holds for few images, or if none changed.

    Args:
        before: Whether the first network names the right class, by image, shape (n,).
        after: The same for the second one.
    """
    count, better, worse = len(before), int((after & ~before).sum()), int((before & ~after).sum())
    images, difference, changed = count + 2, better - worse, better + worse + 1
    reach = normal_quantile(0.975) * math.sqrt(changed - difference**2 / images) / images
    low, high = 100 * (difference / images - reach), 100 * (difference / images + reach)
    return Gain(100 * difference / count, low, high, count, better + worse, low <= 0 <= high)


def probabilities(logits: Outputs) -> Floats:
    """The probabilities of the classes, shape (n, classes)."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    found: Floats = shifted / shifted.sum(1, keepdims=True)
    return found


def calibration_error(logits: Outputs, labels: Labels) -> float:
    """The expected calibration error in per cent.

    The images are divided by the probability of the most likely class into 15 bins of equal width. In each, the mean of
    this probability is compared with the share of right answers; the result is the mean difference over all images
    (Guo et al., 2017).

    Args:
        logits: Outputs, shape (n, classes).
        labels: Classes, shape (n,).
    """
    found = probabilities(logits)
    sure, right = found.max(1), logits.argmax(1) == labels
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    return 100 * float(np.abs(np.bincount(bins, sure - right)).sum()) / len(labels)


def fitted_temperature(logits: Outputs, labels: Labels) -> float:
    """The number by which logits must be divided so that the probabilities fit the labels best (Guo et al., 2017).

    Args:
        logits: Outputs for images that the network was not trained on, shape (n, classes).
        labels: Their classes, shape (n,).

    Raises:
        DataError: The images do not determine it.
    """
    from scipy.optimize import minimize_scalar

    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    true = np.take_along_axis(shifted, labels[:, None], 1)[:, 0]

    def loss(log_temperature: float) -> float:
        factor = math.exp(-log_temperature)
        return float((np.log(np.exp(factor * shifted).sum(1)) - factor * true).mean())

    most = math.log(_MOST_TEMPERATURE)
    found = float(minimize_scalar(loss, bounds=(-most, most), method="bounded", options={"xatol": 1e-6}).x)
    if abs(found) > 0.99 * most:
        known = int((logits.argmax(1) == labels).sum())
        raise DataError(
            f"{len(labels)} validation images, of which the network knows {known}, do not determine a temperature.",
            "Use more validation images, or leave out the temperature scaling.",
        )
    return math.exp(found)
