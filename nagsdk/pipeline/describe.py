"""Results from models: what accuracy predictor and cost model say of architectures, all at once."""

from __future__ import annotations

from collections.abc import Sequence

from nagsdk.budget import DEFAULT_CONFIDENCE, LATENCY, Budget
from nagsdk.bundle.bundle import Bundle
from nagsdk.cost.model import CostModel
from nagsdk.cost.table import exact_table
from nagsdk.manifest.result import Predicted, Result
from nagsdk.space.architecture import Architecture


def prior_warnings(model: CostModel, device: str) -> list[str]:
    """What users must be told where latencies do not come from a calibration."""
    if model.source == "calibration":
        return []
    caveat = [str(model.facts["caveat"])] if "caveat" in model.facts else []
    return [
        f"Latencies come from a shipped prior: {device} is not calibrated for this space ('nagsdk calibrate' does it).",
        *caveat,
    ]


def describe(
    bundle: Bundle,
    architectures: Sequence[Architecture],
    device: str | None,
    model: CostModel | None,
    budgets: Sequence[Sequence[Budget]] | None = None,
    min_top1: float | None = None,
) -> list[Result]:
    """Predicts accuracy and cost.

    Args:
        bundle: Space and accuracy predictor; top-1 stays None without one.
        architectures: Points of its space.
        device: Id of the device that `model` speaks of.
        model: Cost model; latencies stay None without one.
        budgets: What each result answers, all of them at once; the first latency among them sets percentile and confidence of the
            upper bound.
        min_top1: The least top-1 that was asked for, in per cent, if any.
    """
    space = bundle.space
    codes = space.encode(architectures)
    top1 = bundle.predictor.predict(codes) if bundle.has_predictor else None
    macs = exact_table(space, lambda layer: layer.macs).cost(codes)
    parameters = exact_table(space, lambda layer: layer.parameters).cost(codes)
    latency: list[float] | list[None] = [None] * len(codes)
    upper: list[float] | list[None] = [None] * len(codes)
    notes = [] if model is None or device is None else prior_warnings(model, device)
    answered: Sequence[Sequence[Budget]] = [()] * len(codes) if budgets is None else budgets
    if model is not None:
        latency = model.mean(codes).tolist()
        asked = [
            next(((b.confidence, b.percentile) for b in all_ if b.metric == LATENCY), (DEFAULT_CONFIDENCE, 50.0))
            for all_ in answered
        ]
        bounds = {way: model.upper(codes, *way).tolist() for way in set(asked)}
        upper = [bounds[way][i] for i, way in enumerate(asked)]
    accuracy: list[tuple[float | None, float | None, float | None, bool | None]] = [(None, None, None, None)] * len(
        codes
    )
    if top1 is not None:
        accuracy = list(
            zip(top1.mean.tolist(), top1.low.tolist(), top1.high.tolist(), top1.extrapolated.tolist(), strict=True)
        )
    return [
        Result(
            architecture=a.text,
            resolution=a.resolution,
            macs=round(float(macs[i])),
            parameters=round(float(parameters[i])),
            bundle=bundle.name,
            device=device,
            budgets=tuple(answered[i]),
            min_top1=min_top1,
            predicted=Predicted(*accuracy[i], latency[i], upper[i]),
            warnings=(*notes, *(bundle.predictor.warnings if accuracy[i][3] else ())),
        )
        for i, a in enumerate(architectures)
    ]
