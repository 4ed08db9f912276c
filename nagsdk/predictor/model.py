"""The accuracy predictor: predicts the top-1 of an architecture, with an interval, without training it.

An ensemble of small networks predicts the linked top-1 (see `nagsdk.predictor.additive`) from the one-hot encoding.
Inference needs only numpy.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from nagsdk.common.files import write_atomically
from nagsdk.errors import DamagedBundleError
from nagsdk.predictor.additive import AdditiveScore, with_unmeasured
from nagsdk.predictor.ensemble import Ensemble, Float32s
from nagsdk.predictor.features import Floats
from nagsdk.space.space import Codes, SearchSpace

FORMAT = 2
LEVEL = 0.9
PREDICTOR_WEIGHTS, CARD = "predictor.safetensors", "predictor.json"
_MOST_WEIGHTS, _MOST_CARD = 64 * 10**6, 10**6
_CHUNK = 8192


@dataclass(frozen=True)
class AccuracyPrediction:
    """Predictions for n architectures; every array has shape (n,).

    Attributes:
        mean: Predicted top-1 in per cent.
        low: Lower end of the 90 % interval for a measured top-1.
        high: Upper end of the interval.
        extrapolated: Whether the resolution was not measured, or the architecture is farther from the measured ones
            than 99 % of the left-out architectures are from the others.
    """

    mean: Floats
    low: Floats
    high: Floats
    extrapolated: NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """Width of the 90 % interval.

    The half-width in points of top-1 is scale · sqrt(spread² + floor² + (distance · leverage)²), where spread is the
    standard deviation of the members in points, and leverage is a measure of the distance from the measured
    architectures.

    Attributes:
        scale: Factor of the whole half-width.
        floor: Constant term, in points of top-1.
        distance: Term of the distance at a leverage of 1, in points of top-1.
    """

    scale: float
    floor: float
    distance: float

    def half_width(self, spread: Floats, leverage: Floats) -> Floats:
        """Computes half-widths in points, shape (n,), from spreads in points and leverages."""
        result: Floats = self.scale * np.sqrt(spread**2 + self.floor**2 + (self.distance * leverage) ** 2)
        return result


@dataclass(frozen=True)
class Resolutions:
    """Parameters of each resolution in top1 = asymptote - steepness · exp(-output).

    Attributes:
        asymptote: Asymptote in per cent, shape (resolutions,).
        steepness: Factor, shape (resolutions,); 1 for resolutions that the ensemble itself was fitted on.
        doubt: Points that are added in quadrature to the half-width of the interval, shape (resolutions,).
        measured: Whether top-1 was measured at the resolution, shape (resolutions,).
    """

    asymptote: Floats
    steepness: Floats
    doubt: Floats
    measured: NDArray[np.bool_]


class AccuracyPredictor:
    """Predicts the top-1 of architectures of one space.

    Args:
        space: Search space of the architectures.
        ensemble: Networks that read one-hot rows of the space.
        resolutions: Parameters of each resolution.
        interval: Width of the 90 % interval.
        leverage: Matrix that turns a one-hot row into a vector whose squared length is the leverage of the row in a
            ridge regression on the measured architectures: its distance from them in directions that they do not cover.
                Shape
            (space.one_hot_width, features).
        reach: Largest leverage that does not count as extrapolation.
        additive: Additive score whose exact frontier generators learn.
        card: Data and accuracy of the predictor, which can be written as JSON. The entry `warnings` is shown to users
            of extrapolated predictions.
    """

    def __init__(
        self,
        space: SearchSpace,
        ensemble: Ensemble,
        resolutions: Resolutions,
        interval: Interval,
        leverage: Float32s,
        reach: float,
        additive: AdditiveScore,
        card: Mapping[str, Any],
    ) -> None:
        self.space, self.ensemble, self.resolutions, self.interval = space, ensemble, resolutions, interval
        self.leverage, self.reach, self.additive, self.card = leverage, reach, additive, card

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings that users of extrapolated predictions must see."""
        return tuple(self.card.get("warnings", ()))

    @cached_property
    def hash(self) -> str:
        """First 16 hexadecimal digits of a SHA-256 that changes whenever the predictions do."""
        digest = hashlib.sha256(self.space.fingerprint.encode())
        for name, array in sorted(self._arrays().items()):
            digest.update(f"{name}{array.shape}{array.dtype}".encode() + array.tobytes())
        return digest.hexdigest()[:16]

    def with_resolutions(self, resolutions: Resolutions, codes: Codes) -> AccuracyPredictor:
        """Returns the predictor with other parameters of the resolutions, such as values taken from a publication.

        Args:
            resolutions: Parameters that replace those of the predictor.
            codes: Codes of the measured architectures, to which the additive score of unmeasured resolutions is fitted.
        """
        changed = AccuracyPredictor(
            self.space, self.ensemble, resolutions, self.interval, self.leverage, self.reach, self.additive, self.card
        )
        changed.additive = with_unmeasured(
            self.additive, lambda c: changed.predict(c).mean, codes, np.flatnonzero(~resolutions.measured)
        )
        return changed

    def predict(self, codes: Codes) -> AccuracyPrediction:
        """Predicts the top-1 of architectures, more than 10^5 per second.

        Args:
            codes: Valid codes of the space, int8, shape (n, decisions).
        """
        parts = [self._predict(codes[i : i + _CHUNK]) for i in range(0, max(len(codes), 1), _CHUNK)]
        return AccuracyPrediction(
            *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(AccuracyPrediction))
        )

    def _predict(self, codes: Codes) -> AccuracyPrediction:
        rows, r = self.space.one_hot(codes), codes[:, 0]
        outputs = self.ensemble(rows)
        gap = self.resolutions.steepness[r] * np.exp(-outputs.mean(1))
        mean = self.resolutions.asymptote[r] - gap
        leverage = np.square(rows @ self.leverage).sum(1).astype(np.float64)
        half = np.hypot(self.interval.half_width(gap * outputs.std(1), leverage), self.resolutions.doubt[r])
        mean, low, high = (np.clip(top1, 0.0, 100.0) for top1 in (mean, mean - half, mean + half))
        return AccuracyPrediction(mean, low, high, (leverage > self.reach) | ~self.resolutions.measured[r])

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays = {f"ensemble.{f.name}": getattr(self.ensemble, f.name) for f in fields(Ensemble)}
        arrays |= {f"resolutions.{f.name}": getattr(self.resolutions, f.name) for f in fields(Resolutions)}
        arrays |= {"leverage": self.leverage, "additive.table": self.additive.table}
        interval = (self.interval.scale, self.interval.floor, self.interval.distance)
        numbers = (*interval, self.reach, self.additive.base, self.additive.asymptote)
        return {name: np.ascontiguousarray(array) for name, array in {**arrays, "numbers": np.array(numbers)}.items()}

    def save(self, folder: Path) -> None:
        """Writes predictor.safetensors and predictor.json, each atomically.

        Raises:
            OutputError: The folder cannot be written.
        """
        content = save_tensors(self._arrays())
        header = {"format": FORMAT, "space": self.space.fingerprint, "sha256": hashlib.sha256(content).hexdigest()}
        write_atomically(folder / PREDICTOR_WEIGHTS, content)
        write_atomically(
            folder / CARD, (json.dumps({**self.card, **header}, indent=1, ensure_ascii=False) + "\n").encode()
        )

    @classmethod
    def load(cls, folder: Path, space: SearchSpace) -> AccuracyPredictor:
        """Reads the files that `save` wrote.

        Raises:
            DamagedBundleError: A file is missing, damaged, changed or too large, or belongs to another space.
        """
        try:
            text, content = (
                _read(folder / name, most) for name, most in ((CARD, _MOST_CARD), (PREDICTOR_WEIGHTS, _MOST_WEIGHTS))
            )
            card = json.loads(text)
            if card["format"] != FORMAT:
                raise ValueError(f"its format {card['format']!r} is unknown")
            if card["space"] != space.fingerprint:
                raise ValueError("it was fitted for another search space")
            if card["sha256"] != hashlib.sha256(content).hexdigest():
                raise ValueError("the weights do not match the hash on the card")
            if not all(isinstance(warning, str) for warning in card.get("warnings", [])):
                raise ValueError("the warnings on the card are not a list of strings")
            return cls._built(space, load_tensors(content), card)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedBundleError(
                f"The accuracy predictor in {folder} cannot be used: {error}.",
                "Install nagsdk again, or fit the predictor again.",
            ) from error

    @classmethod
    def _built(cls, space: SearchSpace, arrays: dict[str, NDArray[Any]], card: dict[str, Any]) -> AccuracyPredictor:
        ensemble = Ensemble(**{f.name: arrays[f"ensemble.{f.name}"] for f in fields(Ensemble)})
        ensemble.check(space.one_hot_width)
        count = len(space.resolutions)
        wanted: dict[str, tuple[tuple[int, ...], str]] = {
            f"resolutions.{f.name}": ((count,), "bool" if f.name == "measured" else "float64")
            for f in fields(Resolutions)
        }
        wanted |= {
            "additive.table": ((len(space.sizes), int(space.sizes.max())), "float64"),
            "numbers": ((6,), "float64"),
        }
        wanted |= {"leverage": ((space.one_hot_width, arrays["leverage"].shape[-1]), "float32")}
        for name, (shape, kind) in wanted.items():
            if arrays[name].shape != shape or arrays[name].dtype != kind:
                raise ValueError(
                    f"{name} has shape {arrays[name].shape} and type {arrays[name].dtype}, not {shape} and {kind}"
                )
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("a number is not finite")
        scale, floor, distance, reach, base, asymptote = arrays["numbers"].tolist()
        resolutions = Resolutions(**{f.name: arrays[f"resolutions.{f.name}"] for f in fields(Resolutions)})
        additive = AdditiveScore(base, arrays["additive.table"], asymptote)
        return cls(
            space, ensemble, resolutions, Interval(scale, floor, distance), arrays["leverage"], reach, additive, card
        )


def _read(path: Path, most: int) -> bytes:
    if path.stat().st_size > most:
        raise ValueError(f"{path.name} has more than {most} bytes")
    return path.read_bytes()
