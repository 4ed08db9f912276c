import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from nagsdk.device.description import Device, Overrides
from nagsdk.errors import UsageError
from nagsdk.graph.integer_passes import fed_with
from nagsdk.graph.integers import numbers_of
from nagsdk.graph.simulate import simulated
from nagsdk.graph.trace import trace
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.testing import random_images, random_subnet, small_space
from nagsdk_litert.backend import HOST, LiteRtBackend

SPACE = small_space()
ARCHITECTURE = SPACE.decode(SPACE.sample(1, np.random.default_rng(0)))[0]
STEPS = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
BACKEND = LiteRtBackend()
needs_runtime = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None,
    reason="ai-edge-litert is not installed: pip install ai-edge-litert",
)


@needs_runtime
@pytest.mark.parametrize("io", ["float", "int8", "uint8"])
def test_every_input_and_output_gives_what_the_simulation_gives(io, tmp_path):
    device = replace(HOST, precision="int8", io=io)
    images = random_images(8, ARCHITECTURE.resolution)
    fed = STEPS.pixels(images) if io == "uint8" else images
    graph = fed_with(trace(random_subnet(SPACE, ARCHITECTURE), ARCHITECTURE.resolution), io, STEPS.mean, STEPS.std)
    made = BACKEND.quantised(graph, device, fed)
    path = tmp_path / "network.tflite"
    BACKEND.export(made, path, device)
    with BACKEND.open(device) as session:
        handle = session.load(path)
        found = session.infer(handle, fed)
        assert session.time(handle, 0, 2, 60.0).wall_ms
    expected = simulated(made, fed)
    assert np.linalg.norm(found - expected) <= max(BACKEND.tolerance(device), 1e-5) * np.linalg.norm(expected)
    assert numbers_of(made, made.INPUT, io)["type"] == ("float32" if io == "float" else io)


def test_pixels_are_the_way_back_from_normalised_inputs():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), np.uint8)
    back = STEPS.pixels(STEPS.normalised(pixels))
    assert (back == pixels.transpose(0, 3, 1, 2)).all()
    assert np.abs(STEPS.of_pixels.normalised(pixels) - back).max() < 1e-3


def test_numbers_that_a_precision_does_not_have_are_refused_with_those_it_has():
    device = Device("litert", "this machine", "litert")
    with pytest.raises(UsageError, match="'uint8' as input and output in fp32") as caught:
        Overrides(io="uint8").on(device, BACKEND.precisions, BACKEND.ios)
    assert "float" in caught.value.next_step and "int8 as precision" in caught.value.next_step
    with pytest.raises(UsageError, match="'int4'"):
        Overrides(precision="int8", io="int4").on(device, BACKEND.precisions, BACKEND.ios)
    described = replace(device, precision="int8", io="uint8")
    assert Overrides().on(described, BACKEND.precisions, BACKEND.ios).io == "uint8"
    assert Overrides(precision="fp32").on(described, BACKEND.precisions, BACKEND.ios).io == "float"
