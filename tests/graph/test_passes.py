from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nagsdk.errors import UnsupportedLayerError
from nagsdk.graph.interpret import tensors
from nagsdk.graph.ir import Activation, Binary, Conv, Graph, Node, Pad, Pool, Rows
from nagsdk.graph.passes import FAST_TAPS, split_large_depthwise, with_temperature
from nagsdk.graph.trace import trace
from nagsdk.testing import random_subnet, small_space


def run(graph: Graph, image: torch.Tensor) -> torch.Tensor:
    """Computes the convolutions, sums, rows and padding of a graph in float64."""
    values = {Graph.INPUT: image}
    for node in graph.nodes:
        inputs = [values[name] for name in node.inputs]
        match node:
            case Conv():
                weight, bias = (torch.from_numpy(v).double() for v in (node.weight, node.bias))
                image = nn.functional.pad(inputs[0], node.sides * 2)
                values[node.name] = nn.functional.conv2d(image, weight, bias, node.stride, groups=node.groups)
            case Rows():
                values[node.name] = inputs[0][:, :, node.start : node.stop]
            case Pad():
                values[node.name] = nn.functional.pad(inputs[0], (node.left, node.right, node.top, node.bottom))
            case Binary(function="add"):
                values[node.name] = inputs[0] + inputs[1]
            case _:
                raise AssertionError(node)
        assert tuple(values[node.name].shape) == graph.shapes[node.name]
    return values[graph.output]


@given(
    size=st.integers(1, 17),
    kernel=st.sampled_from([3, 5, 7, 9, 11]),
    stride=st.integers(1, 3),
    padding=st.integers(0, 5),
    extra=st.integers(0, 1),
    taps=st.sampled_from([1, 9, 25, 40]),
)
@settings(max_examples=150, deadline=None)
def test_the_sum_of_the_parts_is_the_convolution(size, kernel, stride, padding, extra, taps):
    rng = np.random.default_rng(kernel)
    if size + 2 * padding < kernel or padding >= kernel:
        return
    weight, bias = (
        rng.standard_normal((4, 1, kernel, kernel)).astype(np.float32),
        rng.standard_normal(4).astype(np.float32),
    )
    conv = Conv("conv", (Graph.INPUT,), weight, bias, stride, padding, 4, extra)
    graph = Graph((2, 4, size, size), (conv,), "conv", "mbv3:…")
    split = split_large_depthwise(graph, taps)
    image = torch.from_numpy(rng.standard_normal(graph.input_shape))
    expected, actual = run(graph, image), run(split, image)
    assert (actual - expected).abs().max() <= 1e-12 * (1 + expected.abs().max())
    assert split.output == graph.output and split.architecture == graph.architecture
    whole = max(1, taps // kernel) * kernel
    assert all(np.prod(n.kernel) <= max(whole, taps) for n in split.nodes if isinstance(n, Conv))


def test_a_7x7_kernel_becomes_three_parts_and_others_do_not_change():
    space = small_space()
    architecture = space.architecture(resolution=32, depths=(2, 1), kernels=(3, 5, 7), expansions=(2, 2, 2))
    graph = trace(random_subnet(space, architecture), 32)
    split = split_large_depthwise(graph)
    rewritten = [node for node in split.nodes if node not in graph.nodes]
    (large,) = [node for node in graph.nodes if node not in split.nodes]
    assert large.kernel == (7, 7)
    assert [n.kernel for n in rewritten if isinstance(n, Conv)] == [(3, 7), (3, 7), (1, 7)]
    assert [type(n) for n in rewritten] == [Rows, Pad, Conv, Rows, Pad, Conv, Binary, Rows, Pad, Conv, Binary]
    assert split.shapes[large.name] == graph.shapes[large.name]
    assert FAST_TAPS >= 7 * 3


def test_the_bias_counts_once():
    conv = Conv("conv", (Graph.INPUT,), np.zeros((2, 1, 7, 7), np.float32), np.float32([1, -2]), 1, 3, 2)
    split = split_large_depthwise(Graph((1, 2, 8, 8), (conv,), "conv"))
    assert run(split, torch.zeros(1, 2, 8, 8, dtype=torch.float64))[0, :, 4, 4].tolist() == [1, -2]


def test_ordinary_convolutions_and_other_nodes_stay_the_same_objects():
    rng = np.random.default_rng(0)
    nodes: tuple[Node, ...] = (
        Conv(
            "conv", (Graph.INPUT,), rng.standard_normal((4, 3, 7, 7)).astype(np.float32), np.zeros(4, np.float32), 1, 3
        ),
        Activation("relu", ("conv",), "relu"),
        Pool("pool", ("relu",)),
    )
    assert split_large_depthwise(Graph((1, 3, 9, 9), nodes, "pool")).nodes == nodes


@pytest.mark.parametrize("rows", [(-1, 3), (2, 2), (0, 9)])
def test_rows_outside_the_image_do_not_fit(rows):
    assert Rows("rows", ("x",), *rows).infer((1, 2, 8, 8)) is None


def test_the_last_layer_takes_a_temperature_up():
    space = small_space()
    architecture = space.architecture(resolution=32, depths=(1, 1), kernels=(3, 5), expansions=(2, 2))
    graph = trace(random_subnet(space, architecture), 32)
    image = torch.from_numpy(np.random.default_rng(0).normal(size=graph.input_shape).astype(np.float32))
    plain, scaled = (dict(tensors(g, image))[graph.output] for g in (graph, with_temperature(graph, 2.5)))
    torch.testing.assert_close(scaled, plain / 2.5, rtol=1e-4, atol=1e-6)
    nodes = tuple(node for node in graph.nodes if node.name != graph.output)
    ends = next(n for n in reversed(nodes) if isinstance(n, Activation))
    with pytest.raises(UnsupportedLayerError, match="has no weights to scale"):
        with_temperature(replace(graph, nodes=nodes, output=ends.name), 2.5)
