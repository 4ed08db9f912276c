"""Checks whether timings can be trusted."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.measuring.measure import measure
from nagsdk.measuring.protocol import Protocol
from nagsdk.space.architecture import Architecture
from nagsdk.testing.kit import Checks, Compile

_RUNS = 20
# The first run of a burst may be a little slower; if it includes a compilation, it is slower by orders of magnitude.
_OUTLIER, _SLACK_MS, _ATTEMPTS = 10.0, 20.0, 3


class MeasurementChecks(Checks):
    """Statistics of bursts, and what a burst must not include."""

    @pytest.mark.parametrize(("warmup", "runs"), [(0, 1), (2, 5)])
    def test_burst(
        self,
        backend: Backend,
        device: Device,
        architectures: list[Architecture],
        compiled: Compile,
        warmup: int,
        runs: int,
    ) -> None:
        """A burst has the requested number of runs, each with a positive time, and its properties are numbers."""
        with backend.open(device) as session:
            burst = session.time(session.load(compiled(architectures[0])), warmup, runs, self.load_timeout_s)
        assert len(burst.wall_ms) == runs
        assert len(burst.cpu_ms) in (0, runs)
        assert all(np.isfinite(t) and t > 0 for t in (*burst.wall_ms, *burst.cpu_ms))
        assert all(isinstance(name, str) and np.isfinite(float(value)) for name, value in burst.properties.items())

    def test_times_are_those_of_single_runs(
        self, backend: Backend, device: Device, architectures: list[Architecture], compiled: Compile
    ) -> None:
        """Every run has its own time, not the mean of all; the sum of the times does not exceed the whole burst.

        Where nothing runs (`Backend.estimated_by`), all times of a network are equal.
        """
        with backend.open(device) as session:
            handle = session.load(compiled(architectures[0]))
            begun = time.perf_counter()
            burst = session.time(handle, 1, _RUNS, self.load_timeout_s)
            elapsed_ms = 1e3 * (time.perf_counter() - begun)
        if backend.estimated_by:
            assert len(set(burst.wall_ms)) == 1, "estimates of one network differ"
            return
        assert len(set(burst.wall_ms)) > 1, (
            "all runs took exactly the same time: that is a mean, which hides how runs scatter"
        )
        assert sum(burst.wall_ms) <= elapsed_ms, "the times of the runs add up to longer than the whole burst"

    def test_cpu_time(
        self, backend: Backend, device: Device, architectures: list[Architecture], compiled: Compile
    ) -> None:
        """CPU time, if reported, is that of one thread: never more than the wall time."""
        with backend.open(device) as session:
            burst = session.time(session.load(compiled(architectures[0])), 1, _RUNS, self.load_timeout_s)
        # The two clocks may differ by their resolution.
        assert all(cpu <= wall + 0.05 for cpu, wall in zip(burst.cpu_ms, burst.wall_ms, strict=False)), (
            "CPU time of several threads"
        )

    def test_compilation_is_not_timed(
        self, backend: Backend, device: Device, architectures: list[Architecture], compiled: Compile
    ) -> None:
        """Compilation happens in `compile` or `load`, never during a timed run, however long it takes."""
        network = compiled(architectures[0])
        for _ in range(_ATTEMPTS):  # the machine may be busy, so only a slow first run in every attempt counts
            with backend.open(device) as session:
                first, *others = session.time(session.load(network), 0, 6, self.load_timeout_s).wall_ms
            if first <= _OUTLIER * float(np.median(others)) + _SLACK_MS:
                return
        pytest.fail(
            f"the first run takes {first:.1f} ms, the others {np.median(others):.2f} ms: "
            "is something compiled while it is timed?"
        )

    def test_measures(
        self, backend: Backend, device: Device, architectures: list[Architecture], compiled: Compile
    ) -> None:
        """The core's measurement works through a session."""
        models: dict[str, Path] = {a.text: compiled(a) for a in architectures[:2]}
        # The limits are wide, because the machine that runs the tests may be busy.
        protocol = Protocol(
            warmup=1,
            runs=3,
            reference_runs=2,
            rounds=3,
            width=1e9,
            most_rounds=3,
            spread_s=0,
            patience_s=0,
            contention=1e9,
            drift=1e9,
        )
        with backend.open(device) as session:
            measurements = measure(session, models, compiled(architectures[-1]), protocol)
        assert set(measurements) == set(models)
        assert all(0 < m.latency() <= m.latency(90) <= m.upper(90) for m in measurements.values())
