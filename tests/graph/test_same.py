"""Zeros by TensorFlow's rule SAME: torch, every runtime and the simulation of integers agree with it."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: pip install ai-edge-litert")

from nagsdk.errors import UnsupportedLayerError
from nagsdk.graph.arena import tenancies
from nagsdk.graph.integers import MOST_OF_7_BITS, integer_graph
from nagsdk.graph.interpret import tensors
from nagsdk.graph.lint import lint
from nagsdk.graph.onnx import write_onnx
from nagsdk.graph.onnx_int8 import write_integer_onnx
from nagsdk.graph.passes import split_large_depthwise
from nagsdk.graph.simulate import simulated
from nagsdk.graph.tflite import write_tflite
from nagsdk.graph.tflite_int8 import write_integer_tflite
from nagsdk.graph.trace import trace
from nagsdk.space.layer import same_sides
from nagsdk.testing import random_images
from nagsdk_cuda.program import Program
from tests.graph.test_simulate import litert
from tests.graph.test_tflite import run

CASES = [
    (size, kernel, stride, depthwise)
    for size in (7, 8)
    for kernel in (1, 2, 3, 5, 7)
    for stride in (1, 2, 3)
    for depthwise in (False, True)
]


def tensorflow(images, weight, stride, groups):
    """TensorFlow's definition: the output has ceil(size / stride) positions, and the rest of the zeros comes after."""
    size, kernel = images.shape[2], weight.shape[2]
    out = -(-size // stride)
    needed = max((out - 1) * stride + kernel - size, 0)
    around = (needed // 2, needed - needed // 2)
    padded = np.pad(images, ((0, 0), (0, 0), around, around))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (2, 3))[:, :, ::stride, ::stride]
    taken = windows[:, :, :out, :out]
    if groups == 1:
        return np.einsum("nchwij,ocij->nohw", taken, weight)
    return np.einsum("nchwij,cij->nchw", taken, weight[:, 0])


def network(size, kernel, stride, depthwise):
    torch.manual_seed(100 * size + 10 * kernel + stride)
    before, after = same_sides(size, kernel, stride)
    conv = nn.Conv2d(3, 3 if depthwise else 4, kernel, stride, groups=3 if depthwise else 1, bias=False)
    pad = nn.ZeroPad2d((before, after, before, after))
    return nn.Sequential(pad, conv, nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_every_runtime_adds_the_zeros_of_tensorflow(tmp_path, stride):
    for case in (case for case in CASES if case[2] == stride):
        check(tmp_path, *case)


def check(folder, size, kernel, stride, depthwise):
    module = network(size, kernel, stride, depthwise)
    images = random_images(1, size)
    convolved = tensorflow(images, module[1].weight.detach().numpy(), stride, 3 if depthwise else 1)
    expected = np.clip(convolved, 0, 6).mean((2, 3))
    graph = trace(module, size)
    assert graph.shapes["1"][2:] == convolved.shape[2:]
    *_, (_, interpreted) = tensors(graph, torch.from_numpy(images))
    found = {"graph": interpreted.numpy()}
    with torch.no_grad():
        found |= {"torch": module(torch.from_numpy(images)).numpy()}
        found |= {"program": Program(graph, torch.float32)(torch.from_numpy(images)).numpy()}
    write_onnx(graph, folder / "n.onnx")
    session = onnxruntime.InferenceSession((folder / "n.onnx").read_bytes())
    (found["onnx"],) = session.run(None, {"image": images})
    for name, written in (("tflite", graph), ("split", split_large_depthwise(graph))):
        write_tflite(written, folder / "n.tflite")
        found[name] = run(folder / "n.tflite", images)
    where = (size, kernel, stride, depthwise)
    for name, actual in found.items():
        np.testing.assert_allclose(actual, expected, atol=1e-5, err_msg=f"{name} {where}")
    made = integer_graph(graph, images)
    write_integer_tflite(made, folder / "i.tflite")
    whole = simulated(made, images)
    np.testing.assert_array_equal(litert(folder / "i.tflite", images), whole, err_msg=str(where))
    narrow = integer_graph(graph, images, most=MOST_OF_7_BITS)  # with 8 bits, sums saturate on processors without VNNI
    write_integer_onnx(narrow, folder / "i.onnx")
    session = onnxruntime.InferenceSession((folder / "i.onnx").read_bytes())
    step, whole = narrow.affine(graph.output).scale, simulated(narrow, images)
    np.testing.assert_allclose(session.run(None, {"image": images})[0], whole, atol=1.01 * step, err_msg=str(where))
    np.testing.assert_allclose(whole, expected, atol=0.05 * max(1.0, np.abs(expected).max()), err_msg=str(where))


@pytest.mark.parametrize(("size", "more"), [(8, 0), (7, 1)])
def test_tflite_needs_no_operator_for_zeros_on_one_side(tmp_path, size, more):
    graph = trace(network(size, 3, 2, True), size)
    write_tflite(graph, tmp_path / "n.tflite")
    assert graph.nodes[0].extra == 1 - size % 2
    assert len(tenancies(graph)) == len(["image", "convolution with ReLU6", "mean", "logits"]) + more
    assert lint(tmp_path / "n.tflite").operators.get("PAD", 0) == more


def test_openvino_adds_the_zeros_of_tensorflow(tmp_path):
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    # One for all networks: when a second one begins before the first has ended, the stack that OpenVINO gives to signal
    # handlers is freed while it is in use, and the next signal ends this process.
    core = openvino.Core()
    for size, kernel, stride, depthwise in CASES[::7]:
        module, images = network(size, kernel, stride, depthwise), random_images(1, size)
        write_onnx(trace(module, size), tmp_path / "n.onnx")
        model = core.compile_model(tmp_path / "n.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        with torch.no_grad():
            expected = module(torch.from_numpy(images)).numpy()
        np.testing.assert_allclose(model(images)[0], expected, atol=1e-5)


class Padded(nn.Module):
    def __init__(self, widths=(0, 1, 0, 1), **settings):
        super().__init__()
        self.conv, self.widths, self.settings = nn.Conv2d(3, 4, 3, 2), widths, settings

    def forward(self, x):
        return self.conv(functional.pad(x, self.widths, **self.settings)).mean((2, 3), keepdim=True).flatten(1)


def test_zeros_of_a_function_are_those_of_the_module():
    graph = trace(Padded().eval(), 8)
    assert graph.nodes[0].sides == (0, 1) and graph.shapes["conv"] == (1, 4, 4, 4)


@pytest.mark.parametrize(
    "module",
    [
        Padded((0, 1, 1, 0)),
        Padded((0, 1)),
        Padded((0, -1, 0, -1)),
        Padded(value=1.0),
        Padded(mode="reflect"),
        nn.Sequential(nn.ZeroPad2d(1), nn.ReLU(), nn.Conv2d(3, 4, 3)),
        nn.Sequential(nn.ZeroPad2d(1), nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3)),
    ],
)
def test_other_values_around_an_image_are_refused(module):
    with pytest.raises(UnsupportedLayerError, match="cannot be exported"):
        trace(module.eval(), 16)
