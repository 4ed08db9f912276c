import dataclasses
import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: pip install ai-edge-litert")
if sys.platform == "darwin":
    pytest.skip("XNNPACK rounds halves in another way on Arm", allow_module_level=True)

from ai_edge_litert.interpreter import Interpreter

from nagsdk.graph.integer_passes import without_hard_functions
from nagsdk.graph.integers import Affine, IntegerGraph, integer_graph
from nagsdk.graph.interpret import tensors
from nagsdk.graph.ir import (
    ADD,
    GATE,
    HARD_SIGMOID,
    HARD_SWISH,
    MULTIPLY,
    RELU,
    Activation,
    Binary,
    Conv,
    Flatten,
    Graph,
    Linear,
    Pool,
)
from nagsdk.graph.passes import split_large_depthwise
from nagsdk.graph.simulate import simulated
from nagsdk.graph.tflite_int8 import write_integer_tflite
from nagsdk.graph.trace import trace
from nagsdk.graph.trainable import TrainableGraph
from nagsdk.testing import random_images, random_subnet, small_space

SPACE = small_space()
KINDS = ("pointwise", "conv", "depthwise", "add", "multiply", "gate", "swish", "se", "pool", "relu", "linear", "twice")


def litert(path, images):
    network = Interpreter(model_content=path.read_bytes(), num_threads=1)
    network.allocate_tensors()
    (source,), (target,) = network.get_input_details(), network.get_output_details()
    results = []
    for image in images:
        network.set_tensor(source["index"], np.ascontiguousarray(image[None].transpose(0, 2, 3, 1)))
        network.invoke()
        results.append(network.get_tensor(target["index"])[0])
    return np.array(results)


def network(kind, rng, *, channels, size, kernel, stride, spread):
    """A small network around one kind of operation, whose tensors have very different ranges."""

    def weights(*shape):
        each = np.exp(rng.normal(size=shape[0]) * spread).reshape(-1, *[1] * (len(shape) - 1))
        return (rng.normal(size=shape) * each).astype(np.float32)

    def conv(name, source, taps, step=1, depthwise=False, inputs=channels):
        groups = channels if depthwise else 1
        shape = (channels, 1 if depthwise else inputs, taps, taps)
        return Conv(name, (source,), weights(*shape), weights(channels), step, taps // 2, groups)

    nodes = [conv("stem", Graph.INPUT, 1, inputs=3)]
    match kind:
        case "pointwise" | "conv":
            nodes.append(conv("out", "stem", 1 if kind == "pointwise" else kernel, stride))
        case "depthwise":
            nodes += [conv("dw", "stem", kernel, stride, True), Activation("out", ("dw",), RELU)]
        case "add" | "multiply":
            nodes += [conv("other", "stem", 1), Binary("out", ("stem", "other"), ADD if kind == "add" else MULTIPLY)]
        case "gate":
            nodes.append(Activation("out", ("stem",), GATE))
        case "swish":
            nodes += [Activation("swish", ("stem",), HARD_SWISH), conv("out", "swish", kernel, stride)]
        case "se":
            squeeze = [Pool("pool", ("stem",)), conv("fc", "pool", 1), Activation("sigmoid", ("fc",), HARD_SIGMOID)]
            nodes += [*squeeze, Binary("gated", ("stem", "sigmoid"), MULTIPLY), conv("out", "gated", 1)]
        case "pool":
            nodes.append(Pool("out", ("stem",)))
        case "relu":
            nodes += [
                conv("twice", "stem", 1),
                Activation("relu", ("twice",), RELU),
                Binary("out", ("relu", "twice"), ADD),
            ]
        case "linear":
            flat = [Pool("pool", ("stem",)), Flatten("flat", ("pool",))]
            nodes += [*flat, Linear("out", ("flat",), weights(7, channels), weights(7))]
        case "twice":
            swish = [Activation("a", ("stem",), HARD_SWISH), Activation("b", ("a",), HARD_SWISH)]
            nodes += [*swish, Binary("sum", ("b", "stem"), ADD), conv("out", "sum", 1)]
    return Graph((1, 3, size, size), tuple(nodes), "out")


def flat_output(graph):
    """The same network with a mean at its end, since logits have two dimensions."""
    shape = graph.shapes[graph.output]
    if len(shape) == 2:
        return graph
    tail = Pool("mean", (graph.output,)), Flatten("logits", ("mean",))
    return Graph(graph.input_shape, (*graph.nodes, *tail), "logits")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32 - 1),
    channels=st.integers(1, 9),
    size=st.integers(1, 9),
    kernel=st.sampled_from((1, 3, 5, 7)),
    stride=st.sampled_from((1, 2)),
    spread=st.sampled_from((0.0, 1.0)),
)
def test_litert_computes_every_operation_to_the_bit(tmp_path, kind, seed, channels, size, kernel, stride, spread):
    rng = np.random.default_rng(seed)
    graph = network(kind, rng, channels=channels, size=size, kernel=kernel, stride=stride, spread=spread)
    images = random_images(6, size, seed % 1000)
    ready = without_hard_functions(split_large_depthwise(flat_output(graph)))
    made = integer_graph(ready, images)
    write_integer_tflite(made, tmp_path / "n.tflite")
    np.testing.assert_array_equal(litert(tmp_path / "n.tflite", images), simulated(made, images))


@pytest.mark.parametrize("seed", range(4))
def test_litert_computes_networks_to_the_bit(tmp_path, seed):
    (architecture,) = SPACE.decode(SPACE.sample(1, np.random.default_rng(seed)))
    graph = trace(random_subnet(SPACE, architecture, seed), architecture.resolution)
    images = random_images(24, architecture.resolution, seed)
    made = integer_graph(without_hard_functions(split_large_depthwise(graph)), images)
    write_integer_tflite(made, tmp_path / "n.tflite")
    np.testing.assert_array_equal(litert(tmp_path / "n.tflite", images), simulated(made, images))


@pytest.mark.parametrize("factor", [0.0, 1e-30, 1e-12], ids=str)
@pytest.mark.parametrize("dead", ["weights", "inputs"])
def test_layers_without_weights_or_inputs_keep_their_biases(tmp_path, factor, dead):
    """A training with weight decay leaves channels that are as good as 0; their biases count all the same."""
    rng, factor = np.random.default_rng(0), np.float32(factor)
    stem, out = network("conv", rng, channels=4, size=5, kernel=3, stride=1, spread=0.0).nodes
    if dead == "inputs":
        stem = dataclasses.replace(stem, weight=stem.weight * factor, bias=stem.bias * factor)
    else:
        out.weight[1:] *= factor
    graph, images = flat_output(Graph((1, 3, 5, 5), (stem, out), "out")), random_images(6, 5)
    made = integer_graph(graph, images)
    write_integer_tflite(made, tmp_path / "n.tflite")
    found = simulated(made, images)
    np.testing.assert_array_equal(litert(tmp_path / "n.tflite", images), found)
    exact = dict(tensors(graph, torch.from_numpy(images)))[graph.output].numpy()
    assert np.abs(found - exact).max() < 2 * made.affine("out").scale
    trained = TrainableGraph(made)(torch.from_numpy(images)).detach().numpy()
    assert np.abs(trained - exact).max() < 2 * made.affine("out").scale


def test_means_are_rounded_as_xnnpack_rounds_them(tmp_path):
    """Scales that put the exact mean on a half, where only the same order of roundings gives the same integer."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(60):
        side, zero_point, scale = (
            int(rng.integers(2, 8)),
            int(rng.integers(-128, 1)),
            np.float32(rng.uniform(0.01, 0.05)),
        )
        steps = rng.integers(-128, 128, (1, 3, side, side))
        half = np.float32((steps[0, 0] - zero_point).sum() * float(scale) / (side * side * (rng.integers(3, 90) + 0.5)))
        if not half > 0:
            continue
        tensors = {Graph.INPUT: Affine(float(scale), zero_point), "mean": Affine(float(half), -128)}
        nodes = (Pool("mean", (Graph.INPUT,)), Flatten("logits", ("mean",)))
        tensors["logits"] = tensors["mean"]
        graph = IntegerGraph((1, 3, side, side), nodes, "logits", "", tensors)
        write_integer_tflite(graph, tmp_path / "n.tflite")
        images = ((steps - zero_point) * scale).astype(np.float32)
        wrong += int((litert(tmp_path / "n.tflite", images) != simulated(graph, images)).sum())
    assert wrong == 0


def test_sums_in_16_bits_saturate_only_with_weights_of_8_bits():
    (architecture,) = SPACE.decode(SPACE.sample(1, np.random.default_rng(0)))
    ready = without_hard_functions(trace(random_subnet(SPACE, architecture), architecture.resolution))
    images = random_images(4, architecture.resolution)
    narrow, wide = integer_graph(ready, images, most=63), integer_graph(ready, images)
    np.testing.assert_array_equal(simulated(narrow, images), simulated(narrow, images, saturating=True))
    assert (simulated(wide, images) != simulated(wide, images, saturating=True)).any()
