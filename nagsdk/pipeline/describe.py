"""Results from models: predicts accuracy and cost of many architectures at once."""

from __future__ import annotations

from collections.abc import Sequence

from nagsdk.budget import DEFAULT_CONFIDENCE, LATENCY, Budget
from nagsdk.bundle.bundle import Bundle
from nagsdk.cost.model import CostModel
from nagsdk.cost.table import exact_table
from nagsdk.manifest.result import Predicted, Result
from nagsdk.space.architecture import Architecture

_LOSS_UNKNOWN = (
    "Predicted top-1 is that of fp32: how much {} loses was not measured for {} ('nagsdk predictor fit' does it)."
)


def prior_warnings(model: CostModel, device: str) -> list[str]:
    """Warnings for latencies that do not come from a calibration."""
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
    precision: str = "",
) -> list[Result]:
    """Predicts accuracy and cost.

    Args:
        bundle: The bundle with its space and accuracy predictor; top-1 is None if it has no predictor.
        architectures: Architectures of the bundle's space.
        device: Id of the device that `model` describes.
        model: The cost model; latencies are None without one.
        budgets: The budgets of each architecture, which hold together; the first latency budget sets percentile and
            confidence of the upper bound.
        min_top1: The minimum top-1 in per cent that was asked for, if any.
        precision: The number format of the device, if it makes integers of a network: its loss is subtracted.

    Returns:
        One result for each architecture, in the same order.
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
        levels = [
            next(((b.confidence, b.percentile) for b in together if b.metric == LATENCY), (DEFAULT_CONFIDENCE, 50.0))
            for together in answered
        ]
        bounds = {level: model.upper(codes, *level).tolist() for level in set(levels)}
        upper = [bounds[level][i] for i, level in enumerate(levels)]
    accuracy: list[tuple[float | None, float | None, float | None, bool | None]] = [(None, None, None, None)] * len(
        codes
    )
    loss = bundle.predictor.loss(precision) if precision and bundle.has_predictor else None
    if top1 is not None:
        ends = (top1.mean, top1.low, top1.high)
        columns = ends if loss is None else loss.taken_off(*ends)
        accuracy = list(zip(*(column.tolist() for column in columns), top1.extrapolated.tolist(), strict=True))
        if precision and loss is None:
            notes.append(_LOSS_UNKNOWN.format(precision, bundle.name))
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
            predicted=Predicted(*accuracy[i], latency[i], upper[i], None if loss is None else loss.mean),
            warnings=(*notes, *(bundle.predictor.warnings if accuracy[i][3] else ())),
        )
        for i, a in enumerate(architectures)
    ]
