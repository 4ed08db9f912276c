import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nagsdk.errors import ArchitectureError
from nagsdk.families import preset
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from nagsdk.families.widths import make_divisible
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import extremes

SPACE = ofa_mobilenet_v3()


def test_macs_and_parameters_equal_the_original(shared):
    for entry in json.loads((shared / "ofa_reference" / "expected.json").read_text()):
        a = SPACE.architecture(kernels=entry["ks"], expansions=entry["e"], depths=entry["d"], resolution=entry["r"])
        assert (SPACE.macs(a), SPACE.parameters(a)) == (entry["macs"], entry["params"])


def test_width_multiplier_follows_the_original():
    wide = ofa_mobilenet_v3(1.2)
    assert [wide.width(s.width) for s in wide.stages] == [32, 48, 96, 136, 192]
    assert [wide.width(w) for w in (wide.stem_width, wide.head_width, wide.feature_width)] == [24, 1152, 1536]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"kernels": [5, 3]}, "kernels must be ascending whole numbers"),
        ({"kernels": [3, 4]}, "must be odd"),
        ({"kernels": []}, "kernels must be"),
        ({"kernels": [3, 11]}, "from 1 to 9"),
        ({"expansions": [3, 3]}, r"expansions must be ascending .* not \[3, 3\]"),
        ({"expansions": [2.5]}, "expansions must be"),
        ({"resolution_choices": [48, 32]}, "resolution_choices must be"),
        ({"stages": []}, "1 to 32 stages"),
        ({"stages": [{"width": 8, "stride": 2, "activation": "swish", "se": False}]}, "relu or relu6 or hswish"),
        (
            {"stages": [{"width": 8, "stride": 2, "activation": "relu", "se": False, "depths": [3, 2]}]},
            "depths must be",
        ),
    ],
)
def test_definitions_that_no_network_can_be_built_from_are_refused(changed, says):
    definition = {**SPACE.to_dict(), **{"stages": [vars(stage) for stage in SPACE.stages]}, **changed}
    definition["stages"] = [{"depths": [2, 3], **stage} for stage in definition["stages"]]
    with pytest.raises(ValueError, match=says):
        MobileNetV3Space.from_dict(definition)


@given(st.integers(0, 2**32 - 1), st.integers(1, 50))
def test_every_sample_survives_text_and_code(seed, count):
    codes = SPACE.sample(count, np.random.default_rng(seed))
    architectures = SPACE.decode(codes)
    assert (SPACE.encode(architectures) == codes).all()
    for a in architectures:
        again = SPACE.parse(a.text)
        assert again == a and again.code == a.code and again.hash == a.hash


@given(
    st.text(max_size=60) | st.from_regex(r"mbv3:r\d{1,4}:d=[\d,]{1,12}:ks=[\d,]{1,50}:e=[\d,]{1,50}", fullmatch=True)
)
def test_any_text_is_an_architecture_or_an_architecture_error(text):
    try:
        assert isinstance(SPACE.parse(text), Architecture)
    except ArchitectureError as error:
        assert error.next_step


def test_inactive_choices_make_no_difference():
    full = SPACE.architecture(kernels=[3] * 20, expansions=[4] * 20, depths=[2] * 5, resolution=224)
    other = SPACE.architecture(
        kernels=([3, 3, 7, 7]) * 5, expansions=([4, 4, 6, 6]) * 5, depths=[2] * 5, resolution=224
    )
    short = SPACE.architecture(kernels=[3] * 10, expansions=[4] * 10, depths=[2] * 5, resolution=224)
    assert full == other == short and full.code == other.code


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kernels": [4] * 20}, "3, 5, 7"),
        ({"expansions": [5] * 20}, "3, 4, 6"),
        ({"depths": [1, 2, 2, 2, 2]}, "2, 3, 4"),
        ({"depths": [2, 2]}, "5 stages"),
        ({"resolution": 225}, "160, 164"),
        ({"kernels": [3] * 7}, "20 (one per position)"),
    ],
)
def test_errors_about_illegal_architectures_name_the_legal_values(change, says):
    legal = {"kernels": [3] * 20, "expansions": [4] * 20, "depths": [2] * 5, "resolution": 224}
    with pytest.raises(ArchitectureError) as caught:
        SPACE.architecture(**{**legal, **change})
    assert says in str(caught.value)


def test_validate_refuses_missing_and_unknown_choices():
    code = SPACE.sample(1, np.random.default_rng(0))
    for column, value in ((0, 99), (2, -1), (1, -1)):
        wrong = code.copy()
        wrong[0, column] = value
        with pytest.raises(ArchitectureError):
            SPACE.validate(wrong)
    with pytest.raises(ArchitectureError):
        SPACE.validate(code[:, :5])


def test_one_hot_has_a_one_per_active_decision():
    codes = SPACE.sample(200, np.random.default_rng(1))
    encoded = SPACE.one_hot(codes)
    assert encoded.shape == (200, SPACE.one_hot_width)
    assert (encoded.sum(1) == (codes >= 0).sum(1)).all()
    assert len(np.unique(encoded, axis=0)) == len(np.unique(codes, axis=0))


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_mutants_are_valid(seed, probability):
    rng = np.random.default_rng(seed)
    codes = SPACE.sample(20, rng)
    mutants = SPACE.mutate(codes, rng, probability)
    assert (SPACE.validate(mutants) == mutants).all()
    if probability == 0:
        assert (mutants == codes).all()


def test_a_narrowed_space_has_the_same_largest_network_and_weights_but_no_tiny_networks():
    for space in map(preset, ("small", "efficientnet-lite0")):
        narrowed = space.narrowed()
        assert narrowed.narrowed() == narrowed and narrowed.resolutions == space.resolutions
        ends = [one.decode(extremes(one)) for one in (space, narrowed)]
        assert ends[0][1].text == ends[1][1].text
        assert 1.5 * space.macs(ends[0][0]) < narrowed.macs(ends[1][0]) < narrowed.macs(ends[1][1])
        with torch.device("meta"):
            shapes = [{k: v.shape for k, v in one.supernet().state_dict().items()} for one in (space, narrowed)]
        assert shapes[0] == shapes[1]


def test_definition_survives_json():
    again = MobileNetV3Space.from_dict(json.loads(json.dumps(SPACE.to_dict())))
    assert again == SPACE and again.fingerprint == SPACE.fingerprint
    assert again.fingerprint != ofa_mobilenet_v3(1.2).fingerprint


def test_layers_add_up_from_the_table(tiny_space):
    for a in tiny_space.decode(tiny_space.sample(20, np.random.default_rng(2))):
        parts = list(tiny_space.fixed_layers(a.resolution))
        parts += [
            layer for d, c in enumerate(a.code) if c >= 0 for layer in tiny_space.choice_layers(a.resolution, d, c)
        ]
        assert sorted(map(repr, parts)) == sorted(map(repr, tiny_space.layers(a)))
        for before, after in zip(tiny_space.layers(a), tiny_space.layers(a)[1:], strict=False):
            assert before.out_channels == after.in_channels and before.out_size == after.in_size


@given(st.integers(1, 5000))
def test_widths_are_multiples_of_eight_and_lose_at_most_a_tenth(width):
    rounded = make_divisible(width)
    assert rounded % 8 == 0 and rounded >= 0.9 * width


def test_panels_show_each_stage():
    a = SPACE.architecture(kernels=[3, 5] + [7] * 8, expansions=[3, 4] + [6] * 8, depths=[2] * 5, resolution=224)
    shown = SPACE.panels(a)
    assert list(shown) == ["blocks", "mean kernel", "mean expansion"]
    assert shown["mean kernel"] == {"stage 1": 4.0, **{f"stage {n}": 7.0 for n in (2, 3, 4, 5)}}
    assert shown["mean expansion"]["stage 1"] == 3.5 and set(shown["blocks"].values()) == {2.0}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"stem_widht": 8}, "unknown fields: stem_widht"),
        ({"stem_width": None}, "is missing stem_width"),
        ({"stages": [{"width": 8, "stride": 2, "activation": "relu"}]}, "is missing se"),
        (
            {"stages": [{"width": 8, "stride": 2, "activation": "relu", "se": False, "depth": [1]}]},
            "unknown fields: depth",
        ),
    ],
)
def test_unknown_and_missing_fields_are_named(changed, says):
    definition = {key: value for key, value in {**SPACE.to_dict(), **changed}.items() if value is not None}
    with pytest.raises(ValueError, match=says):
        MobileNetV3Space.from_dict(definition)
