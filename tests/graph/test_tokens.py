"""Layers of tokens: torch, ONNX Runtime, LiteRT and the CUDA plugin's program agree."""

import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: pip install ai-edge-litert")

from nagsdk.device.backend import EXACT
from nagsdk.errors import UnsupportedLayerError
from nagsdk.families.attention import Attention
from nagsdk.graph import parity
from nagsdk.graph.integers import integer_graph
from nagsdk.graph.interpret import tensors
from nagsdk.graph.lint import lint
from nagsdk.graph.onnx import IR_VERSIONS, write_onnx
from nagsdk.graph.tflite import write_tflite
from nagsdk.graph.trace import trace
from nagsdk.testing import random_images
from nagsdk_cuda.program import Program
from tests.graph.test_tflite import run


class Transformer(nn.Module):
    """One block, whose values are the keys too."""

    def __init__(self, channels, heads, size, norm=True):
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, channels, 3, 2, 1), nn.GELU()
        self.norm = nn.LayerNorm(channels) if norm else nn.LayerNorm(channels, elementwise_affine=False)
        self.queries, self.keys = (nn.Linear(channels, heads * size) for _ in range(2))
        self.attention, self.project = Attention(heads), nn.Linear(heads * size, channels, bias=False)
        self.classifier = nn.Linear(channels, 5)

    def forward(self, images):
        x = torch.transpose(self.act(self.stem(images)).flatten(start_dim=2), 1, 2)
        y, shared = self.norm(x), self.keys(self.norm(x))
        x = x + self.project(self.attention(self.queries(y), shared, shared))
        return self.classifier(functional.gelu(x).mean(dim=1))


def network(*sizes):
    torch.manual_seed(sum(sizes))
    module = Transformer(*sizes)
    if sizes[3]:
        nn.init.normal_(module.norm.weight)
        nn.init.normal_(module.norm.bias)
    return module.eval()


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 9), st.booleans()),
    st.integers(3, 14),
    st.sampled_from(sorted(IR_VERSIONS)),
    st.integers(1, 3),
)
def test_every_runtime_computes_tokens_as_torch_does(tmp_path_factory, sizes, pixels, opset, batch):
    folder = tmp_path_factory.mktemp("files")
    module = network(*sizes)
    graph, images = trace(module, pixels, batch), random_images(batch, pixels) * 3
    with torch.no_grad():
        expected = module(torch.from_numpy(images)).numpy()
        found = {"program": Program(graph, torch.float32)(torch.from_numpy(images)).numpy()}
    found["graph"] = dict(tensors(graph, torch.from_numpy(images)))[graph.output].numpy()
    write_onnx(graph, folder / "n.onnx", opset)
    session = onnxruntime.InferenceSession((folder / "n.onnx").read_bytes())
    (found["onnx"],) = session.run(None, {"image": images})
    write_tflite(graph, folder / "n.tflite")
    found["tflite"] = run(folder / "n.tflite", images)
    for name, actual in found.items():
        assert parity.relative_error(expected, actual) <= EXACT, f"{name} differs at {sizes}, {pixels} px"
    assert lint(folder / "n.tflite").refused_by("xnnpack") == ()


def test_integers_are_refused_with_the_names_of_the_layers():
    names = "GELU, attention, layer normalisation, tokens"
    with pytest.raises(UnsupportedLayerError, match=f"no integer form yet: {names}"):
        integer_graph(trace(network(4, 1, 4, True), 8), random_images(2, 8))


class Wrong(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.conv, self.compute = nn.Conv2d(3, 4, 3), forward

    def forward(self, images):
        return self.compute(self.conv(images))


@pytest.mark.parametrize(
    ("forward", "what"),
    [
        (lambda x: x.transpose(1, 2), "a transpose that does not follow"),
        (lambda x: x.flatten(2).transpose(0, 2), "a transpose that does not follow"),
        (lambda x: x.flatten(2).mean(1), "a flatten that does not start"),
        (lambda x: functional.gelu(x, approximate="tanh").flatten(1), "gelu"),
    ],
)
def test_other_forms_are_refused_by_name(forward, what):
    with pytest.raises(UnsupportedLayerError, match=what):
        trace(Wrong(forward).eval(), 8)


@pytest.mark.parametrize("module", [nn.GELU("tanh"), nn.LayerNorm([4, 6, 6])])
def test_modules_with_other_settings_are_refused(module):
    with pytest.raises(UnsupportedLayerError, match="1 "):
        trace(nn.Sequential(nn.Conv2d(3, 4, 3), module, nn.Flatten()).eval(), 8)
