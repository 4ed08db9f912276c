"""Budgets: what a user may spend, as text and as a value."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from nagsdk.errors import BudgetError

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
_TEXT = re.compile(
    r"\s*(?P<value>[-+]?(?:\d+\.?\d*|\.\d+|nan|inf)(?:e[-+]?\d+)?)\s*(?P<unit>[a-zA-Zµμ]*)\s*(?:@\s*p(?P<percentile>\d{1,3}(?:\.\d+)?))?\s*",
    re.ASCII,
)
_EXAMPLES = "Write a number and a unit: 80ms, 80ms@p90, 500us, 12MB, 300MMACs."
_SHOWN = {LATENCY: (1.0, "ms"), SIZE: (1e6, "MB"), MACS: (1e6, "MMACs")}


@dataclass(frozen=True)
class Budget:
    """An upper limit on one cost of the deployed model.

    Attributes:
        metric: ``latency``, ``size`` or ``macs``.
        limit: In milliseconds, bytes or MACs.
        percentile: Which percentile of single latencies must hold the limit; 50 for other metrics.
        confidence: Probability with which a prediction must hold the limit before it is tried.
    """

    metric: str
    limit: float
    percentile: float = 50.0
    confidence: float = DEFAULT_CONFIDENCE

    def __post_init__(self) -> None:
        if self.metric not in _SHOWN:
            raise BudgetError(f"{self.metric!r} is not a metric.", f"Known: {', '.join(_SHOWN)}.")
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
        if unit not in _UNITS:
            raise BudgetError(
                f"{match['unit']!r} is not a unit of a budget.", f"{_EXAMPLES} Known units: us, ms, s, kB, MB, GB, kMACs, MMACs, GMACs."
            )
        metric, factor = _UNITS[unit]
        if match["percentile"] is not None and metric != LATENCY:
            raise BudgetError(f"{text!r}: only a latency has percentiles.", "Leave @p… away for sizes and MACs.")
        return cls(metric, value * factor, float(match["percentile"] or 50.0), confidence)

    def __str__(self) -> str:
        factor, unit = _SHOWN[self.metric]
        percentile = f"@p{self.percentile:g}" if self.metric == LATENCY and self.percentile != 50 else ""
        return f"{self.limit / factor:.6g}{unit}{percentile}"

    def to_dict(self) -> dict[str, str | float]:
        """The budget as it stands in manifests and JSON output."""
        return {"metric": self.metric, "limit": self.limit, "percentile": self.percentile, "confidence": self.confidence}
