import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import nagsdk
from nagsdk.device.description import Device, Overrides
from nagsdk.errors import UsageError
from nagsdk.graph.integer_passes import fed_with
from nagsdk.graph.integers import numbers_of
from nagsdk.graph.simulate import simulated
from nagsdk.graph.trace import trace
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.images.sheets import read_sheet
from nagsdk.pipeline.try_images import try_images
from nagsdk.testing import random_images, random_subnet, small_space
from nagsdk_litert.backend import HOST, LiteRtBackend

SPACE = small_space()
ARCHITECTURE = SPACE.decode(SPACE.sample(1, np.random.default_rng(0)))[0]
SMALL = "mbv3:r44:d=2,2,2,1:ks=3,3,5,3,3,3,3:e=2,2,4,2,4,2,2"
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
    assert caught.value.next_step == "Use float as input and output, or the precision int8."
    with pytest.raises(UsageError, match="'int4'"):
        Overrides(precision="int8", io="int4").on(device, BACKEND.precisions, BACKEND.ios)
    described = replace(device, precision="int8", io="uint8")
    assert Overrides().on(described, BACKEND.precisions, BACKEND.ios).io == "uint8"
    assert Overrides(precision="fp32").on(described, BACKEND.precisions, BACKEND.ios).io == "float"


@needs_runtime
def test_deployments_of_all_numbers_answer_alike_from_images(tmp_path):
    """`load` and `nagsdk try` feed pixels or integers where the file wants them."""
    bundle = nagsdk.load_bundle("glyphs")
    images = bundle.description.images
    tiles = read_sheet(bundle.folder / images.test.file, images.test.count, images.tile)[:100]
    Image.fromarray(tiles[0]).save(tmp_path / "image.png")
    found, tried = {}, {}
    for io in ("float", "int8", "uint8"):
        deployment = nagsdk.export("litert", SMALL, tmp_path / io, precision="int8", io=io)
        numbers = json.loads((tmp_path / io / "manifest.json").read_text("utf-8"))["integers"]
        assert numbers["input"]["type"] == numbers["output"]["type"] == ("float32" if io == "float" else io)
        found[io] = np.array([p.probabilities for p in deployment.load()(*tiles)])
        (one,) = try_images(tmp_path / io, tmp_path / "image.png", top=1).images
        tried[io] = one.guesses[0]
    right = found["float"].argmax(1) == bundle.test_set(44).labels[:100]
    assert right.mean() > 0.8
    for io in ("int8", "uint8"):
        assert (found[io].argmax(1) == found["float"].argmax(1)).mean() >= 0.95
        assert np.abs(found[io] - found["float"]).mean() < 0.01
        assert tried[io].label == bundle.labels[found[io][0].argmax()]
        assert tried[io].probability == pytest.approx(found[io][0].max(), abs=1e-5)
