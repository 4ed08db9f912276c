"""The measured time of every layer, and what more latency would buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.device.layer_times import by_layer
from nagsdk.errors import NagsdkError
from nagsdk.pipeline.target import Target
from nagsdk.space.layer import LayerSpec

_RUNS, _TIMEOUT_S = 20, 60.0
# A step along the frontier is at most this share of the latency.
_SHARE = 0.25
_OTHER_ORDER = (
    "{} reports {} operators, which do not follow the layers of the network one by one; so their times cannot be "
    "assigned to layers."
)


def measured_bill(target: Target, compiled: Path | None, layers: Sequence[LayerSpec]) -> dict[str, Any]:
    """The time of every layer on the device; see `nagsdk.manifest.report_schema.Bill`.

    A bill that cannot be measured says why; it never ends a deployment.

    Args:
        target: Bundle and device.
        compiled: The file that runs on the device; None if the device is not available.
        layers: The layers of the network, in order.
    """
    nothing: dict[str, Any] = {"layers": {}, "other_ms": 0.0, "total_ms": 0.0}
    if compiled is None or not target.presence.available:
        return {**nothing, "note": f"{target.device.id} is not available."}
    try:
        with target.locked(), target.backend.open(target.device) as session:
            times = session.layer_times(compiled, _RUNS, _TIMEOUT_S)  # a lost connection is told like any other lack
    except NagsdkError as error:
        return {**nothing, "note": error.message}
    total = sum(time.ms for time in times)
    found = by_layer(times, layers)
    if found is None:
        note = _OTHER_ORDER.format(target.device.id, len(times))
        return {**nothing, "other_ms": total, "total_ms": total, "note": note}
    return {"layers": found, "other_ms": max(total - sum(found.values()), 0.0), "total_ms": total, "note": ""}


def worth_of_more(frontiers: Sequence[Mapping[str, Any]], latency_ms: float | None) -> dict[str, float] | None:
    """What a little more latency would buy at a deployment's point of the frontier; None if that is not known.

    Args:
        frontiers: The frontiers of a report.
        latency_ms: The predicted latency of the deployment.
    """
    frontier = next((one for one in frontiers if one["metric"] == "latency"), None)
    if frontier is None or not latency_ms:
        return None
    step = 10.0 ** np.floor(np.log10(_SHARE * latency_ms))
    cost, top1 = (np.asarray(frontier[key], np.float64) for key in ("cost", "top1"))
    if not cost[0] <= latency_ms <= cost[-1]:
        return None
    now, then = np.interp([latency_ms, latency_ms + step], cost, top1)
    return {"more_ms": float(step), "top1": float(then - now)}
