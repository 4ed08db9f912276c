"""The accuracy predictor: predicts the top-1 of an architecture, with an interval, without training it.

An ensemble of small networks predicts the linked top-1 (see `nagsdk.predictor.additive`) from the one-hot encoding.
Inference needs only numpy.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as save_tensors

from nagsdk.common.files import write_atomically
from nagsdk.common.reading import json_of, read_bytes
from nagsdk.common.tensors import check_arrays, read_tensors
from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import DamagedBundleError
from nagsdk.predictor.additive import AdditiveScore, with_unmeasured
from nagsdk.predictor.ensemble import Ensemble, Float32s
from nagsdk.predictor.features import Floats
from nagsdk.predictor.losses import Loss, all_losses
from nagsdk.space.space import Codes, SearchSpace, extremes

FORMAT = 2
LEVEL = 0.9
PREDICTOR_WEIGHTS, CARD = "predictor.safetensors", "predictor.json"
_MOST_WEIGHTS, _MOST_CARD = 64 * 10**6, 10**6
_CHUNK, _TRIED, _MOST_OF_CHOSEN = 8192, 64, 100


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

    @property
    def optimism(self) -> float:
        """Points by which the predicted top-1 is too high for an architecture that was chosen for it."""
        # The cards of earlier versions have a text.
        known = self.card.get("optimism")
        return float(known["points"]) if isinstance(known, dict) else 0.0

    @property
    def front_factor(self) -> float:
        """Factor of the half-widths of architectures that were chosen, which lie on the predicted front."""
        # The cards of earlier versions have none.
        known = self.card.get("front")
        return float(known["factor"]) if isinstance(known, dict) else 1.0

    def loss(self, precision: str, scheme: str = "") -> Loss | None:
        """What is known about the accuracy that networks lose; None if nothing is. For the arguments see `Loss.of`."""
        return Loss.of(self.card, precision, scheme)

    @cached_property
    def hash(self) -> str:
        """First 16 hexadecimal digits of a SHA-256 that changes with the predictions; `moved` keeps it."""
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

    def moved(self, offset: float, doubt: float) -> AccuracyPredictor:
        """Returns the predictor of the top-1 on other images, which differs by an uncertain constant.

        Args:
            offset: Points of top-1 that are added to every prediction.
            doubt: Points that are added in quadrature to the half-width of every interval.
        """
        known = self.resolutions
        resolutions = replace(known, asymptote=known.asymptote + offset, doubt=np.hypot(known.doubt, doubt))
        additive = replace(self.additive, asymptote=self.additive.asymptote + offset)
        changed = AccuracyPredictor(
            self.space, self.ensemble, resolutions, self.interval, self.leverage, self.reach, additive, self.card
        )
        # A constant changes no order of architectures, so what was trained for the predictor remains valid.
        changed.hash = self.hash
        return changed

    def of_chosen(self, codes: Codes) -> AccuracyPrediction:
        """Predicts the top-1 of architectures that were chosen for their predicted top-1.

        It is less by `optimism`, and half-widths are those of the predicted front.

        Args:
            codes: Valid codes of the space, int8, shape (n, decisions).
        """
        return self._in_parts(codes, self.optimism, self.front_factor)

    def predict(self, codes: Codes) -> AccuracyPrediction:
        """Predicts the top-1 of architectures, more than 10^5 per second.

        Args:
            codes: Valid codes of the space, int8, shape (n, decisions).
        """
        return self._in_parts(codes, 0.0, 1.0)

    def _in_parts(self, codes: Codes, lower: float, factor: float) -> AccuracyPrediction:
        parts = [self._predict(codes[i : i + _CHUNK], lower, factor) for i in range(0, max(len(codes), 1), _CHUNK)]
        return AccuracyPrediction(
            *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(AccuracyPrediction))
        )

    def _predict(self, codes: Codes, lower: float, factor: float) -> AccuracyPrediction:
        rows, r = self.space.one_hot(codes), codes[:, 0]
        outputs = self.ensemble(rows)
        gap = self.resolutions.steepness[r] * np.exp(-outputs.mean(1))
        mean = self.resolutions.asymptote[r] - gap - lower
        leverage = np.square(rows @ self.leverage).sum(1).astype(np.float64)
        spread = gap * outputs.std(1)
        half = np.hypot(factor * self.interval.half_width(spread, leverage), self.resolutions.doubt[r])
        mean, low, high = (np.clip(top1, 0.0, 100.0) for top1 in (mean, mean - half, mean + half))
        beyond = (leverage > self.reach) | ~self.resolutions.measured[r]
        return AccuracyPrediction(mean, low, high, beyond)

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
        where = CARD
        try:
            card = _card(read_bytes(folder / CARD, _MOST_CARD), space)
            where = PREDICTOR_WEIGHTS
            content = read_bytes(folder / PREDICTOR_WEIGHTS, _MOST_WEIGHTS)
            if card["sha256"] != hashlib.sha256(content).hexdigest():
                raise ValueError(f"it does not match the hash in {CARD}")
            predictor = cls._built(space, read_tensors(content)[0], card)
            predictor._try()
            return predictor
        except (OSError, ValueError) as error:
            raise DamagedBundleError(
                f"The accuracy predictor in {folder} cannot be used: {where}: {what_is_wrong(error)}.",
                "Install nagsdk again, or fit the predictor again.",
            ) from error

    def _try(self) -> None:
        """Raises a ValueError if some architectures get no usable prediction, though every array is usable."""
        codes = np.concatenate([extremes(self.space), self.space.sample(_TRIED, np.random.default_rng(0))])
        with np.errstate(all="ignore"):
            found, score = self.predict(codes), self.additive.score(codes)
            values = [found.mean, found.low, found.high, score, self.additive.inverse(score)]
        if not all(np.isfinite(value).all() for value in values) or (found.low > found.high).any():
            raise ValueError("it predicts no numbers")

    @classmethod
    def _built(cls, space: SearchSpace, arrays: dict[str, NDArray[Any]], card: dict[str, Any]) -> AccuracyPredictor:
        second, leverage = arrays.get("ensemble.second"), arrays.get("leverage")
        if second is None or second.ndim != len("MHH") or leverage is None or leverage.ndim != len("IF"):
            raise ValueError("ensemble.second or leverage is missing or has another number of dimensions")
        count = len(space.resolutions)
        shapes = Ensemble.shapes(space.one_hot_width, *second.shape[:2])
        wanted: dict[str, tuple[tuple[int, ...], str]] = {
            f"ensemble.{name}": (shape, "float32") for name, shape in shapes.items()
        }
        wanted |= {
            f"resolutions.{f.name}": ((count,), "bool" if f.name == "measured" else "float64")
            for f in fields(Resolutions)
        }
        wanted |= {
            "additive.table": ((len(space.sizes), int(space.sizes.max())), "float64"),
            "numbers": ((6,), "float64"),
            "leverage": ((space.one_hot_width, leverage.shape[-1]), "float32"),
        }
        check_arrays(arrays, wanted)
        ensemble = Ensemble(**{name: arrays[f"ensemble.{name}"] for name in shapes})
        scale, floor, distance, reach, base, asymptote = arrays["numbers"].tolist()
        if min(scale, floor, distance, reach, arrays["resolutions.doubt"].min()) < 0 or asymptote <= 0:
            raise ValueError("a width, a distance or the asymptote is negative")
        resolutions = Resolutions(**{f.name: arrays[f"resolutions.{f.name}"] for f in fields(Resolutions)})
        additive = AdditiveScore(base, arrays["additive.table"], asymptote)
        return cls(
            space, ensemble, resolutions, Interval(scale, floor, distance), arrays["leverage"], reach, additive, card
        )


def _card(content: bytes, space: SearchSpace) -> dict[str, Any]:
    card = json_of(content)
    if not isinstance(card, dict):
        raise ValueError("it is not a JSON object")
    if card.get("format") != FORMAT:
        raise ValueError(f"its format {card.get('format')!r} is unknown")
    if card.get("space") != space.fingerprint:
        raise ValueError("it was fitted for another search space")
    warnings = card.get("warnings", [])
    if not isinstance(warnings, list) or not all(isinstance(warning, str) for warning in warnings):
        raise ValueError("the warnings on the card are not a list of strings")
    # The cards of earlier versions have a text for `optimism`, and nothing for `front`.
    for key, name, low in (("optimism", "points", 0), ("front", "factor", 1)):
        entry = card.get(key)
        number = entry.get(name) if isinstance(entry, dict) else low
        if not isinstance(number, int | float) or not low <= number <= _MOST_OF_CHOSEN:
            raise ValueError(f"{key}.{name} is not a number from {low} to {_MOST_OF_CHOSEN}")
    all_losses(card)
    if not isinstance(card.get("sha256"), str) or not isinstance(card.get("doubt") or "", str):
        raise ValueError("its sha256 or its doubt is not a text")
    return card
