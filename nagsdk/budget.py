"""Budgets: what a user may spend, as text and as a value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from nagsdk.errors import BudgetError, UnknownUnitError

METRICS = LATENCY, SIZE, MACS = "latency", "size", "macs"
DEFAULT_CONFIDENCE = 0.9

# unit (lower case) -> (metric, factor to the canonical unit: ms, bytes, MACs)
_UNITS: dict[str, tuple[str, float]] = {
    "us": (LATENCY, 1e-3),
    "µs": (LATENCY, 1e-3),
    "μs": (LATENCY, 1e-3),
    "ms": (LATENCY, 1.0),
    "s": (LATENCY, 1e3),
    "kb": (SIZE, 1e3),
    "mb": (SIZE, 1e6),
    "gb": (SIZE, 1e9),
    "kmacs": (MACS, 1e3),
    "mmacs": (MACS, 1e6),
    "gmacs": (MACS, 1e9),
}
# Units of the metrics of plugins, which the plugin host adds; as above, and by metric as the plugin writes them.
_MORE_UNITS: dict[str, tuple[str, float]] = {}
_MORE_SHOWN: dict[str, dict[str, float]] = {}
_LETTERS = re.compile(r"[a-zA-Zµμ]+")
_TEXT = re.compile(
    r"\s*(?P<value>[-+]?(?:\d+\.?\d*|\.\d+|nan|inf)(?:e[-+]?\d+)?)\s*(?P<unit>[a-zA-Zµμ]*)\s*(?:@\s*p(?P<percentile>\d{1,3}(?:\.\d+)?))?\s*",
    re.ASCII,
)
_EXAMPLES = "Write a number and a unit: 80ms, 80ms@p90, 500us, 12MB, 300MMACs."
_SHOWN = {LATENCY: (1.0, "ms"), SIZE: (1e6, "MB"), MACS: (1e6, "MMACs")}
_DIGITS = 4


def add_units(metric: str, units: Mapping[str, float]) -> None:
    """Lets budgets limit a metric of a plugin.

    Args:
        metric: Its id.
        units: Factor of each unit to the canonical one; the first is shown.

    Raises:
        BudgetError: A unit is no word, has an impossible factor, or belongs to another metric; none was added then.
    """
    if not units:
        raise BudgetError(f"The metric {metric} has no unit.", "Give it one, such as mJ.")
    for unit, factor in units.items():
        taken = {**_UNITS, **_MORE_UNITS}.get(unit.lower(), (metric, factor))[0]
        if taken != metric or metric in _SHOWN:
            raise BudgetError(f"The unit {unit!r} belongs to the metric {taken}.", "Choose another unit.")
        if not _LETTERS.fullmatch(unit) or not 0 < factor < math.inf:
            raise BudgetError(f"{unit!r} with the factor {factor!r} cannot be a unit.", "Use letters only, and a positive factor.")
    _MORE_UNITS.update({unit.lower(): (metric, float(factor)) for unit, factor in units.items()})
    _MORE_SHOWN[metric] = dict(units)


def forget_units() -> None:
    """Takes back what `add_units` added."""
    _MORE_UNITS.clear()
    _MORE_SHOWN.clear()


def shown_unit(metric: str) -> tuple[float, str]:
    """The factor of the unit that a metric is shown in to its canonical one, and its name."""
    if metric in _SHOWN:
        return _SHOWN[metric]
    unit, factor = next(iter(_MORE_SHOWN[metric].items()))
    return float(factor), unit


@dataclass(frozen=True)
class Budget:
    """A limit on one cost of the deployed model.

    Attributes:
        metric: ``latency``, ``size``, ``macs`` or that of a plugin.
        limit: In milliseconds, bytes, MACs, or what the plugin counts in.
        percentile: Which percentile of single latencies must hold the limit; 50 for other metrics.
        confidence: Probability with which a prediction must hold the limit before it is tried.
    """

    metric: str
    limit: float
    percentile: float = 50.0
    confidence: float = DEFAULT_CONFIDENCE

    def __post_init__(self) -> None:
        if self.metric not in _SHOWN and self.metric not in _MORE_SHOWN:
            raise BudgetError(f"{self.metric!r} is not a metric.", f"Known: {', '.join([*_SHOWN, *_MORE_SHOWN])}.")
        if not (math.isfinite(self.limit) and self.limit > 0):
            raise BudgetError(f"A budget must be a positive number, not {self.limit:g}.", _EXAMPLES)
        if not 1 <= self.percentile <= 99:
            raise BudgetError(f"p{self.percentile:g} is not a percentile a measurement can hold.", "Use p1 to p99, such as 80ms@p90.")
        if not 0.5 <= self.confidence < 1:
            raise BudgetError(f"A confidence of {self.confidence:g} cannot be used.", "Use 0.5 or more and less than 1, such as 0.9.")

    @classmethod
    def parse(cls, text: str, confidence: float = DEFAULT_CONFIDENCE) -> Budget:
        """Reads a budget such as ``80ms``, ``80ms@p90``, ``12MB`` or ``300MMACs``.

        Raises:
            BudgetError: The text has no number, no unit, an unknown unit or an impossible value.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise BudgetError(f"{text!r} is not a budget.", _EXAMPLES)
        value = float(match["value"])
        unit = match["unit"].lower()
        if not unit:
            raise BudgetError(f"{text!r} has no unit.", f"{_EXAMPLES} Perhaps you meant {value:g}ms.")
        if unit not in _UNITS and unit not in _MORE_UNITS:
            more = "".join(f", {unit}" for units in _MORE_SHOWN.values() for unit in units)
            raise UnknownUnitError(
                f"{match['unit']!r} is not a unit of a budget.",
                f"{_EXAMPLES} Known units: us, ms, s, kB, MB, GB, kMACs, MMACs, GMACs{more}.",
            )
        metric, factor = _UNITS.get(unit) or _MORE_UNITS[unit]
        if match["percentile"] is not None and metric != LATENCY:
            raise BudgetError(f"{text!r}: only a latency has percentiles.", "Leave @p… away.")
        return cls(metric, value * factor, float(match["percentile"] or 50.0), confidence)

    def rounded(self, *, up: bool) -> Budget:
        """The budget in four digits of the unit that it is shown in; not below its limit, or not above it."""
        factor, _ = shown_unit(self.metric)
        shown = Decimal(f"{self.limit / factor:.{_DIGITS - 1}e}")
        if float(shown) * factor < self.limit if up else float(shown) * factor > self.limit:
            step = Decimal(1).scaleb(shown.adjusted() - _DIGITS + 1)
            shown += step if up else -step
        return replace(self, limit=float(shown) * factor)

    def __str__(self) -> str:
        factor, unit = shown_unit(self.metric)
        if self.metric == LATENCY and self.limit >= 1e3:
            factor, unit = 1e3, "s"
        elif self.metric == SIZE and self.limit < 1e6:
            factor, unit = 1e3, "kB"
        percentile = f"@p{self.percentile:g}" if self.metric == LATENCY and self.percentile != 50 else ""
        return f"{self.limit / factor:.6g}{unit}{percentile}"

    def to_dict(self) -> dict[str, str | float]:
        """The budget as it stands in manifests and JSON output."""
        return {"metric": self.metric, "limit": self.limit, "percentile": self.percentile, "confidence": self.confidence}
