"""Budgets: limits on the costs of a model, as text and as values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeAlias

from nagsdk.errors import BudgetError, UnknownUnitError
from nagsdk.ranges import CONFIDENCE, LIMIT, PERCENTILE, UNIT

METRICS = LATENCY, SIZE, MACS = "latency", "size", "macs"
DEFAULT_CONFIDENCE = 0.9
# The name of a unit, and its factor to the canonical unit of the metric, in which limits are stored.
Unit: TypeAlias = tuple[str, float]
# The factors of units, by metric and name of the unit.
Units: TypeAlias = Mapping[str, Mapping[str, float]]
# The units in which nagsdk's own metrics are shown.
SHOWN_UNITS: dict[str, Unit] = {LATENCY: ("ms", 1.0), SIZE: ("MB", 1e6), MACS: ("MMACs", 1e6)}

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
_LETTERS = re.compile(r"[a-zA-Zµμ]+")
_TEXT = re.compile(
    r"\s*(?P<value>[-+]?(?:\d+\.?\d*|\.\d+|nan|inf)(?:e[-+]?\d+)?)\s*(?P<unit>[a-zA-Zµμ]*)"
    r"\s*(?:@\s*p(?P<percentile>\d{1,3}(?:\.\d+)?))?\s*",
    re.ASCII,
)
_EXAMPLES = "Write a number and a unit: 80ms, 80ms@p90, 500us, 12MB, 300MMACs."
_DIGITS, _MOST_TEXT = 4, 100


def metric_of(unit: str) -> str | None:
    """The metric of nagsdk itself that uses a unit; None if there is none."""
    return _UNITS[unit.lower()][0] if unit.lower() in _UNITS else None


def check_unit(unit: object, factor: object) -> None:
    """Raises an error if a unit cannot be used in budgets.

    Raises:
        BudgetError: It is not a word of letters, or its factor is not a positive number.
    """
    if not isinstance(unit, str) or not _LETTERS.fullmatch(unit):
        raise BudgetError(f"{unit!r:.80} cannot be a unit.", "Use letters only.")
    UNIT.check(factor, BudgetError)


@dataclass(frozen=True)
class Budget:
    """A limit on one cost of the deployed model.

    Attributes:
        metric: ``latency``, ``size``, ``macs`` or the metric of a plugin.
        limit: The limit in milliseconds, bytes, MACs, or the canonical unit of the plugin's metric.
        percentile: The percentile of single latencies that must hold the limit; 50 for other metrics.
        confidence: How sure the cost model must be that an architecture holds the limit before it is tried.
        unit: The unit in which a plugin's metric is shown, and its factor to the canonical unit; other metrics need
            none. Budgets that differ only in this are equal.
    """

    metric: str
    limit: float
    percentile: float = 50.0
    confidence: float = DEFAULT_CONFIDENCE
    unit: Unit | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            if self.unit is None:
                raise BudgetError(
                    f"{self.metric!r} is not one of nagsdk's own metrics, and no unit was given.",
                    f"Known: {', '.join(METRICS)}. For a plugin's metric, write the budget as text, such as 300MiB, or "
                    "give its unit.",
                )
            check_unit(*self.unit)
        for name, legal in (("limit", LIMIT), ("percentile", PERCENTILE), ("confidence", CONFIDENCE)):
            object.__setattr__(self, name, legal.check(getattr(self, name), BudgetError))

    @classmethod
    def parse(cls, text: str, confidence: float = DEFAULT_CONFIDENCE, units: Units | None = None) -> Budget:
        """Reads a budget such as ``80ms``, ``80ms@p90``, ``12MB`` or ``300MMACs``.

        Args:
            text: The text that the user wrote.
            confidence: See `Budget`.
            units: Units of the metrics of plugins; a metric is shown in its first unit. See
                `nagsdk.plugin.units.read_budget`.

        Raises:
            BudgetError: The text has no number, no unit, an unknown unit or an impossible value.
        """
        match = _TEXT.fullmatch(text) if len(text) <= _MOST_TEXT else None
        if match is None:
            raise BudgetError(f"{text[:_MOST_TEXT]!r} is not a budget.", _EXAMPLES)
        value = float(match["value"])
        unit = match["unit"].lower()
        if not unit:
            raise BudgetError(f"{text!r} has no unit.", f"{_EXAMPLES} Perhaps you meant {value:g}ms.")
        more = (
            {}
            if units is None
            else {name.lower(): (metric, factor) for metric, of in units.items() for name, factor in of.items()}
        )
        if unit not in _UNITS and unit not in more:
            names = "".join(f", {name}" for of in (units or {}).values() for name in of)
            raise UnknownUnitError(
                f"{match['unit']!r} is not a unit of a budget.",
                f"{_EXAMPLES} Known units: us, ms, s, kB, MB, GB, kMACs, MMACs, GMACs{names}.",
            )
        metric, factor = _UNITS.get(unit) or more[unit]
        if match["percentile"] is not None and metric != LATENCY:
            raise BudgetError(f"{text!r}: only a latency has percentiles.", "Leave @p… out.")
        shown = next(iter(units[metric].items())) if units is not None and metric in units else None
        return cls(metric, value * factor, float(match["percentile"] or 50.0), confidence, shown)

    @property
    def shown_unit(self) -> Unit:
        """The unit in which the budget is shown."""
        shown = SHOWN_UNITS.get(self.metric, self.unit)
        assert shown is not None
        return shown

    def rounded(self, *, up: bool) -> Budget:
        """The budget, rounded to four digits in the unit in which it is shown.

        Args:
            up: Whether to round up; otherwise down.
        """
        _, factor = self.shown_unit
        shown = Decimal(f"{self.limit / factor:.{_DIGITS - 1}e}")
        if float(shown) * factor < self.limit if up else float(shown) * factor > self.limit:
            step = Decimal(1).scaleb(shown.adjusted() - _DIGITS + 1)
            shown += step if up else -step
        return replace(self, limit=float(shown) * factor)

    def __str__(self) -> str:
        unit, factor = self.shown_unit
        if self.metric == LATENCY and self.limit >= 1e3:
            unit, factor = "s", 1e3
        elif self.metric == SIZE and self.limit < 1e6:
            unit, factor = "kB", 1e3
        percentile = f"@p{self.percentile:g}" if self.metric == LATENCY and self.percentile != 50 else ""
        return f"{self.limit / factor:.6g}{unit}{percentile}"

    def to_dict(self) -> dict[str, str | float]:
        """The budget as in manifests and JSON output."""
        unit, factor = self.shown_unit
        return {
            "metric": self.metric,
            "limit": self.limit,
            "percentile": self.percentile,
            "confidence": self.confidence,
            "unit": unit,
            "unit_factor": float(factor),
        }
