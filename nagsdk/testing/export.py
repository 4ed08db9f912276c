"""Checks of the files that a backend writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.errors import UnsupportedLayerError
from nagsdk.graph.ir import Graph
from nagsdk.space.architecture import Architecture
from nagsdk.testing.kit import ARCHITECTURES, SPACE, Checks, Compile, Unheard, check_parity, graph_of, supported
from nagsdk.testing.networks import random_images


class ExportChecks(Checks):
    """Parity with torch, unsupported layers, compilation."""

    def test_supports_answers_for_every_layer(self, backend: Backend, device: Device) -> None:
        """`supports` returns True or False for every layer of the test networks, and supports some test network."""
        answers = {backend.supports(layer, device) for a in ARCHITECTURES for layer in SPACE.layers(a)}
        assert answers <= {True, False}
        assert any(supported(backend, device, a) for a in ARCHITECTURES), (
            "no test network is supported: nothing can be checked"
        )

    @pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
    def test_parity(self, backend: Backend, device: Device, compiled: Compile, architecture: Architecture) -> None:
        """The exported network computes the same as torch, also if the last batch is not full; or export refuses it."""
        if not supported(backend, device, architecture):
            with pytest.raises(UnsupportedLayerError):
                compiled(architecture)
            return
        images = random_images(2 * device.batch + 1, architecture.resolution)
        with backend.open(device) as session:
            actual = session.infer(session.load(compiled(architecture)), images)
        assert actual.dtype == "float32"
        check_parity(backend, device, architecture, images, actual)

    def test_export_without_images(
        self, backend: Backend, device: Device, architectures: list[Architecture], tmp_path: Path
    ) -> None:
        """Networks are exported without calibration images too, because networks that are only timed have none."""
        artifact = tmp_path / f"network{backend.suffix}"
        backend.export(graph_of(architectures[0], device.batch), artifact, device)
        assert artifact.stat().st_size > 0

    def test_what_is_told_of_an_artifact_without_its_device(
        self, backend: Backend, device: Device, architectures: list[Architecture], tmp_path: Path
    ) -> None:
        """`inspect` returns JSON-ready values, and `emulate` computes the same as torch or returns None."""
        architecture, artifact = architectures[0], tmp_path / f"network{backend.suffix}"
        images = random_images(2 * device.batch, architecture.resolution)
        seen = random_images(16, architecture.resolution, seed=1)
        backend.export(graph_of(architecture, device.batch), artifact, device, seen)
        assert json.loads(json.dumps(backend.inspect(artifact), allow_nan=False)) == backend.inspect(artifact)
        actual = backend.emulate(artifact, device, images)
        if actual is not None:
            check_parity(backend, device, architecture, images, actual)

    def test_unsupported_layer(self, backend: Backend, device: Device, tmp_path: Path) -> None:
        """An operation that the backend does not know is refused by name, not skipped."""
        node = Unheard("unheard", (Graph.INPUT,))
        with pytest.raises(UnsupportedLayerError) as caught:
            backend.export(
                Graph((device.batch, 3, 8, 8), (node,), node.name), tmp_path / f"network{backend.suffix}", device
            )
        assert "unheard" in caught.value.message
        assert caught.value.next_step

    def test_compilation(
        self, backend: Backend, device: Device, architectures: list[Architecture], tmp_path: Path
    ) -> None:
        """Compiling does not change the artifact; the result is a file in the folder, different for each network."""
        artifacts = [tmp_path / f"{a.hash}{backend.suffix}" for a in architectures[:2]]
        for architecture, artifact in zip(architectures, artifacts, strict=False):
            backend.export(
                graph_of(architecture, device.batch), artifact, device, random_images(16, architecture.resolution)
            )
        contents = [artifact.read_bytes() for artifact in artifacts]
        results = [backend.compile(artifact, device, tmp_path) for artifact in artifacts]
        assert all(result.is_file() and result.parent == tmp_path for result in results)
        for artifact, result in zip(artifacts, results, strict=False):
            named = artifact.with_name(artifact.name.removesuffix(backend.suffix) + backend.compiled_suffix)
            assert result in (artifact, named)
        assert len(set(results)) == len(results)
        assert [artifact.read_bytes() for artifact in artifacts] == contents
