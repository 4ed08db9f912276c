"""What a precision costs in accuracy: the difference between float32 and integers, measured on some subnets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.common.wording import counted

# Key of the predictor's card; under it lie the losses by the names of schemes.
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
    def measured(cls, losses: Sequence[float] | NDArray[np.float64], source: str, chance: float = 0.0) -> Loss:
        """The loss that follows from those of some subnets, in points.

        Args:
            losses: What each subnet lost.
            source: What was measured, on what.
            chance: Standard deviation of what a network loses or gains beside that, for reasons that were not measured.
        """
        from scipy.stats import t

        mean, count = float(np.mean(losses)), len(losses)
        spread = math.hypot(float(np.std(losses, ddof=1)), chance)
        reach = float(t.ppf(0.95, count - 1) * spread * math.sqrt(1 + 1 / count))
        return cls(round(mean, 3), round(mean - reach, 3), round(mean + reach, 3), count, source)

    @classmethod
    def of(cls, card: Mapping[str, Any], precision: str, scheme: str = "") -> Loss | None:
        """Reads the loss of a precision from a predictor's card; None if the card has none.

        Args:
            card: The card.
            precision: The precision.
            scheme: Name of the scheme by which networks are made integers; see `nagsdk.graph.schemes`. If the card has
                none for it, the result covers what all schemes of the precision lose.

        Raises:
            ValueError: An entry is not valid.
        """
        known = all_losses(card)
        # The first part of a scheme's name is the precision of what it makes.
        alike = [loss for name, loss in known.items() if name.split("-")[0] == precision]
        if scheme in known or not alike:
            return known.get(scheme)
        return cls(
            max(loss.mean for loss in alike),
            min(loss.low for loss in alike),
            max(loss.high for loss in alike),
            min(loss.subnets for loss in alike),
            f"the most of {counted(len(alike), 'scheme')}: {alike[0].source}",
        )

    @classmethod
    def read(cls, name: str, entry: Any) -> Loss:
        """Reads one entry of a predictor's card.

        Raises:
            ValueError: It is not valid.
        """
        try:
            mean, low, high = (float(entry[key]) for key in ("mean", "low", "high"))
            loss = cls(mean, low, high, int(entry["subnets"]), entry["source"])
        except KeyError as error:
            raise ValueError(f"the loss of {name} lacks {error}") from error
        except (TypeError, ValueError) as error:
            raise ValueError(f"the loss of {name} is not one: {error}") from error
        if not -_MOST <= loss.low <= loss.mean <= loss.high <= _MOST or not isinstance(loss.source, str):
            raise ValueError(f"the loss of {name} is not one of points of top-1")
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


def all_losses(card: Mapping[str, Any]) -> dict[str, Loss]:
    """The losses that a predictor's card knows, by the names of schemes.

    Raises:
        ValueError: An entry is not valid.
    """
    entries = card.get(LOSSES, {})
    if not isinstance(entries, Mapping):
        raise ValueError(f"{LOSSES} is not a mapping of schemes to losses")
    return {name: Loss.read(name, entry) for name, entry in entries.items()}
