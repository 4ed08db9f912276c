"""Shipped priors: what is known of a kind of device before anything was measured on this one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.common.quantiles import normal_quantile
from nagsdk.cost.features import FEATURES, FeatureTable
from nagsdk.cost.gp import Sizes
from nagsdk.cost.shape import Prices, Shape, population
from nagsdk.cost.table import Floats
from nagsdk.errors import DeviceError
from nagsdk.space.space import SearchSpace

FORMAT = "nagsdk-cost-prior/1"
# In the order of `gp.TERMS`. Prices of a device of a known kind lie within some tens of percent of the known ones, by
# the processors and GPUs of the public tables; of a device that nothing is known of, within a factor.
_KNOWN = Sizes(np.log([1.0, 0.15, 0.02, 0.03]), np.array([0.5, 0.8, 0.8, 0.8]))
_UNKNOWN = Sizes(np.log([1.0, 0.6, 0.02, 0.03]), np.array([0.5, 0.8, 0.8, 0.8]))
# A feature that costs nothing under the prior may come to cost this share of a typical latency.
_FREE_SHARE = 0.01
# Another number of threads scales by an unknown factor: as if a device of a further kind.
_OTHER_THREADS_SPREAD = 0.6


@dataclass(frozen=True)
class Jitter:
    """How latencies scatter although the architecture stays the same.

    Attributes:
        runs: Percentile of single runs over their median, by percentile, such as {90: 1.04}.
        sessions: Relative standard deviation of the median from one session to another.
    """

    runs: Mapping[float, float]
    sessions: float

    def factor(self, percentile: float) -> float:
        """Percentile of single runs over their median, interpolated on the normal scale; never below 1."""
        known = sorted({50.0: 1.0, **self.runs}.items())
        at = [normal_quantile(p / 100) for p, _ in known]
        values = np.maximum.accumulate([v for _, v in known])
        z = normal_quantile(percentile / 100)
        if z <= at[-1] or len(known) == 1:
            return max(1.0, float(np.interp(z, at, values)))
        return float(1.0 + (values[-1] - 1.0) * z / at[-1])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"runs": {f"{p:g}": v for p, v in sorted(self.runs.items())}, "sessions": self.sessions}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Jitter:
        """Rebuilds it from `to_dict`."""
        return cls({float(p): float(v) for p, v in values["runs"].items()}, float(values["sessions"]))


@dataclass(frozen=True)
class Prior:
    """Prices of features on a kind of device.

    Attributes:
        weights: Milliseconds per unit of every feature, shape (F,).
        spread: Standard deviation of the logarithm of the factor by which an unmeasured device of the kind is off.
        jitter: Where nothing better was measured.
        threads: Threads of one inference that it holds for.
        source: What it was fitted on.
        directions: Changes of the weights by which known devices of the kind differ, each one standard deviation long,
            shape (K, F).
    """

    weights: Floats
    spread: float
    jitter: Jitter
    threads: int = 1
    source: Mapping[str, Any] = field(default_factory=dict)
    directions: Floats = field(default_factory=lambda: np.zeros((0, len(FEATURES))))

    def for_threads(self, threads: int) -> Prior:
        """The prior for another number of threads: the same shape, a wider spread."""
        if threads == self.threads:
            return self
        spread = float(np.hypot(self.spread, _OTHER_THREADS_SPREAD))
        return replace(self, spread=spread, threads=threads, source={**self.source, "fitted_for_threads": self.threads})

    def on(self, space: SearchSpace) -> Shape:
        """The shape of latencies over a space."""
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
        """The file's content."""
        content = {
            "format": FORMAT,
            "weights_ms": {name: float(w) for name, w in zip(FEATURES, self.weights, strict=True)},
            "directions_ms": self.directions.tolist(),
            "spread": self.spread,
            "jitter": self.jitter.to_dict(),
            "threads": self.threads,
            "source": dict(self.source),
        }
        return json.dumps(content, indent=2) + "\n"


def read_prior(path: Path) -> Prior:
    """Reads a shipped prior.

    Raises:
        DeviceError: The file is missing or is no prior of this version.
    """
    next_step = "Reinstall nagsdk, or leave `prior` out of the device description and calibrate the device."
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT or set(content["weights_ms"]) != set(FEATURES):
            raise DeviceError(f"{path} is a prior of another version of nagsdk.", next_step)
        weights = np.array([float(content["weights_ms"][name]) for name in FEATURES])
        jitter = Jitter.from_dict(content["jitter"])
        directions = np.array(content.get("directions_ms", []), dtype=np.float64).reshape(-1, len(FEATURES))
        prior = Prior(
            weights, float(content["spread"]), jitter, int(content["threads"]), dict(content["source"]), directions
        )
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any() and 0 < prior.spread < np.inf):
            raise ValueError("weights and spread must be finite and not negative")
        if not np.isfinite(directions).all():
            raise ValueError("directions must be finite")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeviceError(f"{path} is no readable prior: {error!r}.", next_step) from error
    return prior


def flat_prior(table: FeatureTable) -> Prior:
    """The prior of a device that nothing is known of: every feature has the same share of a typical latency of 1 ms.

    Its scale means nothing: a model needs measurements before it may be used.
    """
    mean = table.base.mean(0) + table.choice.mean(2).sum(1).mean(0)
    used = mean > 0
    weights = np.divide(1.0 / used.sum(), mean, out=np.zeros_like(mean), where=used)
    return Prior(weights, float("inf"), Jitter({90.0: 1.1}, 0.03), source={"title": "no prior"})
