import numpy as np
import pytest

from nagsdk.bundle.bundle import load_bundle
from nagsdk.device.description import Overrides
from nagsdk.errors import NagsdkError
from nagsdk.graph.ir import HARD_SWISH, RELU, Activation, Conv, Graph, Rows
from nagsdk.graph.schemes import SCHEMES, Scheme
from nagsdk.plugin.host import host


def network(kernel, function):
    weight = np.random.default_rng(0).normal(size=(3, 1, kernel, kernel)).astype(np.float32)
    conv = Conv("conv", (Graph.INPUT,), weight, np.zeros(3, np.float32), padding=kernel // 2, groups=3)
    return Graph((1, 3, 9, 9), (conv, Activation("out", ("conv",), function)), "out")


def test_every_scheme_has_a_name_of_its_own():
    schemes = [Scheme(bits, keep, split) for bits in (7, 8) for keep in (True, False) for split in (True, False)]
    assert len({scheme.name for scheme in schemes}) == 8 and set(SCHEMES) < set(schemes)
    assert (Scheme().name, Scheme(7, split_depthwise=True).name) == ("int8", "int8-w7-split")


def test_weights_have_seven_or_eight_bits():
    with pytest.raises(ValueError, match="8 or 7 bits"):
        Scheme(6)


def test_a_share_of_answers_is_no_part_of_the_integers():
    assert Scheme(unlike=0.1) == Scheme()
    with pytest.raises(ValueError, match="between 0 and 1"):
        Scheme(unlike=1.1)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_a_scheme_makes_the_integers_that_it_names(scheme):
    made = scheme.quantised(network(7, HARD_SWISH))
    assert made.most == (127 if scheme.weight_bits == 8 else 63)
    assert abs(made.weights[next(iter(made.weights))].values).max() == made.most
    kept = any(isinstance(node, Activation) and node.function == HARD_SWISH for node in made.nodes)
    assert kept == scheme.keep_hard_swish
    assert any(isinstance(node, Rows) for node in made.nodes) == scheme.split_depthwise


def test_schemes_that_make_the_same_integers_of_a_network_are_one():
    for kernel, function, kinds in ((7, HARD_SWISH, 4), (5, HARD_SWISH, 3), (7, RELU, 3), (3, RELU, 2)):
        graph = network(kernel, function)
        effective = [scheme.in_effect(graph) for scheme in SCHEMES]
        assert len(set(effective)) == kinds
        for scheme, same in zip(SCHEMES, effective, strict=True):
            first, second = scheme.quantised(graph), same.quantised(graph)
            assert [node.name for node in first.nodes] == [node.name for node in second.nodes]
            assert first.most == second.most and first.tensors == second.tensors


def test_what_is_lost_is_measured_for_every_backend_that_ships_and_all_its_rewrites():
    """A backend with a new scheme must add it to `SCHEMES`, and the losses of the shipped bundles with it."""
    found, measured = set(), {scheme.name for scheme in SCHEMES}
    for device in host().devices:
        backend = host().backend_of(device)
        for precision in backend.integer_precisions:
            try:
                asked = Overrides(precision=precision).on(device, backend.precisions, backend.ios)
                found |= {backend.scheme(one).name for one in (asked, *backend.rewrites(asked).values())}
            except NagsdkError:  # such as a provider of ONNX Runtime without integers
                continue
    assert found == measured
    assert measured == set(load_bundle("glyphs").predictor.card["losses"])
