"""Measures given architectures, with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nagsdk.common.temporary import temporary_folder
from nagsdk.events import stage
from nagsdk.manifest.result import Result
from nagsdk.pipeline.describe import describe
from nagsdk.pipeline.models import cost_model
from nagsdk.pipeline.rule import known_spread_of
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import settle_rewrite, time_artifacts, timing_artifact
from nagsdk.pipeline.verdict import disturbance, measured
from nagsdk.space.architecture import Architecture


def profile_architectures(target: Target, architectures: Sequence[Architecture]) -> list[Result]:
    """Measures architectures in interleaved rounds of one session.

    Args:
        target: Bundle and device; the device must be available.
        architectures: The architectures to measure; the latency of a network does not depend on its weights.

    Raises:
        DeviceError: The device is busy or fails.
        MeasurementError: Too few readings were quiet.
    """
    settle_rewrite(target)
    distinct = list(dict.fromkeys(architectures))
    with temporary_folder() as work:
        compiled = {}
        with stage(target.on_event, "Exporting", len(distinct)) as advance:
            for number, architecture in enumerate(distinct):
                compiled[architecture.text] = timing_artifact(target, architecture, work)
                advance(number + 1, f"Exporting network {number + 1} of {len(distinct)}")
        found = time_artifacts(target, compiled, work)
    results = describe(target.bundle, architectures, target, cost_model(target))
    known = known_spread_of(target)
    told = disturbance(list(found.values()))
    sessions = [found[result.architecture] for result in results]
    return [
        replace(
            result, measured=measured([one], 50.0, known), warnings=result.warnings + (() if one.enough_quiet else told)
        )
        for result, one in zip(results, sessions, strict=True)
    ]
