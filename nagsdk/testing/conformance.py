"""The checks that every backend must pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from nagsdk.architecture import Architecture
from nagsdk.device.backend import Backend, Tensor
from nagsdk.device.description import Device
from nagsdk.device.measure import measure
from nagsdk.device.protocol import Protocol
from nagsdk.errors import DeviceError, DeviceUnavailableError, MeasurementError, UnsupportedLayerError
from nagsdk.graph import parity
from nagsdk.graph.ir import Graph, Node, Shape
from nagsdk.graph.trace import trace
from nagsdk.testing.networks import random_images, random_subnet, small_space

_SPACE = small_space()
_ARCHITECTURES = _SPACE.decode(_SPACE.sample(4, np.random.default_rng(0)))
_ENDLESS_RUNS = 10**9


@dataclass(frozen=True, eq=False)
class _Unheard(Node):
    """An operation that no backend knows."""

    def infer(self, *inputs: Shape) -> Shape | None:
        return inputs[0]


def _graph(architecture: Architecture, batch: int) -> Graph:
    return trace(random_subnet(_SPACE, architecture), architecture.resolution, batch)


class BackendConformance:
    """Subclass it in a test file, name the class ``Test…`` and define the fixtures `backend` and `device`.

    Attributes:
        load_timeout_s: Time-out of every burst that is expected to end.
    """

    load_timeout_s: ClassVar[float] = 60.0

    @pytest.fixture
    def backend(self) -> Backend:
        """The backend under test."""
        raise NotImplementedError("define the fixture `backend` in your subclass")

    @pytest.fixture
    def device(self) -> Device:
        """A device that is attached and that the backend reaches."""
        raise NotImplementedError("define the fixture `device` in your subclass")

    @pytest.fixture
    def compiled(self, backend: Backend, device: Device, tmp_path: Path) -> Callable[[Architecture], Path]:
        """Exports and compiles an architecture."""

        def make(architecture: Architecture) -> Path:
            artifact = tmp_path / f"{architecture.hash}{backend.suffix}"
            images = random_images(16, architecture.resolution, seed=1)
            backend.export(_graph(architecture, device.batch), artifact, device, images)
            return backend.compile(artifact, device, tmp_path)

        return make

    def test_names(self, backend: Backend) -> None:
        """The class attributes are set."""
        assert backend.id and backend.id == backend.id.lower() and " " not in backend.id
        assert backend.title
        assert backend.suffix.startswith(".")

    def test_presence(self, backend: Backend, device: Device) -> None:
        """An attached device is available, described, and the same each time."""
        presence = backend.presence(device)
        assert presence.available, presence.reason
        assert presence.reason == ""
        assert presence.fingerprint and presence.properties
        assert all(isinstance(k, str) and isinstance(v, str) for k, v in presence.properties.items())
        assert backend.presence(device) == presence

    def test_absence(self, backend: Backend, device: Device) -> None:
        """A device that is said to be available opens; one that is not, says why and refuses."""
        presence = backend.presence(device)
        if presence.available:
            backend.open(device).close()
        else:
            assert presence.reason
            with pytest.raises(DeviceUnavailableError):
                backend.open(device)

    def test_supports_answers_for_every_layer(self, backend: Backend, device: Device) -> None:
        """Every layer of every test network is judged, and the exported ones are supported."""
        for architecture in _ARCHITECTURES:
            assert all(backend.supports(layer, device) is True for layer in _SPACE.layers(architecture))

    @pytest.mark.parametrize("architecture", _ARCHITECTURES, ids=str)
    def test_parity(self, backend: Backend, device: Device, compiled: Callable[[Architecture], Path], architecture: Architecture) -> None:
        """The exported network computes what torch computes, also where images do not fill the last batch."""
        images = random_images(2 * device.batch + 1, architecture.resolution)
        with torch.no_grad():
            expected: Tensor = random_subnet(_SPACE, architecture)(torch.from_numpy(images)).numpy()
        with backend.open(device) as session:
            actual = session.infer(session.load(compiled(architecture)), images)
        assert actual.dtype == np.float32
        parity.check(expected, actual, backend.tolerance(device))

    def test_what_is_told_of_an_artifact_without_its_device(self, backend: Backend, device: Device, tmp_path: Path) -> None:
        """`inspect` is JSON-ready, and `emulate` computes what torch computes, or says that it cannot."""
        architecture, artifact = _ARCHITECTURES[0], tmp_path / f"network{backend.suffix}"
        images = random_images(2 * device.batch, architecture.resolution)
        backend.export(_graph(architecture, device.batch), artifact, device, images)
        assert json.loads(json.dumps(backend.inspect(artifact), allow_nan=False)) == backend.inspect(artifact)
        actual = backend.emulate(artifact, device, images)
        if actual is not None:
            with torch.no_grad():
                expected: Tensor = random_subnet(_SPACE, architecture)(torch.from_numpy(images)).numpy()
            parity.check(expected, actual, backend.tolerance(device))

    def test_compile_leaves_the_artifact_alone(self, backend: Backend, device: Device, tmp_path: Path) -> None:
        """Compiling is apart from exporting: the artifact stays as it was, the result is a file."""
        artifact = tmp_path / f"network{backend.suffix}"
        backend.export(_graph(_ARCHITECTURES[0], device.batch), artifact, device, random_images(16, _ARCHITECTURES[0].resolution))
        content = artifact.read_bytes()
        result = backend.compile(artifact, device, tmp_path)
        assert result.is_file()
        assert artifact.read_bytes() == content

    @pytest.mark.parametrize(("warmup", "runs"), [(0, 1), (2, 5)])
    def test_burst(self, backend: Backend, device: Device, compiled: Callable[[Architecture], Path], warmup: int, runs: int) -> None:
        """A burst has the runs asked for, each with a positive time."""
        with backend.open(device) as session:
            burst = session.time(session.load(compiled(_ARCHITECTURES[0])), warmup, runs, self.load_timeout_s)
        assert len(burst.wall_ms) == runs
        assert len(burst.cpu_ms) in (0, runs)
        assert all(np.isfinite(t) and t > 0 for t in (*burst.wall_ms, *burst.cpu_ms))

    def test_timeout(self, backend: Backend, device: Device, compiled: Callable[[Architecture], Path]) -> None:
        """A burst that does not end in time is ended, and the device serves the next session."""
        network = compiled(_ARCHITECTURES[0])
        with backend.open(device) as session, pytest.raises(MeasurementError) as caught:
            session.time(session.load(network), 0, _ENDLESS_RUNS, 0.3)
        assert caught.value.next_step
        with backend.open(device) as session:
            assert session.time(session.load(network), 0, 1, self.load_timeout_s).wall_ms

    def test_closed_session_refuses(self, backend: Backend, device: Device, compiled: Callable[[Architecture], Path]) -> None:
        """After `close`, which may come twice, every call raises."""
        network = compiled(_ARCHITECTURES[0])
        session = backend.open(device)
        handle = session.load(network)
        session.close()
        session.close()
        calls: tuple[Callable[[], object], ...] = (
            lambda: session.load(network),
            lambda: session.time(handle, 0, 1, self.load_timeout_s),
            lambda: session.infer(handle, random_images(1, _ARCHITECTURES[0].resolution)),
            lambda: session.unload(handle),
        )
        for call in calls:
            _refuses(call)

    def test_two_sessions(self, backend: Backend, device: Device, compiled: Callable[[Architecture], Path]) -> None:
        """Two sessions share nothing: ending one leaves the other."""
        first_network, second_network = compiled(_ARCHITECTURES[0]), compiled(_ARCHITECTURES[1])
        with backend.open(device) as first:
            handle = first.load(first_network)
            with backend.open(device) as second:
                other = second.load(second_network)
                images = [random_images(1, a.resolution) for a in _ARCHITECTURES[:2]]
                logits = first.infer(handle, images[0])
                assert not np.array_equal(logits, second.infer(other, images[1]))
            assert np.array_equal(logits, first.infer(handle, images[0]))

    @pytest.mark.parametrize("share", [0.0, 0.5])
    def test_damaged_artifact(
        self, backend: Backend, device: Device, compiled: Callable[[Architecture], Path], tmp_path: Path, share: float
    ) -> None:
        """Garbage, and an artifact cut in two, are refused with a next step; the session lives on."""
        network = compiled(_ARCHITECTURES[0])
        content = network.read_bytes()
        damaged = tmp_path / f"damaged{network.suffix}"
        damaged.write_bytes(content[: int(len(content) * share)] or b"This is no network.\n" * 99)
        with backend.open(device) as session:
            _refuses(lambda: session.load(damaged))
            _refuses(lambda: session.load(tmp_path / f"absent{network.suffix}"))
            assert session.time(session.load(network), 0, 1, self.load_timeout_s).wall_ms

    def test_unloaded_network_is_gone(self, backend: Backend, device: Device, compiled: Callable[[Architecture], Path]) -> None:
        """A handle dies with `unload`; other handles stay."""
        with backend.open(device) as session:
            kept, dropped = (session.load(compiled(a)) for a in _ARCHITECTURES[:2])
            session.unload(dropped)
            _refuses(lambda: session.time(dropped, 0, 1, self.load_timeout_s))
            assert session.time(kept, 0, 1, self.load_timeout_s).wall_ms

    def test_unsupported_layer(self, backend: Backend, device: Device, tmp_path: Path) -> None:
        """An operation that the backend does not know is named, not skipped."""
        node = _Unheard("unheard", (Graph.INPUT,))
        with pytest.raises(UnsupportedLayerError) as caught:
            backend.export(Graph((device.batch, 3, 8, 8), (node,), node.name), tmp_path / f"network{backend.suffix}", device)
        assert "unheard" in caught.value.message
        assert caught.value.next_step

    def test_measures(self, backend: Backend, device: Device, compiled: Callable[[Architecture], Path]) -> None:
        """The core's measurement works through a session."""
        models = {a.text: compiled(a) for a in _ARCHITECTURES[:2]}
        # A wide rule, because the machine that runs tests may be busy.
        protocol = Protocol(
            warmup=1, runs=3, reference_runs=2, rounds=3, width=1e9, most_rounds=3, spread_s=0, patience_s=0, contention=1e9, drift=1e9
        )
        with backend.open(device) as session:
            measurements = measure(session, models, compiled(_ARCHITECTURES[2]), protocol)
        assert set(measurements) == set(models)
        assert all(0 < m.latency() <= m.latency(90) <= m.upper(90) for m in measurements.values())


def _refuses(call: Callable[[], object]) -> None:
    with pytest.raises(DeviceError) as caught:
        call()
    assert caught.value.message and caught.value.next_step
