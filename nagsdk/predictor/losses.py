"""What a precision costs in accuracy: the difference between float32 and integers, measured on some subnets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Key of the predictor's card.
LOSSES = "losses"
SUBNETS = 20
_MOST = 100.0


@dataclass(frozen=True)
class Loss:
    """Points of top-1 that a network loses in a precision, by which predictions for it are reduced.

    Attributes:
        mean: Mean over the measured subnets; below 0 if they gained.
        low: Lower end of the 90 % interval for one network.
        high: Upper end of that interval.
        subnets: Number of measured subnets; 0 if none was measured.
        source: What was measured, on what.
    """

    mean: float
    low: float
    high: float
    subnets: int
    source: str

    @classmethod
    def measured(cls, losses: Sequence[float], source: str) -> Loss:
        """The loss that follows from those of some subnets, in points."""
        from scipy.stats import t

        mean, count = float(np.mean(losses)), len(losses)
        reach = float(t.ppf(0.95, count - 1) * np.std(losses, ddof=1) * math.sqrt(1 + 1 / count))
        return cls(round(mean, 3), round(mean - reach, 3), round(mean + reach, 3), count, source)

    @classmethod
    def of(cls, card: Mapping[str, Any], precision: str) -> Loss | None:
        """Reads the loss of a precision from a predictor's card; None if the card has none.

        Raises:
            ValueError: The entry is not valid.
        """
        entry = (card.get(LOSSES) or {}).get(precision)
        if entry is None:
            return None
        try:
            mean, low, high = (float(entry[name]) for name in ("mean", "low", "high"))
            loss = cls(mean, low, high, int(entry["subnets"]), entry["source"])
        except KeyError as error:
            raise ValueError(f"the loss of {precision} lacks {error}") from error
        except (TypeError, ValueError) as error:
            raise ValueError(f"the loss of {precision} is not one: {error}") from error
        if not -_MOST <= loss.low <= loss.mean <= loss.high <= _MOST or not isinstance(loss.source, str):
            raise ValueError(f"the loss of {precision} is not one of points of top-1")
        return loss

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields, JSON-ready."""
        return asdict(self)

    def taken_off(
        self, mean: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Predictions for the precision, from those for float32: mean and ends of the interval, in per cent.

        Both errors are independent, so that their squares add up.
        """
        lower = mean - self.mean
        below = np.hypot(mean - low, self.high - self.mean)
        above = np.hypot(high - mean, self.mean - self.low)
        return tuple(np.clip(value, 0, 100) for value in (lower, lower - below, lower + above))  # type: ignore[return-value]
