"""Shipped priors: what is known of a kind of device before anything was measured on this one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.cost.features import FEATURES, FeatureTable
from nagsdk.cost.table import Floats
from nagsdk.errors import DeviceError

FORMAT = "nagsdk-cost-prior/1"
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
        from scipy.special import ndtri

        known = sorted({50.0: 1.0, **self.runs}.items())
        at = ndtri([p / 100 for p, _ in known])
        values = np.maximum.accumulate([v for _, v in known])
        z = float(ndtri(percentile / 100))
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
    """

    weights: Floats
    spread: float
    jitter: Jitter
    threads: int = 1
    source: Mapping[str, Any] = field(default_factory=dict)

    def for_threads(self, threads: int) -> Prior:
        """The prior for another number of threads: the same shape, a wider spread."""
        if threads == self.threads:
            return self
        spread = float(np.hypot(self.spread, _OTHER_THREADS_SPREAD))
        return Prior(self.weights, spread, self.jitter, threads, {**self.source, "fitted_for_threads": self.threads})

    def to_json(self) -> str:
        """The file's content."""
        content = {
            "format": FORMAT,
            "weights_ms": {name: float(w) for name, w in zip(FEATURES, self.weights, strict=True)},
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
        prior = Prior(
            weights, float(content["spread"]), Jitter.from_dict(content["jitter"]), int(content["threads"]), dict(content["source"])
        )
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any() and 0 < prior.spread < np.inf):
            raise ValueError("weights and spread must be finite and not negative")
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
