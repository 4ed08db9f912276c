"""Fits the accuracy predictor of the `imagenet` bundle.

    python recipes/imagenet_predictor.py --data DIR --output bundles/imagenet

DIR contains ofa_mbv3_w1.0_imagenet_top1.csv (measured on ImageNet at 224 px; IntelLabs/DyNAS-T, Apache-2.0) and
ofa_mbv3_w1.0_predicted_top1_by_resolution.csv (predictions for random architectures at five resolutions by the accuracy
predictor that was released with Once-for-All; mit-han-lab/once-for-all, MIT). The second file is used only to find how
much accuracy is lost below 224 px. Takes about two minutes on one core; the same seed gives the same files.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator

from nagsdk.events import Advanced, Event
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from nagsdk.families.mobilenet_v3.table import read_architectures
from nagsdk.predictor.additive import fit_asymptote, inverse, ridge
from nagsdk.predictor.features import Floats, feature_map
from nagsdk.predictor.fit import fit_predictor
from nagsdk.predictor.groups import folds
from nagsdk.predictor.model import AccuracyPredictor, Resolutions
from nagsdk.space.space import Codes

MEASURED, BY_RESOLUTION = "ofa_mbv3_w1.0_imagenet_top1.csv", "ofa_mbv3_w1.0_predicted_top1_by_resolution.csv"
MEASURED_AT = 224
SOURCE = (
    "1,819 evaluations of Once-for-All MobileNetV3 (width 1.0) subnets on the ImageNet-1k validation set at 224 px, "
    "four search runs: IntelLabs/DyNAS-T, notebooks/data, Apache-2.0"
)
SECOND_HAND = (
    "Accuracy at resolutions other than 224 px is second-hand: nothing was measured there. It is the prediction at "
    "224 px less a loss whose shape comes from the accuracy predictor released with Once-for-All "
    "(mit-han-lab/once-for-all, MIT); pin 224 px to avoid it."
)
FAR = "The predicted top-1 is extrapolated: no architecture that was measured at 224 px is like this one."


@dataclass(frozen=True)
class Loss:
    """How top-1 falls below 224 px: loss = mean + slope · (top-1 at 224 px - level), at every resolution of the space.

    Attributes:
        mean: Points of top-1 lost by an architecture with a top-1 of `level` at 224 px, shape (resolutions,).
        slope: Points lost per point of top-1 at 224 px, shape (resolutions,); weaker architectures lose more.
        level: Top-1 at 224 px in percent for which the loss is `mean`.
        doubt: Half-width of a 90 % interval of the loss, in points, shape (resolutions,).
        facts: Figures for the predictor's card.
    """

    mean: Floats
    slope: Floats
    level: float
    doubt: Floats
    facts: dict[str, Any]


def read(path: Path, space: MobileNetV3Space, column: str) -> tuple[Codes, Floats, dict[str, Any]]:
    """Reads a table of architectures: their codes, the numbers of one column, and all other columns."""
    codes, columns = read_architectures(path, space)
    return codes, columns[column].astype(np.float64), columns


def fit_loss(
    space: MobileNetV3Space, codes: Codes, released: Floats, measured: Codes, top1: Floats, runs: Any, seed: int
) -> Loss:
    """Fits the loss to the predictions of the released predictor, and its scale to measured top-1 at 224 px.

    For each resolution of the predictions, an additive model with a saturating link function is fitted to them. The
    values of these models for the same architectures give the loss according to the released predictor. An affine fit
    of measured top-1 at 224 px to the model's top-1 at 224 px gives the factor from the model's points to measured
    points. Between the resolutions of the predictions, the loss is interpolated.

    Args:
        space: The search space.
        codes: Architectures with predictions of the released predictor.
        released: These predictions in percent, shape (n,).
        measured: Architectures measured at 224 px.
        top1: Measured top-1 of these architectures in percent.
        runs: Search run of each measured architecture, to see how much the factor depends on the run.
        seed: Seed of the folds.
    """
    mapping = feature_map(space, np.arange(len(space.resolutions)) == space.resolution_index(MEASURED_AT))
    x, known = space.one_hot(codes) @ mapping, np.unique(codes[:, 0])
    models = {}
    for r in known:
        at = codes[:, 0] == r
        asymptote = fit_asymptote(x[at], released[at], folds(np.arange(at.sum()), seed))
        models[int(r)] = (asymptote, *ridge(x[at], released[at], asymptote))

    def modelled(r: int, features: Floats) -> Floats:
        asymptote, coefficients, intercept = models[r]
        return inverse(features @ coefficients + intercept, asymptote)

    reference = space.resolution_index(MEASURED_AT)
    at_reference, at_measured = modelled(reference, x), modelled(reference, space.one_hot(measured) @ mapping)
    factor, _ = np.polyfit(at_measured, top1, 1)
    quarters = np.array_split(np.argsort(at_measured), 4)
    factors = [
        float(np.polyfit(at_measured[part], top1[part], 1)[0])
        for part in [*quarters, *(np.flatnonzero(runs == run) for run in np.unique(runs))]
    ]
    middle, unsure = float(at_reference.mean()), float(np.abs(np.array(factors) / factor - 1).max())
    losses = {r: at_reference - modelled(r, x) for r in models}
    lines = {r: np.polyfit(at_reference - middle, losses[r], 1) for r in models}
    rest = {r: float((losses[r] - np.polyval(lines[r], at_reference - middle)).std()) for r in models}
    level = float(top1.mean() + factor * (middle - at_measured.mean()))

    def everywhere(values: list[float]) -> Floats:
        result: Floats = PchipInterpolator(sorted(models), values)(np.arange(len(space.resolutions)))
        return result

    # A lower resolution never helps, so losses may only grow towards lower resolutions.
    mean = factor * _falling(everywhere([lines[r][1] for r in sorted(models)]))
    slope = -_falling(-everywhere([lines[r][0] for r in sorted(models)]))
    doubt = np.hypot(unsure * mean, 1.645 * factor * _falling(everywhere([rest[r] for r in sorted(models)])))
    residual = top1 - np.polyval(np.polyfit(at_measured, top1, 1), at_measured)
    facts = {
        "source": "OFA's released accuracy predictor on random architectures at 160, 176, 192, 208 and 224 px; "
        "a prediction, not a measurement",
        "predictions": len(released),
        "factor_to_measured_points": round(float(factor), 3),
        "factor_uncertainty": round(unsure, 3),
        "rmse_of_affine_fit_at_224": round(float(np.sqrt(np.mean(residual**2))), 3),
        "points_lost": {str(r): round(float(m), 2) for r, m in zip(space.resolutions, mean, strict=True)},
        "points_lost_half_width_90": {
            str(r): round(float(d), 2) for r, d in zip(space.resolutions, doubt, strict=True)
        },
        "text": SECOND_HAND,
    }
    return Loss(mean, slope, level, doubt, facts)


def _falling(values: Floats) -> Floats:
    """The smallest sequence that is nowhere below the values, never rises, and ends at 0 or more."""
    result: Floats = np.maximum.accumulate(np.maximum(values, 0.0)[::-1])[::-1]
    return result


def with_loss(predictor: AccuracyPredictor, codes: Codes, loss: Loss) -> AccuracyPredictor:
    """The predictor with the loss at resolutions below 224 px.

    top1 - mean - slope · (top1 - level) is affine in top1, which is the form that `Resolutions` has.
    """
    steepness = predictor.resolutions.steepness * (1 - loss.slope)
    asymptote = predictor.resolutions.asymptote * (1 - loss.slope) - loss.mean + loss.slope * loss.level
    resolutions = Resolutions(np.maximum.accumulate(asymptote), steepness, loss.doubt, predictor.resolutions.measured)
    return predictor.with_resolutions(resolutions, codes)


def main() -> int:
    """Fits, saves and prints the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    space = ofa_mobilenet_v3()
    codes, top1, columns = read(options.data / MEASURED, space, "top1")
    released_codes, released, _ = read(options.data / BY_RESOLUTION, space, "predicted_top1")
    loss = fit_loss(space, released_codes, released, codes, top1, columns["run"], options.seed)

    def show(event: Event) -> None:
        if isinstance(event, Advanced):
            print(event.text, file=sys.stderr, flush=True)

    facts = {"resolution": loss.facts, "warnings": [SECOND_HAND, FAR]}
    predictor = fit_predictor(
        space, codes, top1, source=SOURCE, groups=columns["run"], facts=facts, seed=options.seed, on_event=show
    )
    predictor = with_loss(predictor, codes, loss)
    predictor.save(options.output)
    print(json.dumps(predictor.card, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
