"""Results from models: predicts accuracy and cost of many architectures at once."""

from __future__ import annotations

from collections.abc import Sequence

from nagsdk.budget import DEFAULT_CONFIDENCE, LATENCY, Budget
from nagsdk.bundle.bundle import Bundle
from nagsdk.cost.model import CostModel
from nagsdk.cost.table import exact_table
from nagsdk.manifest.result import Arm, Predicted, Result
from nagsdk.pipeline.target import Target
from nagsdk.space.architecture import Architecture

_INTEGERS = "Predicted top-1 is that of fp32: what {} loses is only measured, on the bundle's test images."
_DYNAMIC = "On x86-64 processors, {} often takes longer than fp32; compare with --precision fp32."


def notes_on(target: Target, model: CostModel) -> list[str]:
    """Warnings for latencies that do not come from a calibration, and for precisions that predictions do not know."""
    return [*prior_warnings(model, target.device.id), *precision_warnings(target)]


def precision_warnings(target: Target) -> list[str]:
    """Warnings for a precision of integers: one whose loss the accuracy predictor does not know, and a slow one."""
    precision = target.device.precision
    if not precision.startswith("int"):
        return []
    unknown = target.bundle.has_predictor and target.known_loss is None
    slow = precision.endswith("dynamic")
    return [text.format(precision) for text, holds in ((_INTEGERS, unknown), (_DYNAMIC, slow)) if holds]


def prior_warnings(model: CostModel, device: str) -> list[str]:
    """Warnings for latencies that do not come from a calibration."""
    if model.source == "calibration":
        return []
    caveat = [str(model.facts["caveat"])] if "caveat" in model.facts else []
    return [
        f"Latencies come from a prior: {device} is not calibrated for this space ('nagsdk calibrate' does it).",
        *caveat,
    ]


def predicted_arm(result: Result, state: str, why: str) -> Arm:
    """What is predicted for an arm, as a row of the comparison of arms."""
    p = result.predicted
    assert result.precision is not None
    row = (result.architecture, p.latency_source, p.latency_ms, p.top1, p.top1_loss)
    return Arm(result.precision, result.threads, state, why, *row)


def why_not_chosen(result: Result, chosen: Result) -> str:
    """Why the prediction of another arm is better."""
    ahead = promise(chosen) - promise(result)
    if chosen.min_top1 is not None:
        return f"predicted to take {ahead:.3g} ms more; not measured"
    return f"predicted to give {ahead:.2f} points less; not measured"


def promise(result: Result) -> float:
    """What predictions for different arms are ranked by: top-1, or speed if a top-1 was asked for."""
    return -(result.predicted.latency_ms or 0.0) if result.min_top1 is not None else result.predicted.top1 or 0.0


def describe(
    bundle: Bundle,
    architectures: Sequence[Architecture],
    target: Target | None,
    model: CostModel | None,
    budgets: Sequence[Sequence[Budget]] | None = None,
    min_top1: float | None = None,
    chosen: bool = False,
) -> list[Result]:
    """Predicts accuracy and cost.

    Args:
        bundle: The bundle with its space and accuracy predictor; top-1 is None if it has no predictor.
        architectures: Architectures of the bundle's space.
        target: The target whose device `model` describes; what its precision loses is taken off the predicted top-1.
        model: The cost model; latencies are None without one.
        budgets: The budgets of each architecture, which hold together; the first latency budget sets percentile and
            confidence of the upper bound.
        min_top1: The minimum top-1 in per cent that was asked for, if any.
        chosen: Whether the architectures were chosen for their predicted top-1, which is lowered then.

    Returns:
        One result for each architecture, in the same order.
    """
    space = bundle.space
    codes = space.encode(architectures)
    predictor = bundle.predictor if bundle.has_predictor else None
    top1 = None if predictor is None else predictor.of_chosen(codes) if chosen else predictor.predict(codes)
    about = (
        None if predictor is None else predictor.optimism if chosen else 0.0,
        None if bundle.footing is None else bundle.footing.get("measured_on") or bundle.footing["predicted_on"],
    )
    macs = exact_table(space, lambda layer: layer.macs).cost(codes)
    parameters = exact_table(space, lambda layer: layer.parameters).cost(codes)
    latency: list[float] | list[None] = [None] * len(codes)
    upper: list[float] | list[None] = [None] * len(codes)
    notes = [] if model is None or target is None else notes_on(target, model)
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
    device, loss = (None, None) if target is None else (target.device, target.known_loss)
    if top1 is not None:
        ends = (top1.mean, top1.low, top1.high)
        columns = ends if loss is None else loss.taken_off(*ends)
        accuracy = list(zip(*(column.tolist() for column in columns), top1.extrapolated.tolist(), strict=True))
    return [
        Result(
            architecture=a.text,
            resolution=a.resolution,
            macs=round(float(macs[i])),
            parameters=round(float(parameters[i])),
            bundle=bundle.name,
            device=None if device is None else device.id,
            budgets=tuple(answered[i]),
            min_top1=min_top1,
            precision=None if device is None else device.precision,
            threads=None if device is None else device.threads,
            predicted=Predicted(
                *accuracy[i],
                latency[i],
                upper[i],
                None if model is None else model.source,
                *about,
                None if loss is None else loss.mean,
            ),
            warnings=(*notes, *(bundle.predictor.warnings if accuracy[i][3] else ())),
        )
        for i, a in enumerate(architectures)
    ]
