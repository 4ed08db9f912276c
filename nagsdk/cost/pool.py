"""What processors with the same kernels have in common: a prior from one to three published or own readings.

Processors that run the same kernels differ mostly by one factor: over single-threaded ARM, x86 and RISC-V cores from
1.0 to 4 GHz, prices of features that were fitted once and scaled by a single reading of one network predict others
within a few per cent (docs/phones.md has the figures). So a reading fixes the scale, more readings fix it better, and
what is left is bounded by the errors on processors that were left out (conformal prediction: Vovk et al., 2005).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
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

FORMAT = "nagsdk-cpu-pool/1"
_MOST_BYTES = 10**6
# Scatter of single runs and of sessions of a phone that is cool; an estimate, because published readings hide it.
_JITTER = Jitter({90.0: 1.05}, 0.02)


@dataclass(frozen=True)
class Kernels:
    """One kind of kernels, such as XNNPACK, on many processors.

    Attributes:
        title: What it is, for people.
        weights: Milliseconds per unit of every feature on a typical processor, shape (F,).
        networks: Ratio of the latency of a catalogue network to the one that the weights give, in the middle of the
            processors; 1 for networks that are missing.
        spread: Standard deviation of the logarithm of the error on networks that the pool does not know, after one to
            three readings of another one.
        known_spread: The same for the networks of `networks`.
        source: What it was fitted to.
    """

    title: str
    weights: Floats
    networks: Mapping[str, float]
    spread: float
    known_spread: float
    source: Mapping[str, Any]

    def scale(self, readings: Iterable[tuple[str, Floats, float]]) -> tuple[float, int]:
        """Returns how many times slower a processor is than the typical one, and the number of readings.

        Args:
            readings: Name of a network, its features of shape (F,), and its latency in milliseconds.

        Raises:
            UsageError: There is no reading.
        """
        ratios = [math.log(ms / self.expected(name, features)) for name, features, ms in readings]
        if not ratios:
            raise UsageError("A device needs at least one reading.", "Give one: --reading mobilenet_v3_large=7.7ms.")
        return math.exp(float(np.median(ratios))), len(ratios)

    def expected(self, name: str, features: Floats) -> float:
        """Returns the latency of a catalogue network on the typical processor, in milliseconds."""
        return float(features @ self.weights) * self.networks.get(name, 1.0)

    def prior(self, readings: Iterable[tuple[str, Floats, float]]) -> Prior:
        """Returns the prior of a processor, for one thread; see `scale`."""
        scale, count = self.scale(readings)
        source = {"title": f"{count} reading{'s' * (count > 1)} with {self.title}", **self.source}
        return Prior(self.weights * scale, self.spread, _JITTER, 1, source)


def to_json(pool: Mapping[str, Kernels]) -> str:
    """Returns the content of the file of a pool."""
    kernels = {
        name: {**asdict(one), "weights": dict(zip(FEATURES, one.weights.tolist(), strict=True))}
        for name, one in pool.items()
    }
    return json.dumps({"format": FORMAT, "kernels": kernels}, indent=2) + "\n"


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
        return {name: _kernels(values) for name, values in content["kernels"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeviceError(f"The pool {path} cannot be read: {what_is_wrong(error)}.", "Reinstall nagsdk.") from error


def _kernels(values: Mapping[str, Any]) -> Kernels:
    return Kernels(
        str(values["title"]),
        numbers_of([values["weights"][name] for name in FEATURES], (len(FEATURES),)),
        {str(name): float(ratio) for name, ratio in values["networks"].items()},
        float(values["spread"]),
        float(values["known_spread"]),
        dict(values["source"]),
    )
