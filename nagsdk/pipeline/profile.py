"""Measuring given architectures, with random weights."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nagsdk.events import stage
from nagsdk.manifest.result import Result
from nagsdk.pipeline.describe import describe
from nagsdk.pipeline.loop import measured
from nagsdk.pipeline.target import Workbench
from nagsdk.space.architecture import Architecture


def profile_architectures(bench: Workbench, architectures: Sequence[Architecture]) -> list[Result]:
    """Measures architectures in interleaved rounds of one session.

    Args:
        bench: Bundle and device; the device is there.
        architectures: What to measure; the latency of a network does not depend on its weights.

    Raises:
        DeviceError: The device is busy or fails.
        MeasurementError: Too few readings were quiet.
    """
    distinct = list(dict.fromkeys(architectures))
    with tempfile.TemporaryDirectory(prefix="nagsdk-") as work:
        compiled = {}
        with stage(bench.listener, "Exporting", len(distinct)) as advance:
            for number, architecture in enumerate(distinct):
                compiled[architecture.text] = bench.timing_artifact(architecture, Path(work))
                advance(number + 1, architecture.text)
        found = bench.time(compiled, Path(work))
    results = describe(bench.bundle, architectures, bench.device.id, bench.cost_model())
    return [replace(r, measured=measured(found[r.architecture])) for r in results]
