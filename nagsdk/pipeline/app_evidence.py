"""Judges budgets by what an app measured itself, and compares that with the measurement of the deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nagsdk.budget import INIT, LATENCY, RAM, Budget
from nagsdk.device.backend import Burst
from nagsdk.errors import UsageError
from nagsdk.manifest.app_probe import AppProbe
from nagsdk.measuring.measurement import Measurement, Reading

_STRETCHES = 8
# Differences up to this share are usual between two sessions.
_ALIKE = 0.1
_HOT = 2
_FAST = ("/", "/top-app", "/foreground")
_USUALLY = (
    "the file does not show why; usual reasons are other threads, slower cores (Android moves apps that are not in "
    "front), other delegates, and runtimes built with other options"
)


def require_same_model(probe: AppProbe, manifest: Mapping[str, Any]) -> None:
    """Raises a UsageError if the app ran another file than the deployment's."""
    if probe.model_sha256 != manifest["artifact"]["sha256"]:
        raise UsageError(
            f"The probe measured another file (sha256 {probe.model_sha256[:16]}…) than the deployment's "
            f"{manifest['artifact']['path']} ({manifest['artifact']['sha256'][:16]}…).",
            "Ship this deployment's file in the app, and run the probe again.",
        )


def judged(probe: AppProbe, manifest: Mapping[str, Any], budgets: Sequence[Budget]) -> tuple[bool, str]:
    """Whether the app's figures hold the budgets, and what they are.

    Latencies are judged as in `deploy`: by the upper confidence limit of the budget's percentile.

    Args:
        probe: What the app measured.
        manifest: The deployment's manifest.
        budgets: The deployment's budgets.
    """
    runs = np.array_split(np.array(probe.latencies_ms), _STRETCHES)
    session = Measurement(tuple(Reading(Burst(tuple(part.tolist())), 1.0, 1.0) for part in runs), 1.0)
    known = {INIT: probe.init_ms, RAM: probe.memory_mb}
    told, missed = [f"p50 {session.latency(50):.4g} ms, p95 {session.latency(95):.4g} ms in the app"], False
    for budget in budgets:
        value = session.upper(budget.percentile) if budget.metric == LATENCY else known.get(budget.metric)
        if value is None:
            told += [f"it does not tell {budget.metric}"] if budget.metric in known else []
            continue
        exceeds, missed = value > budget.limit, missed or value > budget.limit
        which = "its upper limit of " if budget.metric == LATENCY else f"{budget.metric} of "
        told.append(f"{which}{budget.text_of(value, 4)} {'exceeds' if exceeds else 'holds'} {budget}")
    then = manifest["measured"]["latency_p50_ms"]
    if then is not None:
        told.append(_compared(session.latency(50) / then, probe, manifest))
    return not missed, "; ".join(told)


def _compared(ratio: float, probe: AppProbe, manifest: Mapping[str, Any]) -> str:
    if abs(ratio - 1) <= _ALIKE:
        return f"it agrees with the deployment's measurement (factor {ratio:.2f})"
    reasons = "; ".join(_reasons(probe, manifest)) or _USUALLY
    return f"it takes {ratio:.2f} times what was measured for the deployment: {reasons}"


def _reasons(probe: AppProbe, manifest: Mapping[str, Any]) -> list[str]:
    """What the file shows that makes an app slower or faster than the benchmark."""
    model = manifest["device_properties"].get("model")
    hottest = max(status for status in (probe.thermal_before, probe.thermal_after, 0) if status is not None)
    found = {
        f"threads: {probe.threads} in the app, {manifest['threads']} measured": probe.threads
        not in (None, manifest["threads"]),
        f"core placement: Android had put the app into {probe.cpuset}": probe.cpuset not in (None, *_FAST),
        f"delegates: the app asked for {probe.accelerator}": probe.accelerator not in (None, "CPU"),
        "build flags: the app was built for debugging": bool(probe.debuggable),
        f"heat: the thermal status was {hottest}": hottest >= _HOT,
        f"another phone: {probe.device} in the app, {model} measured": None not in (probe.device, model)
        and probe.device != model,
    }
    return [text for text, holds in found.items() if holds]
