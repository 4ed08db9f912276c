import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nagsdk.errors import UnsupportedLayerError
from nagsdk.graph.ir import Activation, Binary, Conv, Graph, Linear
from nagsdk.graph.trace import trace
from nagsdk.testing import random_subnet, small_space

SPACE = small_space()


def subnet(seed=0):
    (architecture,) = SPACE.decode(SPACE.sample(1, np.random.default_rng(seed)))
    return random_subnet(SPACE, architecture), architecture


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_every_shape_is_what_torch_computes(seed):
    network, architecture = subnet(seed)
    graph = trace(network, architecture.resolution, batch=2)
    seen = {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda _, __, output, name=name: seen.__setitem__(name, tuple(output.shape)))
    logits = network(torch.zeros(graph.input_shape))
    compared = [node for node in graph.nodes if node.name in seen]
    assert {type(node) for node in compared} >= {Conv, Linear, Activation}
    assert all(graph.shapes[node.name] == seen[node.name] for node in compared)
    assert graph.shapes[graph.output] == tuple(logits.shape)


def test_the_weights_agree_with_the_layer_descriptions():
    network, architecture = subnet(3)
    graph = trace(network, architecture.resolution)
    numbers = sum(node.weight.size + node.bias.size for node in graph.nodes if isinstance(node, (Conv, Linear)))
    without_bias = sum(
        layer.out_channels
        for layer in SPACE.layers(architecture)
        if layer.weights and not (layer.batch_norm or layer.bias or layer.kind == "se")
    )
    assert numbers == sum(layer.folded_parameters for layer in SPACE.layers(architecture)) + without_bias
    assert graph.architecture == architecture.text


def test_folding_is_exact_to_float32():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=True), nn.BatchNorm2d(8), nn.Hardswish()).eval()
    norm = network[1]
    norm.running_mean.normal_(0, 3)
    norm.running_var.uniform_(1e-3, 9)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    conv, _ = trace(network, 8).nodes
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    folded = nn.functional.conv2d(
        x, torch.from_numpy(conv.weight).double(), torch.from_numpy(conv.bias).double(), padding=1
    )
    expected = network.double()[:2](x)
    assert (folded - expected).abs().max() <= 4e-7 * expected.abs().max()


def test_the_graph_holds_copies():
    network, architecture = subnet()
    graph = trace(network, architecture.resolution)
    kept = graph.nodes[-1].weight.copy()
    with torch.no_grad():
        network.classifier.weight.zero_()
    assert np.array_equal(graph.nodes[-1].weight, kept)


class Strange(nn.Module):
    """A network with a given forward pass."""

    def __init__(self, forward, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.strange = forward

    def forward(self, x):
        return self.strange(self, x)


CONV = nn.Conv2d(3, 3, 3, padding=1)


@pytest.mark.parametrize(
    ("named", "network"),
    [
        ("Softplus", nn.Sequential(CONV, nn.Softplus())),
        ("sigmoid", Strange(lambda self, x: torch.sigmoid(x))),
        ("reshape", Strange(lambda self, x: x.reshape(1, -1))),
        ("mean", Strange(lambda self, x: x.mean((1, 2), keepdim=True))),
        ("mean", Strange(lambda self, x: x.mean((2, 3)))),
        ("add", Strange(lambda self, x: x + 1)),
        ("dilation", nn.Sequential(nn.Conv2d(3, 3, 3, dilation=2))),
        ("kernel_size=(1, 3)", nn.Sequential(nn.Conv2d(3, 3, (1, 3)))),
        ("reflect", nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"))),
        ("does not follow a convolution", nn.Sequential(nn.BatchNorm2d(3))),
        (
            "does not follow a convolution",
            Strange(lambda self, x: self.norm(y := self.conv(x)) + y, norm=nn.BatchNorm2d(3), conv=CONV),
        ),
        ("trace", Strange(lambda self, x: x if x.sum() > 0 else -x)),
    ],
)
def test_an_unsupported_operation_is_named(named, network):
    with pytest.raises(UnsupportedLayerError, match=named.replace("(", r"\(").replace(")", r"\)")) as caught:
        trace(network.eval(), 8)
    assert caught.value.next_step


def test_a_module_used_twice_is_two_nodes():
    network = Strange(lambda self, x: self.conv(self.conv(x)), conv=CONV).eval()
    graph = trace(network, 8)
    assert [type(node) for node in graph.nodes] == [Conv, Conv]
    assert graph.nodes[0].name != graph.nodes[1].name
    assert graph.nodes[1].inputs == (graph.nodes[0].name,)


def test_a_module_used_twice_is_folded_separately():
    torch.manual_seed(1)
    network = Strange(lambda self, x: self.conv(self.norm(self.conv(x))), conv=CONV, norm=nn.BatchNorm2d(3)).eval()
    network.norm.running_var.fill_(4.0)
    first, second = trace(network, 8).nodes
    assert np.allclose(first.weight * 2, second.weight, rtol=1e-4)


def test_a_tensor_may_be_added_to_itself():
    graph = trace(Strange(lambda self, x: x + x).eval(), 8)
    assert isinstance(graph.nodes[0], Binary)
    assert graph.nodes[0].inputs == (Graph.INPUT, Graph.INPUT)


def test_training_mode_is_refused():
    with pytest.raises(UnsupportedLayerError, match="training mode"):
        trace(nn.Sequential(CONV).train(), 8)


def test_an_input_that_is_too_small_is_refused():
    with pytest.raises(UnsupportedLayerError, match="cannot read"):
        trace(nn.Sequential(nn.Conv2d(3, 3, 5)).eval(), 4)
