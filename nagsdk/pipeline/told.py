"""Figures that nothing predicts, such as the time of loading: whether a device tells them, and what it told."""

from __future__ import annotations

from collections.abc import Sequence

from nagsdk.budget import ENERGY, INIT, METRICS, RAM, Budget
from nagsdk.common.temporary import temporary_folder
from nagsdk.device.start_up import INIT_MS, MEMORY_MB
from nagsdk.errors import DeviceError
from nagsdk.measuring.measurement import Measurement
from nagsdk.pipeline.energy import require_meter
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import glance

# The property of bursts that holds each of these figures, in the canonical unit of its budgets.
PROPERTIES = {INIT: INIT_MS, RAM: MEMORY_MB}


def told(target: Target, measurement: Measurement, budgets: Sequence[Budget]) -> dict[str, float]:
    """What a session told about the metrics of budgets that are only measured.

    Raises:
        DeviceError: The device does not tell one of them.
    """
    wanted = dict.fromkeys(budget.metric for budget in budgets if budget.metric in PROPERTIES)
    found = {metric: measurement.state.get(PROPERTIES[metric], -1.0) for metric in wanted}
    if silent := [metric for metric, value in found.items() if not value >= 0]:
        known = [metric for metric in PROPERTIES if measurement.state.get(PROPERTIES[metric], -1.0) >= 0]
        raise DeviceError(
            f"{target.device.id} does not tell {' and '.join(silent)}, so no budget on it can be judged there.",
            f"On {target.device.id}, limit {', '.join((*METRICS, *known))}, or the metric of a plugin.",
        )
    return found


def require_told(target: Target, budgets: Sequence[Budget]) -> None:
    """Raises a DeviceError before long work starts if the device does not tell what the budgets limit.

    Only a short measurement shows what a device tells: phones, for example, differ by the age of their tool. A device
    that is not available is not asked.
    """
    if any(budget.metric == ENERGY for budget in budgets):
        require_meter(target)
    if target.presence.available and any(budget.metric in PROPERTIES for budget in budgets):
        with temporary_folder() as folder:
            told(target, glance(target, folder), budgets)
