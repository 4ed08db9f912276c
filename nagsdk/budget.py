"""Budgets: limits on the costs of a model, as text and as values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeAlias

from nagsdk.errors import BudgetError, UnknownUnitError
from nagsdk.ranges import BATCH, CONFIDENCE, LIMIT, PERCENTILE, SUSTAINED_S, UNIT

METRICS = LATENCY, SIZE, MACS = "latency", "size", "macs"
# Costs that nothing predicts: they are measured, and only then compared with their budgets.
# The energy of an inference has this name so that plugins may have a metric `energy` that they compute from layers.
MEASURED = INIT, RAM, ENERGY = "init", "ram", "inference_energy"
DEFAULT_CONFIDENCE = 0.9
# The name of a unit, and its factor to the canonical unit of the metric, in which limits are stored.
Unit: TypeAlias = tuple[str, float]
# The factors of units, by metric and name of the unit.
Units: TypeAlias = Mapping[str, Mapping[str, float]]
# The units in which nagsdk's own metrics are shown.
_MIB = 2**20 / 1e6
SHOWN_UNITS: dict[str, Unit] = {
    LATENCY: ("ms", 1.0),
    SIZE: ("MB", 1e6),
    MACS: ("MMACs", 1e6),
    INIT: ("ms", 1.0),
    RAM: ("MiB", _MIB),
    ENERGY: ("mJ", 1.0),
}
# Units that nagsdk takes unless a plugin has them.
ENERGY_UNITS: Units = {ENERGY: {"mJ": 1.0, "J": 1e3, "uJ": 1e-3}}

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
# metric -> unit (lower case) -> factor to the canonical unit: ms, 10⁶ bytes
_MEASURED_UNITS = {
    INIT: {"us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1.0, "s": 1e3},
    RAM: {"kb": 1e-3, "mb": 1.0, "gb": 1e3, "kib": _MIB / 2**10, "mib": _MIB, "gib": _MIB * 2**10},
}
_MEASURED_TEXT = re.compile(rf"(?P<figure>[^@]*)@\s*(?P<metric>{INIT}|{RAM})\s*", re.ASCII | re.IGNORECASE)
# Budgets for each image: images per second, or a time per image.
_IMAGE, _SECOND = ("image", "images", "img", "imgs", "frame", "frames"), ("s", "sec", "second")
PER_SECOND, PER_IMAGE = "FPS", "ms/image"
# Behind @, a unit names its metric, where several metrics have the same unit: KiB@sram.
_UNIT = re.compile(r"[a-zA-Zµμ]+(?:@[a-z]{2,20})?")
_NAMED_TEXT = re.compile(r"(?P<figure>[^@]*[a-zA-Zµμ])\s*@\s*(?P<metric>(?!sustained)[a-zA-Z]{2,20})\s*", re.A)
_TEXT = re.compile(
    r"\s*(?P<value>[-+]?(?:\d+\.?\d*|\.\d+|nan|inf)(?:e[-+]?\d+)?)\s*(?P<unit>[a-zA-Zµμ]*)"
    r"(?:\s*/\s*(?P<per>[a-zA-Z]+))?"
    r"(?P<marks>(?:\s*@\s*[a-z0-9.=]{1,40})*)\s*",
    re.ASCII,
)
# What may stand after @, each once and in any order.
_MARKS = {
    "percentile": re.compile(r"p(\d{1,3}(?:\.\d+)?)"),
    "sustained": re.compile(r"sustained(?:=(\d+\.?\d*)(s|min))?"),
}
# Longest load before a sustained latency is measured, where the budget names none.
_SUSTAINED_S = 300.0
_EXAMPLES = (
    "Write a number and a unit: 80ms, 80ms@p90, 80ms@sustained, 500us, 200FPS, 5ms/image, 12MB, 300MMACs, 40mJ, "
    "300ms@init, 150MiB@ram."
)
_DIGITS, _MOST_TEXT = 4, 100


def metric_of(unit: str) -> str | None:
    """The metric of nagsdk itself that uses a unit; None if there is none."""
    return _UNITS[unit.lower()][0] if unit.lower() in _UNITS else None


def check_unit(unit: object, factor: object) -> None:
    """Raises an error if a unit cannot be used in budgets.

    Raises:
        BudgetError: It is not a word of letters, or its factor is not a positive number.
    """
    if not isinstance(unit, str) or not _UNIT.fullmatch(unit):
        raise BudgetError(f"{unit!r:.80} cannot be a unit.", "Use letters only, or letters, @ and letters.")
    UNIT.check(factor, BudgetError)


@dataclass(frozen=True)
class Budget:
    """A limit on one cost of the deployed model.

    Attributes:
        metric: ``latency``, ``size``, ``macs``, ``init`` (loading the file), ``ram`` (memory of the processor) or the
            metric of a plugin.
        limit: The limit in milliseconds, bytes (``ram``: 10⁶ bytes), MACs, or the canonical unit of the plugin's
            metric.
        percentile: The percentile of single latencies that must hold the limit; 50 for other metrics.
        confidence: How sure the cost model must be that an architecture holds the limit before it is tried.
        unit: The unit in which a plugin's metric is shown, and its factor to the canonical unit; other metrics need
            none. Budgets that differ only in this are equal.
        images: For a latency budget per image (``200FPS``, ``5ms/image``), the number of images of one inference,
            which `limit` is for; None for all other budgets. `for_batch` changes it together with the limit.
        throughput: Whether a budget per image is shown in images per second.
        sustained_s: For the latency after continuous load, the longest time in seconds for which the device is loaded;
            None for all other budgets.
    """

    metric: str
    limit: float
    percentile: float = 50.0
    confidence: float = DEFAULT_CONFIDENCE
    unit: Unit | None = field(default=None, compare=False)
    images: int | None = None
    throughput: bool = field(default=False, compare=False)
    sustained_s: float | None = None

    def __post_init__(self) -> None:
        if self.metric not in SHOWN_UNITS:
            if self.unit is None:
                raise BudgetError(
                    f"{self.metric!r} is not one of nagsdk's own metrics, and no unit was given.",
                    f"Known: {', '.join(SHOWN_UNITS)}. For a plugin's metric, write the budget as text, such as "
                    "300MiB, or give its unit.",
                )
            check_unit(*self.unit)
        for name, legal in (("limit", LIMIT), ("percentile", PERCENTILE), ("confidence", CONFIDENCE)):
            object.__setattr__(self, name, legal.check(getattr(self, name), BudgetError))
        if self.images is not None:
            BATCH.check(self.images, BudgetError)
        if (self.images is not None and self.metric != LATENCY) or (self.throughput and self.images is None):
            raise BudgetError(
                f"{self.images} images of one inference do not go with this budget.",
                "Only a latency can be limited per image, for one image or more.",
            )
        if self.sustained_s is not None:
            object.__setattr__(self, "sustained_s", SUSTAINED_S.check(self.sustained_s, BudgetError))
            if self.metric != LATENCY:
                raise BudgetError("Only a latency can be limited under sustained load.", "Leave @sustained out.")

    @classmethod
    def parse(cls, text: str, confidence: float = DEFAULT_CONFIDENCE, units: Units | None = None) -> Budget:
        """Reads a budget such as ``80ms``, ``80ms@p90``, ``200FPS``, ``5ms/image``, ``12MB`` or ``300ms@init``.

        ``@sustained`` after a latency, also ``@sustained=10min`` and ``@p90@sustained``, limits the latency after
        minutes of continuous load.

        A budget per image is read for inferences of one image; `for_batch` adapts it to a device's batch.

        Args:
            text: The text that the user wrote.
            confidence: See `Budget`.
            units: Units of the metrics of plugins; a metric is shown in its first unit. See
                `nagsdk.plugin.units.read_budget`.

        Raises:
            BudgetError: The text has no number, no unit, an unknown unit or an impossible value.
        """
        if len(text) <= _MOST_TEXT and (measured := _MEASURED_TEXT.fullmatch(text)):
            return cls._of_measured(measured, confidence)
        if len(text) <= _MOST_TEXT and (named := _NAMED_TEXT.fullmatch(text)):
            return cls._of_named(text, named, confidence, units)
        match = _TEXT.fullmatch(text) if len(text) <= _MOST_TEXT else None
        if match is None:
            raise BudgetError(f"{text[:_MOST_TEXT]!r} is not a budget.", _EXAMPLES)
        value = float(match["value"])
        unit, per = match["unit"].lower(), (match["per"] or "").lower()
        marks = _marks(text, match["marks"])
        percentile = float(marks["percentile"][1]) if "percentile" in marks else 50.0
        sustained = _seconds(marks["sustained"]) if "sustained" in marks else None
        if (unit == "fps" and not per) or (unit in _IMAGE and per in _SECOND):
            if not (math.isfinite(value) and value > 0 and math.isfinite(1e3 / value)):
                raise BudgetError(f"A budget must be a positive number, not {value:g} images per second.", _EXAMPLES)
            return cls(LATENCY, 1e3 / value, percentile, confidence, images=1, throughput=True, sustained_s=sustained)
        if per and not (per in _IMAGE and _UNITS.get(unit, ("",))[0] == LATENCY):
            raise BudgetError(
                f"{text!r}: {match['unit']}/{match['per']} is not a unit of a budget.",
                "Write images per second or a time per image: 200FPS, 200 images/s, 5ms/image.",
            )
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
                f"{_EXAMPLES} Known units: us, ms, s, kB, MB, GB, kMACs, MMACs, GMACs, FPS, ms/image{names}.",
            )
        metric, factor = _UNITS.get(unit) or more[unit]
        if marks and metric != LATENCY:
            raise BudgetError(f"{text!r}: only a latency has percentiles and a sustained value.", "Leave @… out.")
        shown = next(iter(units[metric].items())) if units is not None and metric in units else None
        return cls(
            metric, value * factor, percentile, confidence, shown, images=1 if per else None, sustained_s=sustained
        )

    @classmethod
    def _of_named(cls, text: str, named: re.Match[str], confidence: float, units: Units | None) -> Budget:
        """The budget in a text such as ``256KiB@sram``, whose unit belongs to several metrics."""
        metric, match = named["metric"].lower(), _TEXT.fullmatch(named["figure"])
        of = {name.lower(): factor for name, factor in (units or {}).get(metric, {}).items()}
        unit = "" if match is None or match["per"] else f"{match['unit'].lower()}@{metric}"
        if match is None or unit not in of:
            known = ", ".join(name for each in (units or {}).values() for name in each if "@" in name)
            raise UnknownUnitError(
                f"{text!r} is not a budget: @{metric} has no such unit.",
                f"{_EXAMPLES} Known with @: {known or 'none'}.",
            )
        assert units is not None
        shown = next(iter(units[metric].items()))
        return cls(metric, float(match["value"]) * of[unit], confidence=confidence, unit=shown)

    @classmethod
    def _of_measured(cls, text: re.Match[str], confidence: float) -> Budget:
        """The budget in a text such as ``300ms@init``."""
        metric, match = text["metric"].lower(), _TEXT.fullmatch(text["figure"])
        factor = None if match is None or match["per"] else _MEASURED_UNITS[metric].get(match["unit"].lower())
        if match is None or factor is None:
            unit = SHOWN_UNITS[metric][0]
            raise BudgetError(
                f"{text[0]!r} is not a budget: before @{metric}, there must be a number and a unit that it can have.",
                f"Write 300{unit}@{metric}, for example; the units are {', '.join(_MEASURED_UNITS[metric])}.",
            )
        return cls(metric, float(match["value"]) * factor, confidence=confidence)

    def for_batch(self, batch: int) -> Budget:
        """The budget for inferences of `batch` images; changes only budgets per image."""
        return self if self.images is None else replace(self, limit=self.limit / self.images * batch, images=batch)

    @property
    def shown_unit(self) -> Unit:
        """The unit of the metric, and its factor; images per second, which have no factor, as time per image."""
        if self.images is not None:
            return PER_IMAGE, float(self.images)
        shown = SHOWN_UNITS.get(self.metric, self.unit)
        assert shown is not None
        return shown

    def rounded(self, *, up: bool) -> Budget:
        """The budget, rounded to four digits in the unit in which it is shown.

        Args:
            up: Whether to round the limit up, which lowers images per second; otherwise down.
        """
        figure, up = self._figure(self.limit), up != self.throughput
        shown = Decimal(f"{figure:.{_DIGITS - 1}e}")
        if float(shown) < figure if up else float(shown) > figure:
            step = Decimal(1).scaleb(shown.adjusted() - _DIGITS + 1)
            shown += step if up else -step
        return replace(self, limit=self._limit(float(shown)))

    def eased(self, factor: float) -> Budget:
        """The budget with about `factor` times its limit, in three digits of the unit in which it is shown."""
        return replace(self, limit=self._limit(float(f"{self._figure(self.limit * factor):.3g}")))

    def _figure(self, limit: float) -> float:
        """A limit in the unit in which it is shown."""
        return 1e3 * (self.images or 1) / limit if self.throughput else limit / self.shown_unit[1]

    def _limit(self, figure: float) -> float:
        """The limit that is shown as the given figure."""
        return 1e3 * (self.images or 1) / figure if self.throughput else figure * self.shown_unit[1]

    @property
    def file_name(self) -> str:
        """The text of the budget as part of the name of a file or folder."""
        return str(self).replace("/", "-per-")

    def __str__(self) -> str:
        percentile = f"@p{self.percentile:g}" if self.metric == LATENCY and self.percentile != 50 else ""
        sustained = "" if self.sustained_s is None else f"@sustained{_asked(self.sustained_s)}"
        measured = f"@{self.metric}" if self.metric in _MEASURED_UNITS else ""
        return f"{self.text_of(self.limit)}{percentile}{sustained}{measured}"

    def text_of(self, cost: float, digits: int = 6) -> str:
        """A cost of the metric, in its canonical unit, as text in the unit of this budget."""
        if self.throughput:
            return f"{self._figure(cost):.{digits}g}{PER_SECOND}"
        unit, factor = self.shown_unit
        if self.metric in (LATENCY, INIT) and cost / factor >= 1e3:
            unit, factor = unit.replace("ms", "s"), factor * 1e3
        elif self.metric == SIZE and cost < 1e6:
            unit, factor = "kB", 1e3
        return f"{cost / factor:.{digits}g}{unit}"

    def to_dict(self) -> dict[str, Any]:
        """The budget as in manifests and JSON output."""
        unit, factor = self.shown_unit
        return {
            "metric": self.metric,
            "limit": self.limit,
            "percentile": self.percentile,
            "confidence": self.confidence,
            "unit": unit,
            "unit_factor": float(factor),
            "images": self.images,
            "images_per_second": self._figure(self.limit) if self.throughput else None,
            "sustained_s": self.sustained_s,
            "text": str(self),
        }


def _marks(text: str, marks: str) -> dict[str, re.Match[str]]:
    """What stands after each @ of a budget, by its name in `_MARKS`.

    Raises:
        BudgetError: One is unknown, or is there twice.
    """
    found: dict[str, re.Match[str]] = {}
    for mark in (part.strip() for part in marks.split("@")[1:]):
        matches = {name: match for name, pattern in _MARKS.items() if (match := pattern.fullmatch(mark))}
        if not matches or matches.keys() & found.keys():
            why = "is there twice" if matches else "is not known"
            raise BudgetError(f"{text!r}: @{mark} {why}.", _EXAMPLES)
        found |= matches
    return found


def _seconds(sustained: re.Match[str]) -> float:
    """The longest time of load that a budget asks for."""
    if sustained[1] is None:
        return _SUSTAINED_S
    return float(SUSTAINED_S.check(float(sustained[1]) * (60 if sustained[2] == "min" else 1), BudgetError))


def _asked(seconds: float) -> str:
    """The end of ``@sustained`` in the text of a budget; empty for the usual time."""
    if seconds == _SUSTAINED_S:
        return ""
    return f"={seconds / 60:g}min" if seconds % 60 == 0 else f"={seconds:g}s"
