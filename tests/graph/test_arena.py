import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nagsdk.cost.activations import Activations
from nagsdk.device.description import Device
from nagsdk.families import testing_space as small_networks
from nagsdk.families.vit.space import VitSpace
from nagsdk.graph.arena import Tenancy, peak_activations, planned, tenancies
from nagsdk.graph.integer_passes import without_hard_functions
from nagsdk.graph.integers import integer_graph
from nagsdk.graph.tflite import write_tflite
from nagsdk.graph.tflite_int8 import write_integer_tflite
from nagsdk.graph.tflite_schema import schema
from nagsdk.graph.trace import trace
from nagsdk.space.space import extremes
from nagsdk.testing import random_subnet

SPACE = small_networks()
ARCHITECTURES = SPACE.decode(SPACE.sample(3, np.random.default_rng(0)))


def of_file(path):
    """The tensors that a written file computes, with the operations between which they are kept."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    (body,) = model.subgraphs
    widths = {schema.TensorType.FLOAT32: 4, schema.TensorType.INT8: 1, schema.TensorType.UINT8: 1}
    kept = {index: [0, 0] for index in body.inputs}
    for number, operator in enumerate(body.operators):
        for index in operator.inputs:
            if index in kept:
                kept[index][1] = number
        kept[operator.outputs[0]] = [number, number]
    kept[body.outputs[0]][1] = len(body.operators) - 1
    tensors = {index: body.tensors[index] for index in kept}
    return sorted(
        (int(np.prod(tensors[index].shape)) * widths[tensors[index].type], *span) for index, span in kept.items()
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
@pytest.mark.parametrize("io", ["fp32", "float", "int8", "uint8"])
def test_the_tensors_are_those_of_the_written_file(architecture, io, tmp_path):
    graph = trace(random_subnet(SPACE, architecture), architecture.resolution, 2)
    path = tmp_path / "network.tflite"
    if io == "fp32":
        write_tflite(graph, path)
    else:
        graph = integer_graph(without_hard_functions(graph))
        write_integer_tflite(graph, path, io)
    found = sorted((t.size, t.first, t.last) for t in tenancies(graph, io))
    assert found == of_file(path)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_estimate_from_layers_is_that_of_the_graph(architecture, precision):
    graph = trace(random_subnet(SPACE, architecture), architecture.resolution)
    if precision == "int8":
        graph = integer_graph(without_hard_functions(graph))
    device = Device("any", "", "litert", precision=precision)
    estimate = max(Activations().of_layer(layer, device) for layer in SPACE.layers(architecture))
    assert estimate <= peak_activations(graph, "int8") <= 1.1 * estimate


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_a_plan_needs_no_less_than_what_is_kept_together_and_no_more_than_everything(given_tensors):
    tensors = [Tenancy(size, min(a, b), max(a, b)) for size, a, b in given_tensors]
    rounded = [-(-t.size // 16) * 16 for t in tensors]
    together = max(
        (sum(r for r, t in zip(rounded, tensors, strict=True) if t.first <= now <= t.last) for now in range(10)),
        default=0,
    )
    assert together <= planned(tensors) <= sum(rounded)


def test_a_gap_is_filled_by_a_tensor_that_fits():
    kept_long, short, later = Tenancy(64, 0, 5), Tenancy(128, 0, 1), Tenancy(96, 2, 5)
    assert planned([kept_long, short, later]) == 192


@pytest.mark.parametrize("code", [0, -1])
def test_of_a_transformer_too(code, tmp_path):
    space = VitSpace(classes=5, pixels=(32, 64), dims=(8, 12), depths=(1, 2), heads=(2, 4), stem_widths=(4,))
    architecture = space.decode(extremes(space))[code]
    graph, path = trace(random_subnet(space, architecture), architecture.resolution, 2), tmp_path / "network.tflite"
    write_tflite(graph, path)
    assert sorted((t.size, t.first, t.last) for t in tenancies(graph)) == of_file(path)
    device = Device("any", "", "litert")
    estimate = 2 * max(Activations().of_layer(layer, device) for layer in space.layers(architecture))
    assert estimate <= peak_activations(graph) <= 1.1 * estimate
