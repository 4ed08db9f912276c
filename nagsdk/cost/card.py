"""Cost model cards: cost models as JSON files with a hash, validated when they are read."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np

from nagsdk.cost.features import FEATURES
from nagsdk.cost.model import CostModel, Samples
from nagsdk.cost.prior import Jitter, Prior
from nagsdk.cost.table import AdditiveTable
from nagsdk.errors import NagsdkError
from nagsdk.space.space import SearchSpace

FORMAT = "nagsdk-cost-model/2"
_SEAL = ', "sha256": "'
_COLUMNS = ("p50_ms", "left_out_ms", "left_out_sd_ms")
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
        "spread": model.spread,
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
        content = json.loads(text)
        body, _, _ = text.rpartition(_SEAL)
        if content["format"] != FORMAT or content["features"] != list(FEATURES):
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
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NagsdkError(f"The cost model cannot be read: {error!r}.", _NEXT_STEP) from error


def _model(content: dict[str, Any], space: SearchSpace) -> CostModel:
    values = content["prior"]
    prior = Prior(
        np.array(values["weights_ms"]),
        math.inf if values["spread"] is None else values["spread"],
        Jitter.from_dict(values["jitter"]),
        values["threads"],
        values["source"],
        np.array(values["directions_ms"], dtype=np.float64).reshape(-1, len(FEATURES)),
    )
    samples = _read_samples(space, content["calibrated"]), _read_samples(space, content["observed"])
    table = AdditiveTable(np.array(content["table"]["base_ms"]), np.array(content["table"]["choice_ms"]))
    return CostModel(
        space,
        content["device"],
        prior,
        prior.on(space),
        table,
        content["spread"],
        *samples,
        Jitter.from_dict(content["jitter"]),
        content["facts"],
    )


def _samples(space: SearchSpace, samples: Samples) -> list[dict[str, Any]]:
    columns = (samples.p50_ms, samples.left_out_ms, samples.left_out_sd_ms)
    rows = zip(space.decode(samples.codes), *(column.tolist() for column in columns), strict=True)
    return [dict(zip(("architecture", *_COLUMNS), (a.text, *values), strict=True)) for a, *values in rows]


def _read_samples(space: SearchSpace, rows: list[dict[str, Any]]) -> Samples:
    codes = space.encode([space.parse(row["architecture"]) for row in rows])
    p50, left_out, deviation = (np.array([row[name] for row in rows], float) for name in _COLUMNS)
    return Samples(codes, p50, left_out, deviation)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _hash(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
