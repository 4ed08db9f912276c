"""Budgets: what a user may spend, as text and as a value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from numbers import Real
from typing import TypeAlias

from nagsdk.errors import BudgetError, UnknownUnitError

METRICS = LATENCY, SIZE, MACS = "latency", "size", "macs"
DEFAULT_CONFIDENCE = 0.9
# A unit's name, and its factor to the unit in which limits of its metric are held.
Unit: TypeAlias = tuple[str, float]
# Units by metric: the factor of each.
Units: TypeAlias = Mapping[str, Mapping[str, float]]
# What metrics that nagsdk itself knows are shown in.
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
    r"\s*(?P<value>[-+]?(?:\d+\.?\d*|\.\d+|nan|inf)(?:e[-+]?\d+)?)\s*(?P<unit>[a-zA-Zµμ]*)\s*(?:@\s*p(?P<percentile>\d{1,3}(?:\.\d+)?))?\s*",
    re.ASCII,
)
_EXAMPLES = "Write a number and a unit: 80ms, 80ms@p90, 500us, 12MB, 300MMACs."
_DIGITS = 4


def metric_of(unit: str) -> str | None:
    """The metric, of those that nagsdk itself knows, which is written in a unit."""
    return _UNITS[unit.lower()][0] if unit.lower() in _UNITS else None


def check_unit(unit: object, factor: object) -> None:
    """Refuses a unit in which no budget can be written.

    Raises:
        BudgetError: It is no word, or its factor is not a positive number.
    """
    if not (
        isinstance(unit, str) and _LETTERS.fullmatch(unit) and isinstance(factor, Real) and 0 < float(factor) < math.inf
    ):
        raise BudgetError(
            f"{unit!r} with the factor {factor!r} cannot be a unit.", "Use letters only, and a positive factor."
        )


@dataclass(frozen=True)
class Budget:
    """A limit on one cost of the deployed model.

    Attributes:
        metric: ``latency``, ``size``, ``macs`` or that of a plugin.
        limit: In milliseconds, bytes, MACs, or what the plugin counts in.
        percentile: Which percentile of single latencies must hold the limit; 50 for other metrics.
        confidence: Probability with which a prediction must hold the limit before it is tried.
        unit: The unit that a plugin's metric is shown in, and its factor to what the plugin counts in; the other metrics need none.
            Two budgets that differ in it alone are equal.
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
                    f"{self.metric!r} is not a metric that is known without a unit.",
                    f"Known: {', '.join(METRICS)}. Write a budget on a plugin's metric as text, such as 300MiB, or give its unit.",
                )
            check_unit(*self.unit)
        if not (math.isfinite(self.limit) and self.limit > 0):
            raise BudgetError(f"A budget must be a positive number, not {self.limit:g}.", _EXAMPLES)
        if not 1 <= self.percentile <= 99:
            raise BudgetError(
                f"p{self.percentile:g} is not a percentile a measurement can hold.", "Use p1 to p99, such as 80ms@p90."
            )
        if not 0.5 <= self.confidence < 1:
            raise BudgetError(
                f"A confidence of {self.confidence:g} cannot be used.", "Use 0.5 or more and less than 1, such as 0.9."
            )

    @classmethod
    def parse(cls, text: str, confidence: float = DEFAULT_CONFIDENCE, units: Units | None = None) -> Budget:
        """Reads a budget such as ``80ms``, ``80ms@p90``, ``12MB`` or ``300MMACs``.

        Args:
            text: What a user wrote.
            confidence: See `Budget`.
            units: Units of the metrics of plugins; a metric is shown in its first one. See `nagsdk.plugin.units.read_budget`.

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
            raise BudgetError(f"{text!r}: only a latency has percentiles.", "Leave @p… away.")
        shown = next(iter(units[metric].items())) if units is not None and metric in units else None
        return cls(metric, value * factor, float(match["percentile"] or 50.0), confidence, shown)

    @property
    def shown_unit(self) -> Unit:
        """The unit that it is shown in."""
        shown = SHOWN_UNITS.get(self.metric, self.unit)
        assert shown is not None
        return shown

    def rounded(self, *, up: bool) -> Budget:
        """The budget in four digits of the unit that it is shown in; not below its limit, or not above it."""
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
        """The budget as it stands in manifests and JSON output."""
        unit, factor = self.shown_unit
        return {
            "metric": self.metric,
            "limit": self.limit,
            "percentile": self.percentile,
            "confidence": self.confidence,
            "unit": unit,
            "unit_factor": float(factor),
        }
