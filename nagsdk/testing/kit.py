"""What all checks of a backend share: test networks, fixtures, and the check of a refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from nagsdk.device.backend import Backend, Tensor
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError
from nagsdk.graph import parity
from nagsdk.graph.ir import Graph, Node, Shape
from nagsdk.graph.trace import trace
from nagsdk.space.architecture import Architecture
from nagsdk.testing.networks import random_images, random_subnet, small_space

SPACE = small_space()
ARCHITECTURES = SPACE.decode(SPACE.sample(4, np.random.default_rng(0)))
ENDLESS_RUNS = 10**9
Compile = Callable[[Architecture], Path]


@dataclass(frozen=True, eq=False)
class Unheard(Node):
    """An operation that no backend knows."""

    def infer(self, *inputs: Shape) -> Shape | None:
        """Keeps the shape."""
        return inputs[0]


class Checks:
    """Base class of the checks.

    Attributes:
        load_timeout_s: Timeout of every burst that is expected to end.
    """

    load_timeout_s: ClassVar[float] = 60.0

    @pytest.fixture
    def backend(self) -> Backend:
        """The backend under test."""
        raise NotImplementedError("define the fixture `backend` in your subclass")

    @pytest.fixture
    def device(self) -> Device:
        """An attached device that the backend reaches."""
        raise NotImplementedError("define the fixture `device` in your subclass")

    @pytest.fixture
    def impossible(self) -> list[Device]:
        """Devices with providers, cores or accelerators that this machine does not have; define it for such options."""
        return []

    @pytest.fixture
    def architectures(self, backend: Backend, device: Device) -> list[Architecture]:
        """The test networks whose layers the backend supports."""
        return [a for a in ARCHITECTURES if supported(backend, device, a)]

    @pytest.fixture
    def compiled(self, backend: Backend, device: Device, tmp_path: Path) -> Compile:
        """A function that exports and compiles an architecture."""

        def make(architecture: Architecture) -> Path:
            artifact = tmp_path / f"{architecture.hash}{backend.suffix}"
            backend.export(
                graph_of(architecture, device.batch),
                artifact,
                device,
                random_images(16, architecture.resolution, seed=1),
            )
            return backend.compile(artifact, device, tmp_path)

        return make


def graph_of(architecture: Architecture, batch: int) -> Graph:
    """Returns the lowered test network of an architecture."""
    return trace(random_subnet(SPACE, architecture), architecture.resolution, batch)


def logits_of(architecture: Architecture, images: Tensor) -> Tensor:
    """Returns the logits that torch computes, shape (n, classes)."""
    with torch.no_grad():
        logits: Tensor = random_subnet(SPACE, architecture)(torch.from_numpy(images)).numpy()
    return logits


def check_parity(backend: Backend, device: Device, architecture: Architecture, images: Tensor, actual: Tensor) -> None:
    """Fails unless logits are those of torch, or of the simulation if the file is one of integers."""
    tolerance = backend.tolerance(device)
    if device.precision in backend.integer_precisions:
        from nagsdk.graph.integers import IntegerGraph
        from nagsdk.graph.simulate import simulated

        seen = random_images(16, architecture.resolution, seed=1)
        graph, scheme = graph_of(architecture, device.batch), backend.scheme(device)
        made = backend.quantised(graph, device, seen)
        if scheme is not None:
            promised = scheme.quantised(graph, seen)
            told = f"quantised makes other integers than the scheme {scheme.name}"
            assert isinstance(made, IntegerGraph) and made.most == promised.most, told
            assert [node.name for node in made.nodes] == [node.name for node in promised.nodes], told
        if isinstance(made, IntegerGraph):
            parity.check(simulated(made, images), actual, parity.FEW_IMAGES * tolerance, "its simulation")
            return
    parity.check(logits_of(architecture, images), actual, tolerance)


def supported(backend: Backend, device: Device, architecture: Architecture) -> bool:
    """Returns whether the backend supports every layer of a test network."""
    return all(backend.supports(layer, device) for layer in SPACE.layers(architecture))


def refuses(call: Callable[[], object], what: str) -> None:
    """Fails unless a call raises a DeviceError with a message and a next step."""
    try:
        call()
    except DeviceError as error:
        assert error.message and error.next_step, f"{what} raises an error without a message or without a next step"
    except Exception as error:
        pytest.fail(f"{what} raises {type(error).__name__} instead of a DeviceError: {error}")
    else:
        pytest.fail(f"{what} is not refused")
