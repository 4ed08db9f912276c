import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.errors import DamagedBundleError, DataError, DeviceError
from nagsdk.graph.integer_parity import check_integers
from nagsdk.graph.integer_passes import without_hard_functions
from nagsdk.graph.integers import Affine, approximated, integer_graph
from nagsdk.graph.interpret import tensors
from nagsdk.graph.ir import ADD, HARD_SIGMOID, HARD_SWISH, MULTIPLY, RELU, Activation, Binary, Conv, Graph, Pool
from nagsdk.graph.parity import overall_error
from nagsdk.graph.simulate import simulated
from nagsdk.graph.trace import trace
from nagsdk.testing import random_images, random_subnet, small_space

SPACE = small_space()
FUNCTIONS = (RELU, HARD_SWISH, HARD_SIGMOID)


def network(seed, resolution=None):
    (architecture,) = SPACE.decode(SPACE.sample(1, np.random.default_rng(seed)))
    subnet = random_subnet(SPACE, architecture, seed)
    return trace(subnet, architecture.resolution), random_images(20, architecture.resolution, seed)


def output(graph, images):
    return dict(tensors(graph, torch.from_numpy(images)))[graph.output].numpy()


@st.composite
def graphs(draw):
    """Any order of operations, any of which may be read several times."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    nodes = [Conv("n0", (Graph.INPUT,), rng.normal(size=(3, 3, 1, 1)).astype(np.float32), np.zeros(3, np.float32))]
    for number in range(1, draw(st.integers(2, 9))):
        sources = [nodes[draw(st.integers(0, number - 1))].name for _ in range(2)]
        name, kind = f"n{number}", draw(st.sampled_from((*FUNCTIONS, ADD, MULTIPLY, "conv", "pool")))
        if kind in FUNCTIONS:
            nodes.append(Activation(name, (sources[0],), kind))
        elif kind == "conv":
            weight, bias = rng.normal(size=(3, 3, 1, 1)).astype(np.float32) / 2, rng.normal(size=3).astype(np.float32)
            nodes.append(Conv(name, (sources[0],), weight, bias))
        elif kind == "pool":
            nodes += [Pool(name, (sources[0],))]
        else:
            nodes.append(Binary(name, (sources[0], sources[1]), kind))
    return Graph((1, 3, 4, 4), tuple(nodes), nodes[-1].name)


@settings(max_examples=60, deadline=None)
@given(graph=graphs(), keep=st.booleans())
def test_rewrites_compute_the_same_for_any_network(graph, keep):
    images = random_images(2, 4)
    before, after = output(graph, images), without_hard_functions(graph, keep_hard_swish=keep)
    functions = {node.function for node in after.nodes if isinstance(node, Activation)}
    assert HARD_SIGMOID not in functions and (keep or HARD_SWISH not in functions)
    np.testing.assert_allclose(output(after, images), before, rtol=1e-3, atol=1e-4 * max(1, np.abs(before).max()))


def test_networks_need_no_operators_for_the_rewrites_factor():
    graph, _ = network(1)
    kinds = [type(node).__name__ for node in without_hard_functions(graph).nodes]
    assert kinds.count("Conv") == sum(isinstance(node, Conv) for node in graph.nodes)


@given(low=st.floats(-1e6, 1e6, width=32), high=st.floats(-1e6, 1e6, width=32))
def test_zero_is_an_integer_and_the_range_is_covered(low, high):
    low, high = min(low, high), max(low, high)
    if 0 < max(-low, high) < 1e-30:
        return
    affine = Affine.of(low, high)
    steps = np.array([low, high]) / affine.scale + affine.zero_point
    assert -128 <= affine.zero_point <= 127 and (steps > -129).all() and (steps < 128).all()


def test_the_simulation_is_near_torch_and_the_approximation_near_the_simulation():
    graph, images = network(2)
    made = integer_graph(without_hard_functions(graph), images)
    exact, integers = output(graph, images), simulated(made, images)
    assert 0 < overall_error(exact, integers) < 0.2
    assert overall_error(integers, approximated(made, torch.from_numpy(images)).numpy()) < 0.02


def test_corrected_biases_make_the_mean_error_smaller():
    graph, images = network(3)
    ready = without_hard_functions(graph)
    corrected = integer_graph(ready, images)
    plain = integer_graph(ready, kept=dataclasses.replace(corrected.ranges, corrections={}).to_statistics())
    exact = output(graph, images)
    errors = [np.abs((simulated(made, images) - exact).mean(0)).mean() for made in (corrected, plain)]
    assert errors[0] < errors[1]


def test_kept_statistics_give_the_same_integers():
    graph, images = network(4)
    ready = without_hard_functions(graph)
    made = integer_graph(ready, images)
    again = integer_graph(ready, kept=made.ranges.to_statistics())
    assert again.tensors == made.tensors
    for name, weights in made.weights.items():
        assert weights.values.tobytes() == again.weights[name].values.tobytes()
        assert weights.bias.tobytes() == again.weights[name].bias.tobytes()
    assert made.ranges.images == 20 and integer_graph(ready).ranges.images == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: {},
        lambda kept: dict(list(kept.items())[1:]),
        lambda kept: {name: content[:4] for name, content in kept.items()},
        lambda kept: {name: b"\xff" * len(content) for name, content in kept.items()},
    ],
    ids=["nothing", "a tensor is missing", "cut off", "not finite"],
)
def test_statistics_of_another_network_are_refused(spoil):
    graph, images = network(5)
    ready = without_hard_functions(graph)
    kept = integer_graph(ready, images).ranges.to_statistics()
    with pytest.raises(DamagedBundleError, match="do not fit the architecture"):
        integer_graph(ready, kept=spoil(kept))


def test_values_that_are_not_finite_are_named():
    graph, images = network(6)
    ready = without_hard_functions(graph)
    broken = images.copy()
    broken[3, 1, 2, 2] = np.nan
    with pytest.raises(DataError, match="image has values that are not finite"):
        integer_graph(ready, broken)
    with pytest.raises(DataError, match="no images"):
        integer_graph(ready, images[:0])
    first = next(node for node in ready.nodes if isinstance(node, Conv))
    spoiled = dataclasses.replace(first, bias=np.full_like(first.bias, np.inf))
    nodes = tuple(spoiled if node is first else node for node in ready.nodes)
    with pytest.raises(DataError, match="not finite"):
        integer_graph(dataclasses.replace(ready, nodes=nodes), images)
    with pytest.raises(DataError, match="weights that are not finite"):
        integer_graph(dataclasses.replace(ready, nodes=nodes))


def test_a_processor_that_saturates_is_named():
    graph, images = network(7)
    ready = without_hard_functions(graph)
    wide, narrow = integer_graph(ready, images), integer_graph(ready, images, most=63)
    expected, ruined = simulated(wide, images), simulated(wide, images, saturating=True)
    assert check_integers(wide, images, expected, expected, 1e-5) == 0
    with pytest.raises(DeviceError, match="saturate: it has no VNNI") as caught:
        check_integers(wide, images, expected, ruined, 1e-3)
    assert "7 bits" in caught.value.next_step
    for made, actual in ((wide, -expected), (narrow, ruined)):  # other causes
        with pytest.raises(DeviceError, match="differs from its simulation") as caught:
            check_integers(made, images, simulated(made, images), actual, 1e-3)
        assert "saturate" not in caught.value.message
