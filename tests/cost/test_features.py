from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.cost.features import FEATURES, FeatureTable, layer_features
from nagsdk.errors import UnsupportedLayerError
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.space.layer import LayerSpec

NAMES = list(FEATURES)


def amounts(layer: LayerSpec) -> dict[str, float]:
    return {name: value for name, value in zip(NAMES, layer_features([layer])[0].tolist(), strict=True) if value}


@st.composite
def layers(draw):
    kind = draw(st.sampled_from(["conv", "pointwise", "depthwise", "se", "add", "pool", "linear"]))
    into = draw(st.integers(1, 300))
    out = into if kind in ("depthwise", "se", "add", "pool") else draw(st.integers(1, 300))
    kernel = draw(st.sampled_from([3, 5, 7])) if kind in ("conv", "depthwise") else 1
    stride = draw(st.integers(1, 2)) if kind in ("conv", "depthwise") else 1
    size = 1 if kind == "linear" else draw(st.integers(1, 60))
    activation = draw(st.sampled_from(["none", "relu", "hswish"]))
    return LayerSpec("x", kind, into, out, kernel, stride, size, activation, se_channels=into if kind == "se" else 0)


@settings(deadline=None)
@given(layers())
def test_amounts_are_finite_and_never_negative(layer):
    values = layer_features([layer])
    assert values.shape == (1, len(FEATURES))
    assert np.isfinite(values).all() and (values >= 0).all() and values.any()


@given(layers(), layers())
def test_layers_do_not_influence_each_other(one, other):
    together = layer_features([one, other, one])
    np.testing.assert_array_equal(together, np.concatenate([layer_features([layer]) for layer in (one, other, one)]))


@settings(max_examples=60)
@given(st.integers(1, 40), st.sampled_from([3, 5, 7]), st.integers(1, 2), st.integers(1, 64))
def test_depthwise_work_counts_the_windows_inside_the_image(size, kernel, stride, channels):
    layer = LayerSpec("x", "depthwise", channels, channels, kernel, stride, size)
    pad, inside, border = kernel // 2, 0, 0
    for y in range(0, size, stride):
        rows = sum(0 <= y - pad + i < size for i in range(kernel))
        for x in range(0, size, stride):
            whole = x - pad >= 0 and x - pad + kernel <= size
            inside, border = inside + whole * rows * kernel, border + (not whole) * rows * kernel
    found = amounts(layer)
    assert found.get("depthwise_macs", 0) == pytest.approx(channels * inside / 1e6)
    assert found.get("depthwise_border", 0) == pytest.approx(channels * border / 1e6)
    assert ("depthwise_large" in found) == (kernel == 7)


def test_pointwise_amounts_of_a_known_layer():
    found = amounts(LayerSpec("x", "pointwise", 40, 120, 1, 1, 10, "hswish"))
    assert found == pytest.approx(
        {
            "calls": 1,
            "pointwise_macs": 0.48,
            "pointwise_padding": (48 * 128 - 40 * 120) * 100 / 1e6,
            "pointwise_reads": 40 * 100 * 2 / 1e6,
            "pointwise_writes": 120 * 100 / 1e6,
            "pointwise_weights": 0.0048,
            "hswish_elements": 0.012,
        }
    )


def test_a_pointwise_layer_on_one_position_is_a_matrix_times_a_vector():
    one = LayerSpec("x", "pointwise", 96, 128, 1, 1, 1)
    assert amounts(one) == amounts(replace(one, kind="linear"))


@pytest.mark.parametrize("space", ["tiny", "imagenet"])
def test_table_equals_the_sum_over_layers(space, tiny_space):
    space = tiny_space if space == "tiny" else ofa_mobilenet_v3()
    codes = space.sample(30, np.random.default_rng(0))
    table = FeatureTable.of(space)
    expected = np.array([layer_features(space.layers(a)).sum(0) for a in space.decode(codes)])
    expected[:, NAMES.index("network")] = 1
    np.testing.assert_allclose(table.of_codes(codes), expected, rtol=1e-12)
    weights = np.random.default_rng(1).random(len(FEATURES))
    np.testing.assert_allclose(table.priced(weights).cost(codes), expected @ weights, rtol=1e-12)


def test_the_table_of_a_space_is_computed_once(tiny_space):
    assert FeatureTable.of(tiny_space) is FeatureTable.of(replace(tiny_space))
    assert FeatureTable.of(tiny_space) is not FeatureTable.of(replace(tiny_space, classes=6))


def test_a_layer_of_an_unknown_kind_is_refused_and_named():
    with pytest.raises(UnsupportedLayerError, match="block2.route.*'routing'") as caught:
        layer_features([LayerSpec("block2.route", "routing", 8, 8, 1, 1, 4)])
    assert caught.value.next_step
