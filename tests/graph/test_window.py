"""Maxima and means of windows, and ReLU6: torch, ONNX Runtime, LiteRT and the CUDA plugin's program agree."""

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: pip install ai-edge-litert")

from nagsdk.errors import UnsupportedLayerError
from nagsdk.graph.interpret import computed
from nagsdk.graph.ir import Graph
from nagsdk.graph.lint import lint
from nagsdk.graph.onnx import write_onnx
from nagsdk.graph.tflite import write_tflite
from nagsdk.graph.trace import trace
from nagsdk.testing import random_images
from nagsdk_cuda.program import Program
from tests.graph.test_tflite import run

MAXIMA = st.builds(
    nn.MaxPool2d,
    kernel_size=st.integers(1, 4),
    stride=st.integers(1, 4),
    padding=st.just(0),
    ceil_mode=st.booleans(),
)
PADDED = st.sampled_from(
    [nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(2, 2, 1), nn.MaxPool2d(3, 2, 1, ceil_mode=True)]
)
MEANS = st.sampled_from([nn.AvgPool2d(2), nn.AvgPool2d(2, ceil_mode=True), nn.AvgPool2d(3, 1), nn.AvgPool2d(3, 2)])


def network(window, size):
    torch.manual_seed(size)
    after = window(torch.zeros(1, 4, size, size)).shape[-1]
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), window, nn.ReLU6(), nn.Conv2d(4, 5, after), nn.Flatten()
    ).eval()


@settings(max_examples=40, deadline=None)
@given(st.one_of(MAXIMA, PADDED, MEANS), st.integers(6, 13))
def test_every_runtime_computes_windows_as_torch_does(tmp_path_factory, window, size):
    folder = tmp_path_factory.mktemp("files")
    module = network(window, size)
    graph, images = trace(module, size), random_images(1, size) * 3
    with torch.no_grad():
        expected = module(torch.from_numpy(images)).numpy()
        program = Program(graph, torch.float32)(torch.from_numpy(images)).numpy()
        values = {Graph.INPUT: torch.from_numpy(images)}
        for node in graph.nodes:
            values[node.name] = computed(node, [values[name] for name in node.inputs])
    write_onnx(graph, folder / "n.onnx")
    found = {"graph": values[graph.output].numpy(), "program": program}
    session = onnxruntime.InferenceSession((folder / "n.onnx").read_bytes())
    (found["onnx"],) = session.run(None, {"image": images})
    write_tflite(graph, folder / "n.tflite")
    found["tflite"] = run(folder / "n.tflite", images)
    for name, actual in found.items():
        np.testing.assert_allclose(actual, expected, atol=2e-5, err_msg=f"{name}: {window}")
    assert lint(folder / "n.tflite").transposes == 0


@pytest.mark.parametrize(
    "window",
    [
        nn.MaxPool2d(3, 2, 1, dilation=2),
        nn.AvgPool2d(3, 2, 1),
        nn.MaxPool2d((3, 2)),
        nn.AvgPool2d(2, divisor_override=3),
    ],
)
def test_windows_that_cannot_be_written_are_refused(window):
    with pytest.raises(UnsupportedLayerError, match=r"1 \("):
        trace(nn.Sequential(nn.Conv2d(3, 4, 3), window).eval(), 16)
