"""Cost models: what an architecture's latency is on one device, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.common.quantiles import normal_quantile, student_quantile
from nagsdk.cost.features import FeatureTable
from nagsdk.cost.gp import Posterior, fit
from nagsdk.cost.prior import Jitter, Prior
from nagsdk.cost.shape import Shape
from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.errors import UsageError
from nagsdk.space.space import Codes, SearchSpace

LEAST_SAMPLES = 5
# Of a calibration that was not told otherwise.
SAMPLES = 30
# A prior whose scale was corrected by a few observations: what remains wrong in its shape.
_SHAPE_SPREAD = 0.08
_LOCAL_WIDTH = 0.15
_LOCAL_DOUBT = 0.1
_MOST_LOCAL = 0.25
# Share of the error's variance that networks of like cost have in common: the session, the local shape.
_LOCAL_SHARE = 0.75
# So many samples does the quantile that the regression expects of its errors count for, beside the measured one.
_EXPECTED = 20
# Architectures whose columns fit into a processor's cache.
_CHUNK = 512


@dataclass(frozen=True)
class Samples:
    """Measured architectures.

    Attributes:
        codes: Shape (n, decisions).
        p50_ms: Median latencies, shape (n,).
        left_out_ms: Predictions by a model fitted without the sample, shape (n,).
        left_out_sd_ms: Their standard deviations, shape (n,).
    """

    codes: Codes
    p50_ms: Floats
    left_out_ms: Floats
    left_out_sd_ms: Floats

    def __len__(self) -> int:
        return len(self.p50_ms)

    @property
    def errors(self) -> Floats:
        """Measured minus predicted, in standard deviations, shape (n,)."""
        return (self.p50_ms - self.left_out_ms) / self.left_out_sd_ms


@dataclass(frozen=True)
class CostModel:
    """Latency of the architectures of a space on a device.

    The mean is additive over the fixed layers and the choices at a resolution (`table`), except for a
    factor near the latencies of networks that were observed one by one (`with_observation`).

    Attributes:
        space: Whose architectures it prices.
        device: Fingerprint of the device, its runtime and settings; of a device like it for a bare prior.
        prior: What was known before.
        shape: The prior on this space.
        table: Median latencies in milliseconds, additive.
        spread: Median relative standard deviation of the model error over the space.
        calibrated: The samples of the calibration; empty for a bare prior.
        observed: Networks measured since; `left_out_ms` is what was predicted before.
        jitter: Of runs and sessions.
        facts: Where it comes from: date, versions, protocol, seeds.
    """

    space: SearchSpace
    device: str
    prior: Prior
    shape: Shape
    table: AdditiveTable
    spread: float
    calibrated: Samples
    observed: Samples
    jitter: Jitter
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_prior(cls, space: SearchSpace, prior: Prior, device: str = "") -> CostModel:
        """The model of a device on which nothing was measured yet.

        Raises:
            UsageError: The prior says nothing about the scale (`flat_prior`).
        """
        if not math.isfinite(prior.spread):
            raise UsageError(
                "Nothing is known of the speed of this device.", "Calibrate it first: nagsdk calibrate --device NAME."
            )
        table = FeatureTable.of(space).priced(prior.weights)
        return cls(
            space, device, prior, prior.on(space), table, prior.spread, _empty(space), _empty(space), prior.jitter
        )

    @classmethod
    def fit(
        cls,
        space: SearchSpace,
        prior: Prior,
        codes: Codes,
        p50_ms: Floats,
        *,
        device: str = "",
        jitter: Jitter | None = None,
        facts: Mapping[str, Any] | None = None,
        shape: Shape | None = None,
    ) -> CostModel:
        """Fits a model to measured architectures.

        Args:
            space: Their space.
            prior: Gives the shape; its scale is fitted anew.
            codes: The architectures, shape (n, decisions).
            p50_ms: Their median latencies, shape (n,).
            device: Fingerprint of the device.
            jitter: Measured scatter; the prior's where None.
            facts: Recorded in the card.
            shape: Takes the place of the prior's, such as one pooled from devices measured over this very space.

        Raises:
            UsageError: Fewer than 5 samples, or latencies that are not positive.
        """
        if len(codes) < LEAST_SAMPLES:
            raise UsageError(
                f"{len(codes)} measured architectures are too few to fit a cost model.",
                f"Measure at least {LEAST_SAMPLES}.",
            )
        if not (np.isfinite(p50_ms).all() and (p50_ms > 0).all()):
            raise UsageError("A measured latency is not a positive number.", "Measure again.")
        shape = shape or prior.on(space)
        found = _fit(shape, codes, p50_ms)
        mean, deviation = found.predict(shape.design(shape.population))
        return cls(
            space,
            device,
            prior,
            shape,
            shape.table(found, codes),
            float(np.median(deviation / mean)),
            Samples(codes, p50_ms, found.left_out_ms, found.left_out_sd_ms),
            _empty(space),
            jitter or prior.jitter,
            facts or {},
        )

    @property
    def source(self) -> str:
        """``calibration`` where architectures were measured for it, otherwise ``prior``."""
        return "calibration" if len(self.calibrated) else "prior"

    def mean(self, codes: Codes) -> Floats:
        """Median latencies in milliseconds, shape (n,)."""
        cost = self.table.cost(codes)
        return cost * self._local(cost)[0]

    def predict(self, codes: Codes) -> tuple[Floats, Floats]:
        """Median latency and its standard deviation (model error and session), in milliseconds, shapes (n,)."""
        cost = self.table.cost(codes)
        factor, doubt = self._local(cost)
        mean = cost * factor
        return mean, mean * doubt * np.hypot(self._spreads(codes), self.jitter.sessions)

    def upper(self, codes: Codes, confidence: float, percentile: float = 50.0) -> Floats:
        """What a percentile of the latency will not exceed with this confidence, in milliseconds, shape (n,).

        The model error is bounded by conformal prediction without a split (jackknife: Barber et al., 2021) on the
        leave-one-out errors of the calibration, each in units of its own standard deviation, times the median relative
        standard deviation over the space. One rank among few errors is a noisy figure: it is averaged with the quantile that the
        regression itself expects (Student's t), which counts like twenty samples. Without a calibration the bound is a normal
        quantile of the prior's spread. Scatter between sessions is added in squares; runs scatter by the measured percentile factor.

        Raises:
            UsageError: The calibration has too few samples for this confidence.
        """
        return self._bound(self.table.cost(codes), confidence) * self.jitter.factor(percentile)

    def limit_for_mean(self, limit: float, confidence: float, percentile: float = 50.0) -> float:
        """The largest cost under `table` whose upper bound holds a limit, in milliseconds.

        Raises:
            UsageError: See `upper`.
        """
        target = limit / self.jitter.factor(percentile)
        plain = target / (1 + self.margin(confidence))
        if not len(self.observed):
            return plain
        candidates = plain * np.linspace(1 / (1 + _MOST_LOCAL), (1 + self.margin(confidence)) / (1 - _MOST_LOCAL), 4001)
        return float(candidates[self._bound(candidates, confidence) <= target][-1])

    def with_observation(
        self, code: Codes, p50_ms: float, percentiles_ms: Mapping[float, float] | None = None
    ) -> CostModel:
        """The model after one more network was measured, such as a candidate of the deploy loop.

        What the fit missed of it corrects the predictions within some 15 % of its latency: a network like it will not miss by the
        same amount. There, the margin shrinks to half, because networks of like cost share much of their error. A bare prior takes
        its scale from it. (Refitting with it was tried: the regression blames the network's own choices, and the next one misses again.)

        Args:
            code: Of the network, shape (decisions,) or (1, decisions).
            p50_ms: Its measured median.
            percentiles_ms: Other measured percentiles; a larger ratio to the median replaces the known one.
        """
        code = np.atleast_2d(code).astype(np.int8)
        expected, spread = self.predict(code)
        observed = Samples(
            np.concatenate([self.observed.codes, code]),
            np.append(self.observed.p50_ms, p50_ms),
            np.append(self.observed.left_out_ms, expected),
            np.append(self.observed.left_out_sd_ms, spread),
        )
        runs = dict(self.jitter.runs)
        for percentile, value in (percentiles_ms or {}).items():
            runs[percentile] = max(self.jitter.factor(percentile), value / p50_ms)
        jitter = replace(self.jitter, runs=runs)
        if len(self.calibrated):
            return replace(self, observed=observed, jitter=jitter)
        features, weights = FeatureTable.of(self.space), self.prior.weights
        scale = float(np.median(observed.p50_ms / (features.of_codes(observed.codes) @ weights)))
        return replace(
            self, table=features.priced(scale * weights), spread=_SHAPE_SPREAD, observed=observed, jitter=jitter
        )

    @property
    def most_confidence(self) -> float:
        """The highest confidence that `upper` can give; below 1."""
        n = len(self.calibrated)
        return n / (n + 1) if n else math.nextafter(1.0, 0.0)

    @cached_property
    def accuracy(self) -> dict[str, float]:
        """How well left-out samples were predicted; see `accuracy`. Empty where there was no calibration."""
        return accuracy(self.calibrated.left_out_ms, self.calibrated.p50_ms) if len(self.calibrated) else {}

    @cached_property
    def _posterior(self) -> Posterior:
        return _fit(self.shape, self.calibrated.codes, self.calibrated.p50_ms)

    def _spreads(self, codes: Codes) -> Floats:
        """Relative standard deviations of the model error, shape (n,)."""
        if not len(self.calibrated):
            return np.full(len(codes), self.spread)
        parts = np.array_split(codes, max(1, len(codes) // _CHUNK))
        return np.concatenate(
            [deviation / mean for mean, deviation in (self._posterior.predict(self.shape.design(p)) for p in parts)]
        )

    def _bound(self, cost: Floats, confidence: float) -> Floats:
        """Upper bound of the median of networks that cost so much under `table`."""
        factor, doubt = self._local(cost)
        return cost * factor * (1 + doubt * self.margin(confidence))

    def margin(self, confidence: float) -> float:
        """What the upper bound of a median adds to the mean, as a share of it.

        Raises:
            UsageError: See `upper`.
        """
        n = len(self.calibrated)
        z = normal_quantile(confidence)
        if not n:
            return math.expm1(z * math.hypot(self.spread, self.jitter.sessions))
        # Rounding must not turn 0.9 * 10 into more than 9.
        rank = math.ceil((n + 1) * confidence - 1e-9)
        if rank > n:
            needed = math.ceil(confidence / (1 - confidence) - 1e-9)
            raise UsageError(
                f"A confidence of {confidence:g} takes a calibration of {needed} architectures; this one has {n}.",
                f"Ask for {math.floor(1000 * self.most_confidence) / 1000:g} or less (--confidence), or calibrate with --samples {needed}.",
            )
        weight = n / (n + _EXPECTED)
        error = max(
            0.0,
            weight * float(np.sort(self.calibrated.errors)[rank - 1])
            + (1 - weight) * student_quantile(n - 1, confidence),
        )
        return math.hypot(error * self.spread, z * self.jitter.sessions)

    @cached_property
    def _observed_errors(self) -> tuple[Floats, Floats]:
        """Logarithm of the cost of observed networks, and what the fit still misses of them."""
        cost = self.table.cost(self.observed.codes)
        return np.log(cost), np.clip(self.observed.p50_ms / cost - 1, -_MOST_LOCAL, _MOST_LOCAL)

    def _local(self, cost: Floats) -> tuple[Floats, Floats]:
        """What observed networks of like cost say: factor on the mean, and on its uncertainty."""
        if not len(self.observed):
            return np.ones_like(cost), np.ones_like(cost)
        at, error = self._observed_errors
        near = np.exp(-0.5 * ((np.log(cost)[:, None] - at) / _LOCAL_WIDTH) ** 2)
        weight = near.sum(1) + _LOCAL_DOUBT
        return 1 + near @ error / weight, np.sqrt(1 - _LOCAL_SHARE * near.sum(1) / weight)


def accuracy(predicted: Floats, measured: Floats) -> dict[str, float]:
    """Number of samples, shares within 5 % and 10 %, root mean square relative error."""
    errors = np.abs(predicted / measured - 1)
    return {
        "samples": float(len(errors)),
        "within_5_percent": float(np.mean(errors <= 0.05)),
        "within_10_percent": float(np.mean(errors <= 0.10)),
        "rmspe": float(np.sqrt(np.mean(errors**2))),
    }


def _fit(shape: Shape, codes: Codes, p50_ms: Floats) -> Posterior:
    return fit(shape.design(codes), p50_ms, shape.sizes)


def _empty(space: SearchSpace) -> Samples:
    none: NDArray[np.float64] = np.zeros(0)
    return Samples(np.zeros((0, len(space.decisions)), np.int8), none, none, none)
