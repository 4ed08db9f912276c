"""Cost model cards: cost models as JSON files with a hash, validated when they are read."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np

from nagsdk.common.reading import json_of
from nagsdk.cost.features import FEATURES, FeatureTable
from nagsdk.cost.model import CostModel, Samples
from nagsdk.cost.prior import Jitter, Prior, numbers_of
from nagsdk.cost.spread import MOST_EXPONENT, Spread
from nagsdk.cost.table import AdditiveTable
from nagsdk.errors import NagsdkError
from nagsdk.space.space import SearchSpace, extremes

FORMAT = "nagsdk-cost-model/3"
_SEAL = ', "sha256": "'
_COLUMNS = ("p50_ms", "left_out_ms", "left_out_sd_ms")
_LEAST_MS, _MOST_MS, _MOST_SPREAD, _MOST_SAMPLES = 1e-9, 1e9, 1000.0, 10_000
# Any calibration, however small, can give a bound at this confidence.
_LOW_CONFIDENCE = 0.5
_NEXT_STEP = "Calibrate the device again: nagsdk calibrate --device NAME."


def to_json(model: CostModel) -> str:
    """Returns the card of a model: everything that predictions and later fits need, with a SHA-256 of the content.

    Raises:
        NagsdkError: The model was fitted to a shape that does not come from its prior; a card cannot hold such a shape.
    """
    if model.shape.prices is None:
        raise NagsdkError(
            "A cost model that was fitted to pooled tables cannot be written as a card.", "Fit it to a prior."
        )
    content: dict[str, Any] = {
        "format": FORMAT,
        "space": model.space.fingerprint,
        "device": model.device,
        "source": model.source,
        "features": list(FEATURES),
        "spread": model.spread.typical,
        "spread_at_ms": model.spread.at_ms,
        "spread_exponent": model.spread.exponent,
        "trust": model.trust,
        "prior": {
            "weights_ms": model.prior.weights.tolist(),
            "directions_ms": model.prior.directions.tolist(),
            "spread": _finite(model.prior.spread),
            "jitter": model.prior.jitter.to_dict(),
            "threads": model.prior.threads,
            "source": dict(model.prior.source),
        },
        "jitter": model.jitter.to_dict(),
        "calibrated": _samples(model.space, model.calibrated),
        "observed": _samples(model.space, model.observed),
        "accuracy": model.accuracy,
        "facts": dict(model.facts),
        "table": {"base_ms": model.table.base.tolist(), "choice_ms": model.table.choice.tolist()},
    }
    body = json.dumps(content)[:-1]
    return f'{body}{_SEAL}{_hash(body)}"}}\n'


def from_json(text: str, space: SearchSpace, device: str | None = None) -> CostModel:
    """Reads a card.

    Args:
        text: Content of the card.
        space: Search space that the model must be for.
        device: Fingerprint of the device that the model must be for; any device if None.

    Raises:
        NagsdkError: The card is damaged, was changed, or belongs to another space, device or version.
    """
    try:
        content = json_of(text)
        body, _, _ = text.rpartition(_SEAL)
        if content["format"] != FORMAT or not _has_all(content["features"], space):
            raise NagsdkError("The cost model was fitted by another version of nagsdk.", _NEXT_STEP)
        if content["sha256"] != _hash(body):
            raise NagsdkError("The cost model was changed after it was written.", _NEXT_STEP)
        if content["space"] != space.fingerprint:
            raise NagsdkError("The cost model belongs to another search space.", _NEXT_STEP)
        if device is not None and content["device"] != device:
            raise NagsdkError(
                "The cost model was fitted on another device, or with another runtime or other settings.", _NEXT_STEP
            )
        return _model(content, space)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise NagsdkError(f"The cost model cannot be read: {error!r}.", _NEXT_STEP) from error


def _has_all(features: list[str], space: SearchSpace) -> bool:
    """Whether a card has the features of a space's layers, and only known ones."""
    needed = FeatureTable.of(space).typical > 0
    missing = {name for name, need in zip(FEATURES, needed, strict=True) if need} - {*features}
    return not missing and {*features} <= FEATURES.keys()


def _model(content: dict[str, Any], space: SearchSpace) -> CostModel:
    # The space has no layer with a feature that the version of the card did not know.
    known = content["features"]
    weights, *directions = (
        [dict(zip(known, row, strict=True)).get(name, 0.0) for name in FEATURES]
        for row in (content["prior"]["weights_ms"], *content["prior"]["directions_ms"])
    )
    prior = Prior.from_dict(weights, {**content["prior"], "directions_ms": directions})
    samples = _read_samples(space, content["calibrated"]), _read_samples(space, content["observed"])
    shape = (len(space.resolutions), len(space.rows), int(space.sizes.max()))
    base, choice = (content["table"][name] for name in ("base_ms", "choice_ms"))
    table = AdditiveTable(
        numbers_of(base, shape[:1], low=-_MOST_MS), numbers_of(choice, shape, low=-_MOST_MS), space.rows
    )
    facts, device = content["facts"], content["device"]
    if not isinstance(device, str) or not isinstance(facts, dict) or not _usable(facts):
        raise ValueError("device or facts are not valid")
    # Models of earlier versions have the same spread at every latency.
    spread = Spread(
        float(numbers_of(content["spread"], (), low=0.0, high=_MOST_SPREAD)),
        float(numbers_of(content.get("spread_at_ms", 1.0), (), low=_LEAST_MS)),
        float(numbers_of(content.get("spread_exponent", 0.0), (), low=-MOST_EXPONENT, high=MOST_EXPONENT)),
    )
    trust = float(numbers_of(content["trust"], (), low=0.0, high=1.0))
    jitter = Jitter.from_dict(content["jitter"])
    model = CostModel(space, device, prior, prior.on(space), table, spread, *samples, jitter, facts, trust)
    # Numbers that are valid one by one may still contradict each other.
    with np.errstate(all="ignore"):
        predicted = np.concatenate([*model.predict(extremes(space)), model.upper(extremes(space), _LOW_CONFIDENCE)])
    if not (np.isfinite(predicted).all() and (predicted >= 0).all()):
        raise ValueError("its predictions are not finite")
    return model


def _usable(facts: dict[str, Any]) -> bool:
    reference = facts.get("reference_ms")
    known = reference is None or (type(reference) in (int, float) and 0 < reference < _MOST_MS)
    return known and isinstance(facts.get("caveat", ""), str)


def _samples(space: SearchSpace, samples: Samples) -> list[dict[str, Any]]:
    columns = (samples.p50_ms, samples.left_out_ms, samples.left_out_sd_ms)
    rows = zip(space.decode(samples.codes), *(column.tolist() for column in columns), strict=True)
    return [dict(zip(("architecture", *_COLUMNS), (a.text, *values), strict=True)) for a, *values in rows]


def _read_samples(space: SearchSpace, rows: list[dict[str, Any]]) -> Samples:
    if len(rows) > _MOST_SAMPLES:
        raise ValueError("it has too many samples")
    codes = space.encode([space.parse(row["architecture"]) for row in rows])
    columns = (numbers_of([row[name] for row in rows], (len(rows),), low=_LEAST_MS) for name in _COLUMNS)
    return Samples(codes, *columns)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _hash(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
