"""Priors: what is known about the latencies of a kind of device before anything was measured on this one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.common.quantiles import normal_quantile
from nagsdk.common.reading import read_json
from nagsdk.common.validation import what_is_wrong
from nagsdk.cost.features import FEATURES, FeatureTable
from nagsdk.cost.gp import Sizes
from nagsdk.cost.shape import Prices, Shape, population
from nagsdk.cost.table import Floats
from nagsdk.errors import DeviceError
from nagsdk.ranges import THREADS
from nagsdk.space.space import SearchSpace

FORMAT = "nagsdk-cost-prior/1"
# Sizes of the terms, in the order of `gp.TERMS`. On the processors and GPUs of the public tables, the prices of a
# device of a known kind differ from the known ones by some tens of percent; those of an unknown kind by a factor.
_KNOWN = Sizes(np.log([1.0, 0.15, 0.02, 0.03]), np.array([0.5, 0.8, 0.8, 0.8]))
_UNKNOWN = Sizes(np.log([1.0, 0.6, 0.02, 0.03]), np.array([0.5, 0.8, 0.8, 0.8]))
# A feature that costs nothing under the prior may get a price that makes up this share of a typical latency.
_FREE_SHARE = 0.01
_MOST_BYTES, _MOST_MS = 10**6, 1e9
_MOST_PERCENTILES, _MOST_FACTOR, _MOST_DIRECTIONS = 100, 1000.0, 100
# Additional spread for another number of threads, which changes the latencies by an unknown factor.
_OTHER_THREADS_SPREAD = 0.6
# Additional spread for another number of images of one inference, and the features whose amount does not depend on it:
# one inference starts its layers and reads its weights once for all images.
_OTHER_BATCH_SPREAD = 0.3
_PER_INFERENCE = (
    *("network", "calls", "se_calls", "attention_calls"),
    *("pointwise_weights", "vector_weights", "se_weights"),
)


@dataclass(frozen=True)
class Jitter:
    """Scatter of the latencies of the same architecture.

    Attributes:
        runs: Ratio of a percentile of single runs to their median, by percentile, such as {90: 1.04}.
        sessions: Relative standard deviation of the median between sessions.
    """

    runs: Mapping[float, float]
    sessions: float

    def factor(self, percentile: float) -> float:
        """Returns the ratio of a percentile of single runs to their median, at least 1.

        It is interpolated over the quantiles of the normal distribution.
        """
        known = sorted({50.0: 1.0, **self.runs}.items())
        at = [normal_quantile(p / 100) for p, _ in known]
        values = np.maximum.accumulate([v for _, v in known])
        z = normal_quantile(percentile / 100)
        if z <= at[-1] or len(known) == 1:
            return max(1.0, float(np.interp(z, at, values)))
        return float(1.0 + (values[-1] - 1.0) * z / at[-1])

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields, JSON-ready."""
        return {"runs": {f"{p:g}": v for p, v in sorted(self.runs.items())}, "sessions": self.sessions}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Jitter:
        """Rebuilds a jitter from the result of `to_dict`.

        Raises:
            ValueError: A number is out of its range; or KeyError, TypeError or AttributeError for other values.
        """
        runs, sessions = {float(p): float(v) for p, v in values["runs"].items()}, float(values["sessions"])
        fits = all(0 < p < 100 and 0 < v <= _MOST_FACTOR for p, v in runs.items()) and 0 <= sessions <= _MOST_FACTOR
        if not fits or len(runs) > _MOST_PERCENTILES:
            raise ValueError("the jitter is out of its range")
        return cls(runs, sessions)


@dataclass(frozen=True)
class Prior:
    """Prices of features on a kind of device.

    Attributes:
        weights: Milliseconds per unit of every feature, shape (F,).
        spread: Standard deviation of the logarithm of the factor by which an unmeasured device of this kind differs.
        jitter: Scatter to assume until it was measured.
        threads: Number of threads of one inference for which the prior is valid.
        source: Data that the prior was fitted to.
        directions: Changes of the weights by which known devices of this kind differ, each one standard deviation
            long, shape (K, F).
        unknown: Features whose price is not known; their weight is 0 and means nothing. See `for_space`.
    """

    weights: Floats
    spread: float
    jitter: Jitter
    threads: int = 1
    source: Mapping[str, Any] = field(default_factory=dict)
    directions: Floats = field(default_factory=lambda: np.zeros((0, len(FEATURES))))
    unknown: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, weights: Any, values: Mapping[str, Any]) -> Prior:
        """Rebuilds a prior from what a file holds.

        Args:
            weights: See the attribute.
            values: The other attributes, as `to_json` writes them; a spread of None is infinite.

        Raises:
            ValueError: A number is out of its range; or KeyError, TypeError or AttributeError for other values.
        """
        spread = math.inf if values["spread"] is None else float(values["spread"])
        directions, threads = values["directions_ms"], values["threads"]
        found = numbers_of(weights, (len(FEATURES),))
        if not found.any() or not spread > 0 or _MOST_FACTOR < spread < math.inf:
            raise ValueError("weights and spread must not be 0")
        if type(threads) is not int or not THREADS.holds(threads) or len(directions) > _MOST_DIRECTIONS:
            raise ValueError("threads or directions are out of their range")
        shape = (len(directions), len(FEATURES))
        return cls(
            found,
            spread,
            Jitter.from_dict(values["jitter"]),
            threads,
            dict(values["source"]),
            numbers_of(directions, shape, low=-_MOST_MS),
        )

    def for_threads(self, threads: int) -> Prior:
        """Returns the prior for another number of threads: the same shape with a wider spread."""
        if threads == self.threads:
            return self
        spread = float(np.hypot(self.spread, _OTHER_THREADS_SPREAD))
        return replace(self, spread=spread, threads=threads, source={**self.source, "fitted_for_threads": self.threads})

    def for_batch(self, batch: int) -> Prior:
        """Returns the prior for inferences of several images, if this one is for a single image."""
        if batch == 1:
            return self
        factors = np.array([1.0 if name in _PER_INFERENCE else float(batch) for name in FEATURES])
        return replace(
            self,
            weights=self.weights * factors,
            directions=self.directions * factors,
            spread=float(np.hypot(self.spread, _OTHER_BATCH_SPREAD)),
            source={**self.source, "fitted_for_batch": 1},
        )

    def for_space(self, space: SearchSpace) -> Prior:
        """Returns the prior for the networks of a space.

        If they need a feature whose price is not known, the speed of the device counts as unknown: the feature gets the
        share of an average one, and the spread is infinite.
        """
        table = FeatureTable.of(space)
        needed = np.array([name in self.unknown for name in FEATURES]) & (table.typical > 0)
        if not needed.any():
            return replace(self, unknown=())
        flat = flat_prior(table).weights
        known = float(table.typical @ self.weights) or 1.0
        return replace(
            self,
            weights=np.where(needed, flat * known / float(table.typical @ (flat * ~needed) or 1.0), self.weights),
            spread=math.inf,
            source={**self.source, "unknown": [name for name, need in zip(FEATURES, needed, strict=True) if need]},
            unknown=(),
        )

    def on(self, space: SearchSpace) -> Shape:
        """Returns the shape of the latencies over a space; see `for_space`."""
        assert not self.unknown, "a feature without a price would count as free"
        codes = population(space)
        table = FeatureTable.of(space)
        features = table.of_codes(codes)
        typical = float((features @ self.weights).mean())
        mean = features.mean(0)
        free = np.divide(_FREE_SHARE, mean, out=np.zeros_like(mean), where=mean > 0)
        prices = Prices(self.weights / typical, self.directions / typical)
        return Shape(
            space,
            codes,
            table.priced(prices.mean),
            tuple(table.priced(direction) for direction in prices.directions),
            np.where(mean > 0, prices.mean + free, 0.0),
            np.zeros(len(FEATURES)),
            _KNOWN if math.isfinite(self.spread) else _UNKNOWN,
            prices,
        )

    def to_json(self) -> str:
        """Returns the content of the prior's file."""
        content = {
            "format": FORMAT,
            "weights_ms": {
                name: float(w) for name, w in zip(FEATURES, self.weights, strict=True) if name not in self.unknown
            },
            "directions_ms": self.directions[:, [name not in self.unknown for name in FEATURES]].tolist(),
            "spread": self.spread,
            "jitter": self.jitter.to_dict(),
            "threads": self.threads,
            "source": dict(self.source),
        }
        return json.dumps(content, indent=2) + "\n"


def read_prior(path: Path) -> Prior:
    """Reads a shipped prior.

    Raises:
        DeviceError: The file is missing, or is not a prior of this version.
    """
    next_step = "Reinstall nagsdk, or leave `prior` out of the device description and calibrate the device."
    try:
        content = read_json(path, _MOST_BYTES)
        if content["format"] != FORMAT or not content["weights_ms"].keys() <= FEATURES.keys():
            raise DeviceError(f"The prior {path} belongs to another version of nagsdk.", next_step)
        known = content["weights_ms"]
        rows = [dict(zip(known, row, strict=True)) for row in content.get("directions_ms", [])]
        directions = [[row.get(name, 0.0) for name in FEATURES] for row in rows]
        prior = Prior.from_dict([known.get(name, 0.0) for name in FEATURES], {**content, "directions_ms": directions})
        prior = replace(prior, unknown=tuple(name for name in FEATURES if name not in known))
        if not math.isfinite(prior.spread):
            raise ValueError("a shipped prior needs a spread")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeviceError(f"The prior {path} cannot be read: {what_is_wrong(error)}.", next_step) from error
    return prior


def numbers_of(values: Any, shape: tuple[int, ...], low: float = 0.0, high: float = _MOST_MS) -> Floats:
    """An array of numbers from a file.

    Args:
        values: Nested lists.
        shape: The shape that it must have.
        low: The lowest legal number.
        high: The highest legal number.

    Raises:
        ValueError: It has another shape, or a number is out of its range; or TypeError for other values.
    """
    found = np.array(values, dtype=np.float64)
    if not found.size:
        found = found.reshape(shape)
    if found.shape != shape or not ((found >= low) & (found <= high)).all():
        raise ValueError(f"it needs numbers of shape {shape} from {low:g} to {high:g}")
    return found


def flat_prior(table: FeatureTable) -> Prior:
    """Returns the prior of an unknown device: every feature has the same share of a typical latency of 1 ms.

    Its scale has no meaning, so a model needs measurements before it can be used.
    """
    mean = table.typical
    used = mean > 0
    weights = np.divide(1.0 / used.sum(), mean, out=np.zeros_like(mean), where=used)
    return Prior(weights, float("inf"), Jitter({90.0: 1.1}, 0.03), source={"title": "no prior"})
