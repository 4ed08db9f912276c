"""Cost models: predict the latency of an architecture on one device, and how uncertain the prediction is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.common.quantiles import normal_probability, normal_quantile
from nagsdk.cost.blend import Blend, judged
from nagsdk.cost.features import FeatureTable
from nagsdk.cost.prior import Jitter, Prior
from nagsdk.cost.shape import Shape
from nagsdk.cost.spread import Spread, most_confidence, most_error
from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.errors import UsageError
from nagsdk.space.space import Codes, SearchSpace

LEAST_SAMPLES = 5
# Number of reference architectures that a calibration measures by default.
SAMPLES = 30
# Spread of a prior whose scale was corrected by a few observations: the remaining error of its shape.
_SHAPE_SPREAD = 0.08
# Correction by observed networks of similar cost: width of the kernel over the logarithm of the cost, weight of no
# correction, and largest correction.
_LOCAL_WIDTH = 0.15
_LOCAL_DOUBT = 0.1
_MOST_LOCAL = 0.25
# Share of the error's variance that networks of similar cost have in common: the session and the local shape.
_LOCAL_SHARE = 0.75
# Least relative standard deviation between sessions that a bound counts with. Devices of public tables drift by about
# as much while a table is measured, and the readings of one calibration cannot show it.
_LEAST_SESSIONS = 0.01
_HALVINGS = 60
# Confidences of the bounds among which `chances` finds the last that holds.
_LEVELS = np.array([normal_probability(z) for z in np.linspace(0.0, 3.5, 141)])
# Number of architectures whose columns fit into a processor's cache.
_CHUNK = 512


@dataclass(frozen=True)
class Samples:
    """Measured architectures.

    Attributes:
        codes: Codes of the architectures, shape (n, decisions).
        p50_ms: Median latencies, shape (n,).
        left_out_ms: Predictions by a model that was fitted without the sample, shape (n,).
        left_out_sd_ms: Standard deviations of these predictions, shape (n,).
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

    The mean is additive over the fixed layers and the choices at a resolution (`table`), except for a correction
    factor near the latencies of networks that were observed one by one (`with_observation`).

    Attributes:
        space: Search space of the architectures.
        device: Fingerprint of the device, its runtime and settings; of a similar device if there is only a prior.
        prior: Prior of the device.
        shape: The prior applied to this space.
        table: Additive table of median latencies in milliseconds.
        spread: Relative standard deviation of the model error.
        calibrated: Samples of the calibration; empty if there is only a prior.
        observed: Networks measured after the calibration; `left_out_ms` holds what was predicted before.
        jitter: Scatter of runs and sessions.
        facts: Origin of the model: date, versions, protocol, seeds.
        trust: Weight of the shape, from 0 to 1; a regression that knows physical features only has the rest (`Blend`).
    """

    space: SearchSpace
    device: str
    prior: Prior
    shape: Shape
    table: AdditiveTable
    spread: Spread
    calibrated: Samples
    observed: Samples
    jitter: Jitter
    facts: Mapping[str, Any] = field(default_factory=dict)
    trust: float = 1.0

    @classmethod
    def from_prior(cls, space: SearchSpace, prior: Prior, device: str = "") -> CostModel:
        """Returns the model of a device on which nothing was measured yet.

        Raises:
            UsageError: The prior does not know the scale of the latencies (`flat_prior`), or the price of a feature.
        """
        prior = prior.for_space(space)
        if not math.isfinite(prior.spread):
            raise UsageError(
                "The speed of this device is not known.", "Calibrate it first: nagsdk calibrate --device NAME."
            )
        table = FeatureTable.of(space).priced(prior.weights)
        spread = Spread(prior.spread)
        return cls(space, device, prior, prior.on(space), table, spread, _empty(space), _empty(space), prior.jitter)

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
            space: Search space of the architectures.
            prior: Prior that determines the shape; the scale is fitted. Where the samples are predicted better without
                it, it loses its weight.
            codes: The measured architectures, shape (n, decisions).
            p50_ms: Median latencies of the architectures, shape (n,).
            device: Fingerprint of the device.
            jitter: Measured scatter; that of the prior if None.
            facts: Facts to record in the card.
            shape: Shape to use in place of the prior's, such as one pooled from devices measured over the same space.

        Raises:
            UsageError: There are fewer than 5 samples, or a latency is not positive.
        """
        if len(codes) < LEAST_SAMPLES:
            raise UsageError(
                f"{len(codes)} measured architectures are too few to fit a cost model.",
                f"Measure at least {LEAST_SAMPLES}.",
            )
        if not (np.isfinite(p50_ms).all() and (p50_ms > 0).all()):
            raise UsageError("A measured latency is not a positive number.", "Measure again.")
        nothing_known = shape is None and math.isinf(prior.spread)
        shape = shape or prior.on(space)
        trust, *left_out = judged(shape, codes, p50_ms, nothing_known)
        found = Blend.of(shape, codes, p50_ms, trust)
        mean, deviation = found.predict(shape.population)
        return cls(
            space,
            device,
            prior,
            shape,
            found.table(),
            Spread.fitted(mean, deviation),
            Samples(codes, p50_ms, *left_out),
            _empty(space),
            jitter or prior.jitter,
            facts or {},
            trust,
        )

    @property
    def source(self) -> str:
        """``calibration`` if architectures were measured for the model, otherwise ``prior``."""
        return "calibration" if len(self.calibrated) else "prior"

    def mean(self, codes: Codes) -> Floats:
        """Returns the median latencies in milliseconds, shape (n,)."""
        cost = self.table.cost(codes)
        return cost * self._local(cost)[0]

    def predict(self, codes: Codes) -> tuple[Floats, Floats]:
        """Returns median latencies and their standard deviations (model error and session) in ms, shapes (n,)."""
        cost = self.table.cost(codes)
        factor, uncertainty = self._local(cost)
        mean = cost * factor
        return mean, mean * uncertainty * np.hypot(self._spreads(codes), self.jitter.sessions)

    def upper(self, codes: Codes, confidence: float, percentile: float = 50.0) -> Floats:
        """Returns upper bounds, at this confidence, of a percentile of the latency in milliseconds, shape (n,).

        The model error is bounded by the errors of predictions that were made without the sample, each in units of its
        own standard deviation, times the spread at this latency. Their quantile is the larger of two ranks: that of the
        errors, which assumes nothing (jackknife: Barber et al., 2021) but is a noisy figure among few of them, and that
        of their absolute values, of which twice as many lie beyond it. Without a calibration the bound is a normal
        quantile of the prior's spread. The scatter between sessions is added in quadrature; the scatter of runs is the
        measured factor of the percentile.

        Raises:
            UsageError: The calibration has too few samples for this confidence.
        """
        return self._bound(self.table.cost(codes), confidence) * self.jitter.factor(percentile)

    def limit_for_mean(self, limit: float, confidence: float, percentile: float = 50.0) -> float:
        """Returns the largest cost under `table` whose upper bound holds a limit, in milliseconds.

        Raises:
            UsageError: See `upper`.
        """
        target = limit / self.jitter.factor(percentile)

        def plain(target: float) -> float:
            low, high = 0.0, target
            for _ in range(_HALVINGS):
                middle = (low + high) / 2
                holds = middle * (1 + float(self._margins(np.array(middle), confidence))) <= target
                low, high = (middle, high) if holds else (low, middle)
            return low

        if not len(self.observed):
            return plain(target)
        candidates = np.linspace(plain(target / (1 + _MOST_LOCAL)), target / (1 - _MOST_LOCAL), 4001)
        return float(candidates[self._bound(candidates, confidence) <= target][-1])

    def chances(self, codes: Codes, limit: float, percentile: float = 50.0) -> Floats:
        """Returns the probabilities that networks hold a limit, shape (n,): 0 where it is less than one half.

        They are the highest confidences, in steps, at which `upper` holds the limit.
        """
        cost, target = self.table.cost(codes), limit / self.jitter.factor(percentile)
        levels = _LEVELS[self.most_confidence >= _LEVELS]
        held = sum((self._bound(cost, float(level)) <= target).astype(np.intp) for level in levels)
        return np.append(0.0, levels)[held]

    def with_observation(
        self, code: Codes, p50_ms: float, percentiles_ms: Mapping[float, float] | None = None
    ) -> CostModel:
        """Returns the model after one more network was measured, such as a candidate of the deploy loop.

        The error of the prediction for this network corrects the predictions within some 15 % of its latency, so that
        a similar network does not miss by the same amount. There, the margin shrinks to half, because networks of
        similar cost share much of their error. Without a calibration, the prior is scaled to the observations.
        (Refitting with the observation was tried: the regression attributes the error to the choices of this very
        network, and the next network misses again.)

        Args:
            code: Code of the network, shape (decisions,) or (1, decisions).
            p50_ms: Measured median of the network.
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
            self, table=features.priced(scale * weights), spread=Spread(_SHAPE_SPREAD), observed=observed, jitter=jitter
        )

    @property
    def most_confidence(self) -> float:
        """The highest confidence that `upper` can give; below 1."""
        return most_confidence(len(self.calibrated)) if len(self.calibrated) else math.nextafter(1.0, 0.0)

    @cached_property
    def accuracy(self) -> dict[str, float]:
        """Accuracy of the leave-one-out predictions, see `accuracy`; empty if there was no calibration."""
        return accuracy(self.calibrated.left_out_ms, self.calibrated.p50_ms) if len(self.calibrated) else {}

    @cached_property
    def _blend(self) -> Blend:
        samples = self.calibrated
        return Blend.of(self.shape, samples.codes, samples.p50_ms, self.trust)

    def _spreads(self, codes: Codes) -> Floats:
        """Returns the relative standard deviations of the model error, shape (n,)."""
        if not len(self.calibrated):
            return np.full(len(codes), self.spread.typical)
        parts = np.array_split(codes, max(1, len(codes) // _CHUNK))
        return np.concatenate([deviation / mean for mean, deviation in map(self._blend.predict, parts)])

    def _bound(self, cost: Floats, confidence: float) -> Floats:
        """Returns the upper bounds of the medians of networks with these costs under `table`."""
        factor, uncertainty = self._local(cost)
        return cost * factor * (1 + uncertainty * self._margins(cost, confidence))

    def margin(self, confidence: float) -> float:
        """Returns how far the upper bound of a typical median lies above the mean, as a share of the mean.

        Raises:
            UsageError: See `upper`.
        """
        return float(self._margins(np.array(self.spread.at_ms), confidence))

    def _margins(self, cost: Floats, confidence: float) -> Floats:
        """Returns how far the upper bounds lie above the mean, as shares of the mean, in the shape of the costs."""
        z = normal_quantile(confidence)
        if not len(self.calibrated):
            return np.expm1(z * np.hypot(self.spread.of(cost), self.jitter.sessions))
        sessions = max(self.jitter.sessions, _LEAST_SESSIONS)
        return np.hypot(most_error(self.calibrated.errors, confidence) * self.spread.of(cost), z * sessions)

    @cached_property
    def _observed_errors(self) -> tuple[Floats, Floats]:
        """Logarithms of the costs of observed networks, and the relative errors of the fit for them."""
        cost = self.table.cost(self.observed.codes)
        return np.log(cost), np.clip(self.observed.p50_ms / cost - 1, -_MOST_LOCAL, _MOST_LOCAL)

    def _local(self, cost: Floats) -> tuple[Floats, Floats]:
        """Returns the factors on the mean and on its uncertainty that follow from observed networks of similar cost."""
        if not len(self.observed):
            return np.ones_like(cost), np.ones_like(cost)
        at, error = self._observed_errors
        near = np.exp(-0.5 * ((np.log(cost)[:, None] - at) / _LOCAL_WIDTH) ** 2)
        weight = near.sum(1) + _LOCAL_DOUBT
        return 1 + near @ error / weight, np.sqrt(1 - _LOCAL_SHARE * near.sum(1) / weight)


def accuracy(predicted: Floats, measured: Floats) -> dict[str, float]:
    """Returns the number of samples, the shares within 5 % and 10 %, and the root mean square relative error."""
    errors = np.abs(predicted / measured - 1)
    return {
        "samples": float(len(errors)),
        "within_5_percent": float(np.mean(errors <= 0.05)),
        "within_10_percent": float(np.mean(errors <= 0.10)),
        "rmspe": float(np.sqrt(np.mean(errors**2))),
    }


def _empty(space: SearchSpace) -> Samples:
    none: NDArray[np.float64] = np.zeros(0)
    return Samples(np.zeros((0, len(space.decisions)), np.int8), none, none, none)
