"""Checks of sessions: normal use, errors, timeouts and closing."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from nagsdk.device.backend import Backend, Tensor
from nagsdk.device.description import Device
from nagsdk.errors import MeasurementError
from nagsdk.graph import parity
from nagsdk.space.architecture import Architecture
from nagsdk.testing.kit import ENDLESS_RUNS, Checks, Compile, check_parity, refuses
from nagsdk.testing.networks import random_images


class SessionChecks(Checks):
    """Timeouts, cancellation, concurrency, and errors."""

    def test_timeout(
        self, backend: Backend, device: Device, architectures: list[Architecture], compiled: Compile
    ) -> None:
        """A burst that exceeds its timeout is stopped, and the device serves the next session."""
        self._skip_without_runs(backend)
        network = compiled(architectures[0])
        with backend.open(device) as session, pytest.raises(MeasurementError) as caught:
            session.time(session.load(network), 0, ENDLESS_RUNS, 0.3)
        assert caught.value.next_step
        self._serves(backend, device, network)

    def test_cancellation(
        self, backend: Backend, device: Device, architectures: list[Architecture], compiled: Compile
    ) -> None:
        """Ctrl-C during a burst interrupts it at once, and the device serves the next session."""
        if sys.platform == "win32":
            pytest.skip("needs POSIX signals")
        self._skip_without_runs(backend)
        network = compiled(architectures[0])

        def interrupt(number: int, frame: object) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            with backend.open(device) as session, pytest.raises(KeyboardInterrupt):
                handle = session.load(network)
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.5)
                    session.time(handle, 0, ENDLESS_RUNS, self.load_timeout_s)
                finally:  # an error of the session must not leave an alarm for what comes next
                    signal.setitimer(signal.ITIMER_REAL, 0)
        finally:
            signal.signal(signal.SIGALRM, before)
        self._serves(backend, device, network)

    def _skip_without_runs(self, backend: Backend) -> None:
        if backend.estimated_by:
            pytest.skip("nothing runs that could take too long")

    def test_closed_session_refuses(
        self, backend: Backend, device: Device, architectures: list[Architecture], compiled: Compile
    ) -> None:
        """After `close`, which may be called twice, every call raises an error."""
        network = compiled(architectures[0])
        session = backend.open(device)
        handle = session.load(network)
        session.close()
        session.close()
        calls: dict[str, Callable[[], object]] = {
            "load": lambda: session.load(network),
            "time": lambda: session.time(handle, 0, 1, self.load_timeout_s),
            "infer": lambda: session.infer(handle, random_images(1, architectures[0].resolution)),
            "unload": lambda: session.unload(handle),
        }
        for name, call in calls.items():
            refuses(call, f"{name} on a closed session")

    def test_two_sessions(
        self, backend: Backend, device: Device, architectures: list[Architecture], compiled: Compile
    ) -> None:
        """Two sessions share nothing: closing one does not affect the other."""
        first_network, second_network = (compiled(a) for a in architectures[:2])
        with backend.open(device) as first:
            handle = first.load(first_network)
            with backend.open(device) as second:
                other = second.load(second_network)
                images = [random_images(1, a.resolution) for a in architectures[:2]]
                logits = first.infer(handle, images[0])
                assert not np.array_equal(logits, second.infer(other, images[1]))
            assert np.array_equal(logits, first.infer(handle, images[0]))

    def test_concurrent_sessions(
        self, backend: Backend, device: Device, architectures: list[Architecture], compiled: Compile
    ) -> None:
        """Sessions in two threads at the same time give the same results as each alone."""
        networks = [compiled(a) for a in architectures[:2]]

        def infer(index: int) -> list[Tensor]:
            images = random_images(2 * device.batch, architectures[index].resolution)
            with backend.open(device) as session:
                handle = session.load(networks[index])
                return [session.infer(handle, images) for _ in range(5)]

        alone = [infer(0)[0], infer(1)[0]]
        with ThreadPoolExecutor(2) as pool:
            together = list(pool.map(infer, (0, 1)))
        for expected, answers in zip(alone, together, strict=True):
            assert all(np.allclose(expected, actual, rtol=1e-4, atol=1e-6) for actual in answers)

    def test_answers_depend_on_the_images(
        self, backend: Backend, device: Device, architectures: list[Architecture], compiled: Compile
    ) -> None:
        """Other images give other logits, in the order of the images."""
        images = random_images(2 * device.batch + 1, architectures[0].resolution)
        with backend.open(device) as session:
            handle = session.load(compiled(architectures[0]))
            logits, reversed_logits = session.infer(handle, images), session.infer(handle, images[::-1].copy())
        assert len(np.unique(logits.round(5), axis=0)) == len(images)
        parity.check(logits, reversed_logits[::-1], backend.tolerance(device))

    def test_networks_side_by_side(
        self, backend: Backend, device: Device, architectures: list[Architecture], compiled: Compile
    ) -> None:
        """Networks loaded together give the same results as each alone, in any order of running and unloading."""
        images = {a: random_images(device.batch, a.resolution) for a in architectures}
        files = {a: compiled(a) for a in architectures}
        with backend.open(device) as session:
            handles = {a: session.load(files[a]) for a in architectures}
            for architecture in architectures:
                session.time(handles[architecture], 1, 2, self.load_timeout_s)
            for number, architecture in enumerate(reversed(architectures)):
                actual = session.infer(handles[architecture], images[architecture])
                check_parity(backend, device, architecture, images[architecture], actual)
                if number % 2:
                    session.unload(handles[architecture])
                    handles[architecture] = session.load(files[architecture])
            for architecture in architectures:
                actual = session.infer(handles[architecture], images[architecture])
                check_parity(backend, device, architecture, images[architecture], actual)

    @pytest.mark.parametrize("share", [0.0, 0.5])
    def test_damaged_artifact(
        self,
        backend: Backend,
        device: Device,
        architectures: list[Architecture],
        compiled: Compile,
        tmp_path: Path,
        share: float,
    ) -> None:
        """Garbage, half a file and a missing file are refused with a next step; the session remains usable."""
        network = compiled(architectures[0])
        content = network.read_bytes()
        damaged = tmp_path / f"damaged{network.suffix}"
        damaged.write_bytes(content[: int(len(content) * share)] or b"This is not a network.\n" * 99)
        with backend.open(device) as session:
            refuses(lambda: session.load(damaged), "loading a damaged file")
            refuses(lambda: session.load(tmp_path / f"absent{network.suffix}"), "loading a missing file")
            assert session.time(session.load(network), 0, 1, self.load_timeout_s).wall_ms

    def test_foreign_requests(
        self, backend: Backend, device: Device, architectures: list[Architecture], compiled: Compile
    ) -> None:
        """Unloaded or unknown handles and images of a wrong size are refused; other handles remain valid."""
        with backend.open(device) as session:
            kept, dropped = (session.load(compiled(a)) for a in architectures[:2])
            session.unload(dropped)
            refuses(lambda: session.time(dropped, 0, 1, self.load_timeout_s), "timing an unloaded network")
            refuses(lambda: session.time(10**6, 0, 1, self.load_timeout_s), "timing a network that was never loaded")
            other = random_images(device.batch, architectures[0].resolution + 32)
            refuses(lambda: session.infer(kept, other), "running images of another size")
            assert session.time(kept, 0, 1, self.load_timeout_s).wall_ms

    def _serves(self, backend: Backend, device: Device, network: Path) -> None:
        with backend.open(device) as session:
            assert session.time(session.load(network), 0, 1, self.load_timeout_s).wall_ms
