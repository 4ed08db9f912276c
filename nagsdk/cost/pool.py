"""What processors with the same kernels have in common: a prior from one to three readings, or from a chip's name.

Processors that run the same kernels differ mostly by one factor. What is left is described by Gaussian terms, as in a
calibration: the logarithm of the latency of a network is the sum of the processor's scale, of what the prices of the
features say, of the network's own deviation from them, of deviations of the prices, and of noise. Prices and networks
deviate by chip (all cores of one design alike) and by processor. Scale and deviations follow from the readings in
closed form (Rasmussen and Williams, 2006, chapter 2). Errors on processors that were left out, in units of their own
standard deviation, say how much wider the bound must be (conformal prediction: Vovk et al., 2005).
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.common.reading import read_json
from nagsdk.common.validation import what_is_wrong
from nagsdk.cost.features import FEATURES
from nagsdk.cost.prior import Jitter, Prior, numbers_of
from nagsdk.cost.table import Floats
from nagsdk.errors import DeviceError, UsageError

FORMAT = "nagsdk-cpu-pool/2"
_MOST_BYTES = 10**6
# Scatter of single runs and of sessions of a phone that is cool; an estimate, because published readings hide it.
_JITTER = Jitter({90.0: 1.05}, 0.02)
# Standard deviations of logarithms: of the scale of a processor whose chip is not known, and of a reading's noise.
_ANY_SCALE, _NOISE = 30.0, 0.01
# Share of a price that is left at least, because deviations of prices are only small ones to first order.
_LEAST_PRICE = 0.2

# A network: its name in the catalogue, or None for one that no pool knows, and its features of shape (F,).
Network = tuple[str | None, Floats]


@dataclass(frozen=True)
class Spreads:
    """Standard deviations of the logarithms by which processors differ.

    Attributes:
        chip_prices: Of the prices, between chips.
        prices: Of the prices, between processors of one chip.
        chip_networks: Of the deviation of a network between chips, as a multiple of that between processors.
        unknown: Of the deviation of a network that the pool does not know.
        bound: Factor on all of them that makes bounds hold on processors that were left out.
    """

    chip_prices: float
    prices: float
    chip_networks: float
    unknown: float
    bound: float = 1.0


@dataclass(frozen=True)
class Known:
    """A network that the pool knows.

    Attributes:
        offset: Logarithm of its latency on a typical processor, less that of what the prices say.
        spread: Standard deviation of that between processors of one chip.
        doubt: Standard deviation of the error of `offset` itself.
    """

    offset: float
    spread: float
    doubt: float


@dataclass(frozen=True)
class Chip:
    """What cores of one design have in common with these kernels.

    Attributes:
        processors: Number of processors that tell it.
        cycles: Logarithm of the scale times the frequency in GHz; None where no frequency is known.
        prices: Deviation of the price of every feature, as a share of the price, shape (F,).
        networks: Deviation of networks, beyond that of the prices.
    """

    processors: int
    cycles: float | None
    prices: Floats
    networks: Mapping[str, float]


@dataclass(frozen=True)
class Precision:
    """What another number format costs with the same kernels, from the few readings that were published.

    Attributes:
        ratio: Logarithm of the ratio of its latencies to those in float32.
        spread: Standard deviation of that ratio over networks and processors.
    """

    ratio: float
    spread: float


@dataclass(frozen=True)
class Scale:
    """What a chip's name and frequency say of the scale of a processor.

    Attributes:
        log: Logarithm of the scale.
        spread: Standard deviation of its error.
        title: What it rests on, for people.
    """

    log: float
    spread: float
    title: str = ""


@dataclass(frozen=True)
class Kernels:
    """One kind of kernels, such as XNNPACK, on many processors.

    Attributes:
        title: What it is, for people.
        weights: Milliseconds per unit of every feature on a typical processor, shape (F,).
        networks: The networks that the pool knows, by their names in the catalogue.
        chips: The chips that the pool knows, by the name of the core.
        spreads: By how much processors differ.
        precisions: Other number formats than float32.
        source: What it was fitted to.
        unknown: Features whose price is not known; their weight is 0 and means nothing.
    """

    title: str
    weights: Floats
    networks: Mapping[str, Known]
    chips: Mapping[str, Chip]
    spreads: Spreads
    precisions: Mapping[str, Precision]
    source: Mapping[str, Any]
    unknown: tuple[str, ...] = ()

    def prior(
        self,
        readings: Iterable[tuple[str, Floats, float]],
        chip: str | None = None,
        scale: Scale | None = None,
        network: Network | None = None,
    ) -> Prior:
        """Returns the prior of a processor, for one thread and one image.

        Args:
            readings: Name of a network, its features, and its latency in milliseconds.
            chip: One of `chips`, whose prices and networks the processor shares.
            scale: What is known of the scale without the readings.
            network: The only network that the prior is for; any network if None.

        Raises:
            UsageError: There is no reading, and the scale is not known either.
        """
        given = list(readings)
        if not given and scale is None:
            raise UsageError(
                "A device needs at least one reading, or a chip whose speed is known.",
                "Give one: --reading mobilenet_v3_large=7.7ms, or --chip 'Cortex-A76 2.4 GHz'.",
            )
        known = self.chips.get(chip) if chip else None
        start = scale or Scale(0.0, _ANY_SCALE, "")
        read: list[Network] = [(name, features) for name, features, _ in given]
        own = network or (None, np.mean([features for _, features in read] or [self._typical], axis=0))
        both = [*read, own]
        covariance = self._covariance(both, known) + start.spread**2
        shares = self._shares(read)
        error = np.array([math.log(ms) for *_, ms in given]) - self._means(read, known) - start.log
        gain = np.linalg.solve(covariance[:-1, :-1] + _NOISE**2 * np.eye(len(read)), covariance[:-1, -1])
        mean = float(self._means([own], known)[0] + start.log + gain @ error)
        variance = max(float(covariance[-1, -1] - gain @ covariance[:-1, -1]), 0.0)
        # The same regression gives the prices; their scale is that of the network that the prior is for.
        dual = np.linalg.solve(covariance[:-1, :-1] + _NOISE**2 * np.eye(len(read)), error)
        moved = (self._price_variance(known) * (dual @ shares) if read else 0.0) + (known.prices if known else 0.0)
        weights = self.weights * np.maximum(1 + moved, _LEAST_PRICE)
        weights = weights * (math.exp(mean) / float(own[1] @ weights))
        counted = f"{len(given)} reading{'s' * (len(given) > 1)}" if given else start.title
        source = {"title": f"{counted} with {self.title}", **self.source}
        return Prior(weights, self.spreads.bound * math.sqrt(variance), _JITTER, 1, source, unknown=self.unknown)

    def in_precision(self, prior: Prior, precision: str) -> Prior:
        """Returns a prior in float32 for another number format, wider by what is not known of the ratio.

        Raises:
            KeyError: Nothing is known of this number format.
        """
        other = self.precisions[precision]
        title = f"{prior.source['title']}, and a published ratio of {precision} to fp32 of {math.exp(other.ratio):.2f}"
        return replace(
            prior,
            weights=prior.weights * math.exp(other.ratio),
            spread=math.hypot(prior.spread, other.spread),
            source={**prior.source, "title": title},
        )

    @property
    def _typical(self) -> Floats:
        """Features of some network without a name; only their proportions matter."""
        return np.divide(1.0, self.weights, out=np.zeros_like(self.weights), where=self.weights > 0)

    def _shares(self, networks: Sequence[Network]) -> Floats:
        """Shares of the features in the latencies of networks, shape (n, F)."""
        costs = np.array([features * self.weights for _, features in networks]).reshape(-1, len(FEATURES))
        shares: Floats = costs / costs.sum(1, keepdims=True)
        return shares

    def _means(self, networks: Sequence[Network], chip: Chip | None) -> Floats:
        """Logarithms of the latencies of networks at a scale of 1, shape (n,)."""
        means = self._shares(networks) @ (np.zeros(len(FEATURES)) if chip is None else chip.prices)
        for number, (name, features) in enumerate(networks):
            known = self.networks.get(name or "")
            means[number] += math.log(float(features @ self.weights)) + (known.offset if known else 0.0)
            means[number] += chip.networks.get(name or "", 0.0) if chip else 0.0
        return means

    def _covariance(self, networks: Sequence[Network], chip: Chip | None) -> Floats:
        """Covariance of the deviations of networks on a processor, without that of the scale, shape (n, n)."""
        shares = self._shares(networks)
        own = self._unknown_share(chip) * self.spreads.chip_networks**2 + 1
        variances = []
        for name, _ in networks:
            known = self.networks.get(name or "")
            variances.append(self.spreads.unknown**2 if known is None else own * known.spread**2 + known.doubt**2)
        same = np.array(
            [
                [a == b and (a is not None or i == j) for j, (b, _) in enumerate(networks)]
                for i, (a, _) in enumerate(networks)
            ]
        )
        covariance: Floats = self._price_variance(chip) * shares @ shares.T
        covariance += same * np.sqrt(np.outer(variances, variances))
        return covariance

    def _price_variance(self, chip: Chip | None) -> float:
        return self.spreads.prices**2 + self._unknown_share(chip) * self.spreads.chip_prices**2

    @staticmethod
    def _unknown_share(chip: Chip | None) -> float:
        """Share of the variance between chips that the processors of a chip leave unknown."""
        return 1 / (1 + (chip.processors if chip else 0))


def to_json(pool: Mapping[str, Kernels]) -> str:
    """Returns the content of the file of a pool."""

    def prices(values: Floats) -> dict[str, float]:
        return dict(zip(FEATURES, np.round(values, 7).tolist(), strict=True))

    kernels = {}
    for name, one in pool.items():
        chips = {core: {**asdict(chip), "prices": prices(chip.prices)} for core, chip in one.chips.items()}
        kernels[name] = {**asdict(one), "weights": prices(one.weights), "chips": chips}
    return json.dumps({"format": FORMAT, "kernels": kernels}, indent=1) + "\n"


@cache
def read_pool(path: Path) -> Mapping[str, Kernels]:
    """Reads the shipped pool.

    Raises:
        DeviceError: The file is missing, or is not a pool of this version.
    """
    try:
        content = read_json(path, _MOST_BYTES)
        if content["format"] != FORMAT:
            raise ValueError("it has another format")
        known = {name for values in content["kernels"].values() for name in values["weights"]}
        later = frozenset(FEATURES) - known
        return {name: _kernels(values, later) for name, values in content["kernels"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeviceError(f"The pool {path} cannot be read: {what_is_wrong(error)}.", "Reinstall nagsdk.") from error


def _kernels(values: Mapping[str, Any], later: Collection[str]) -> Kernels:
    """Reads kernels; `later` are the features that came after the file was made, whose prices are unknown."""

    def prices(known: Mapping[str, Any], low: float = 0.0) -> Floats:
        found = [0.0 if name in later else known[name] for name in FEATURES]
        return numbers_of(found, (len(FEATURES),), low=low)

    def number(value: Any) -> float:
        return float(numbers_of(value, (), low=-_ANY_SCALE, high=_ANY_SCALE))

    def numbers(known: Mapping[str, Any]) -> dict[str, float]:
        return {name: number(value) for name, value in known.items()}

    chips = {
        core: Chip(
            int(chip["processors"]),
            None if chip["cycles"] is None else number(chip["cycles"]),
            prices(chip["prices"], low=-1.0),
            numbers(chip["networks"]),
        )
        for core, chip in values["chips"].items()
    }
    return Kernels(
        str(values["title"]),
        prices(values["weights"]),
        {name: Known(**numbers(known)) for name, known in values["networks"].items()},
        chips,
        Spreads(**numbers(values["spreads"])),
        {name: Precision(**numbers(known)) for name, known in values["precisions"].items()},
        dict(values["source"]),
        tuple(name for name in FEATURES if name in values["unknown"] or name in later),
    )
