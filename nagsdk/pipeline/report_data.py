"""The manifest's data for report.html, collected while bundle, cost model and readings are available."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nagsdk.budget import LATENCY, MACS, METRICS, Budget
from nagsdk.cost.features import layer_features
from nagsdk.cost.model import CostModel
from nagsdk.generator.frontier import frontier
from nagsdk.measuring.measurement import Measurement
from nagsdk.pipeline.target import Target
from nagsdk.space.architecture import Architecture
from nagsdk.space.layer import LayerSpec

_BINS, _POINTS = 40, 60
# Slower runs are counted, not drawn: one run in a thousand would otherwise flatten all others.
_DRAWN_PERCENTILE = 99.0


def report_data(
    target: Target,
    architecture: Architecture,
    model: CostModel | None,
    budgets: Sequence[Budget],
    sessions: Sequence[Measurement],
    resolution: int | None,
) -> dict[str, Any]:
    """The data of a report, ready for JSON.

    Args:
        target: Bundle and device.
        architecture: The deployed architecture.
        model: The cost model; None if nothing is known about latencies.
        budgets: The budgets; the frontier is drawn over the first metric that does not come from a plugin.
        sessions: The sessions that gave the verdict; none if nothing was timed.
        resolution: Pinned input size, if any.

    Returns:
        The keys layers, frontier, frontiers, histogram and calibration; see `nagsdk.manifest.report_schema.ReportData`.
    """
    limited = [b.metric for b in budgets if b.metric in METRICS] or [LATENCY if model is not None else MACS]
    frontiers = [_frontier(target, model, metric, resolution) for metric in dict.fromkeys([*limited, MACS])]
    return {
        "layers": _layers(target, architecture, model),
        "frontier": frontiers[0],
        "frontiers": frontiers,
        "histogram": histogram(sessions) if sessions else None,
        "calibration": []
        if model is None
        else np.stack([model.calibrated.p50_ms, model.calibrated.left_out_ms], axis=1).tolist(),
    }


def _layers(target: Target, architecture: Architecture, model: CostModel | None) -> list[dict[str, Any]]:
    space, code = target.bundle.space, architecture.code
    predicted: dict[str, float] = {}
    if model is not None:
        cells = [(space.fixed_layers(architecture.resolution), model.table.base[code[0]])]
        rows = np.broadcast_to(space.rows.index(np.array([code], np.int8)), (1, len(code)))[0]
        for decision, (choice, row) in enumerate(zip(code, rows, strict=True)):
            if choice >= 0:
                context = tuple(code[read] for read in space.decisions[decision].reads)
                layers = space.choice_layers(architecture.resolution, decision, choice, context)
                cells.append((layers, model.table.choice[code[0], row, choice]))
        for layers, cost in cells:
            # The cost model prices whole blocks; the physical prior says how the layers within a block compare.
            prices = layer_features(layers) @ model.prior.weights
            if len(layers) and prices.sum() > 0:
                predicted |= zip(
                    (layer.name for layer in layers),
                    (max(float(cost), 0.0) * prices / prices.sum()).tolist(),
                    strict=True,
                )
    layers = space.layers(architecture)
    return layer_rows(((layer, layer.macs) for layer in layers), predicted)


def layer_rows(layers: Iterable[tuple[LayerSpec, int]], predicted: Mapping[str, float]) -> list[dict[str, Any]]:
    """The layers of a network; see `nagsdk.manifest.report_schema.LayerRow`.

    Args:
        layers: The layers with their multiply-accumulates.
        predicted: Predicted milliseconds of layers, by name.
    """
    return [
        {
            "name": layer.name,
            "kind": layer.kind,
            "in_channels": layer.in_channels,
            "out_channels": layer.out_channels,
            "kernel": layer.kernel,
            "stride": layer.stride,
            "in_size": layer.in_size,
            "macs": macs,
            "predicted_ms": predicted.get(layer.name),
        }
        for layer, macs in layers
    ]


def _frontier(target: Target, model: CostModel | None, metric: str, resolution: int | None) -> dict[str, Any]:
    best = frontier(
        target.bundle.space, target.costs.table(metric, model, resolution), target.bundle.predictor.additive
    )
    picked = np.unique(best.lookup(np.linspace(best.cost.min(), best.cost.max(), _POINTS)))
    top1 = np.clip(np.asarray(target.bundle.predictor.of_chosen(best.codes[picked]).mean) - target.loss, 0, 100)
    # The frontier is exact for the additive score; the full predictor ranks a few neighbours the other way round.
    better = top1 >= np.maximum.accumulate(top1)
    return {"metric": metric, "cost": best.cost[picked][better].tolist(), "top1": top1[better].tolist()}


def histogram(sessions: Sequence[Measurement]) -> dict[str, Any]:
    """The distribution of single inferences in one or more sessions; see `nagsdk.manifest.report_schema.Histogram`."""
    readings = [r for m in sessions for r in (m.quiet if m.enough_quiet else m.readings)]
    runs = np.concatenate([reading.burst.wall_ms for reading in readings])
    edges = np.linspace(runs.min(), max(float(np.percentile(runs, _DRAWN_PERCENTILE)), runs.min() * 1.001), _BINS + 1)
    counts, _ = np.histogram(runs, edges)
    return {"edges_ms": edges.tolist(), "counts": counts.tolist(), "slower": int((runs > edges[-1]).sum())}
