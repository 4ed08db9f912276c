import hashlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nagsdk.cost.card import from_json, to_json
from nagsdk.cost.model import CostModel
from nagsdk.cost.prior import flat_prior
from nagsdk.errors import NagsdkError


def test_a_card_gives_the_same_model_back(world):
    model = world.model()
    model = model.with_observation(world.sample(1), 9.0, {90.0: 11.0})
    again = from_json(to_json(model), world.space, "here")
    codes = world.sample(200)
    for confidence, percentile in ((0.9, 50), (0.8, 90)):
        np.testing.assert_array_equal(
            again.upper(codes, confidence, percentile), model.upper(codes, confidence, percentile)
        )
        assert again.limit_for_mean(9.0, confidence, percentile) == model.limit_for_mean(9.0, confidence, percentile)
    one, other = (m.with_observation(codes[0], 8.0).predict(codes)[0] for m in (model, again))
    np.testing.assert_array_equal(one, other)
    assert (again.source, again.accuracy, again.facts) == (model.source, model.accuracy, model.facts)
    assert to_json(again) == to_json(model)


def sealed(content):
    body = json.dumps({name: value for name, value in content.items() if name != "sha256"})[:-1]
    return f'{body}, "sha256": "{hashlib.sha256(body.encode()).hexdigest()}"}}'


@pytest.mark.parametrize(("gone", "usable"), [("attention_macs", True), ("pointwise_macs", False)])
def test_a_card_without_a_later_feature_is_used_where_no_layer_has_it(world, gone, usable):
    model = world.model()
    content = json.loads(to_json(model))
    at = content["features"].index(gone)
    for row in (content["features"], content["prior"]["weights_ms"], *content["prior"]["directions_ms"]):
        del row[at]
    if usable:
        codes = world.sample(20)
        np.testing.assert_array_equal(from_json(sealed(content), world.space).mean(codes), model.mean(codes))
    else:
        with pytest.raises(NagsdkError, match="another version"):
            from_json(sealed(content), world.space)


def test_a_card_of_an_earlier_version_has_the_same_spread_at_every_latency(world):
    content = json.loads(to_json(world.model()))
    for name in ("spread_at_ms", "spread_exponent"):
        del content[name]
    model = from_json(sealed(content), world.space)
    assert model.spread.exponent == 0 and model.spread.typical == content["spread"]


def test_models_without_a_prior_or_without_samples_have_cards_too(world):
    codes = world.sample(20)
    for model in (
        CostModel.from_prior(world.space, world.prior),
        CostModel.fit(world.space, flat_prior(world.table), codes, world.measure(codes)),
    ):
        assert to_json(from_json(to_json(model), world.space)) == to_json(model)


def test_a_card_is_strict_json_and_says_where_it_comes_from(world):
    def refuse(constant):
        raise AssertionError(constant)

    content = json.loads(to_json(CostModel.from_prior(world.space, world.prior)), parse_constant=refuse)
    assert content["source"] == "prior" and content["prior"]["source"] == {"title": "a test"}
    content = json.loads(to_json(world.model()), parse_constant=refuse)
    assert content["facts"] == {"seed": 0} and len(content["calibrated"]) == 24 and content["accuracy"]["samples"] == 24


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_cut_and_changed_cards_are_refused(tiny_world_card, data):
    text, space = tiny_world_card
    at = data.draw(st.integers(0, len(text) - 3))
    cut = text[:at]
    digit = data.draw(st.sampled_from([i for i, c in enumerate(text) if c.isdigit()]))
    changed = text[:digit] + str((int(text[digit]) + 1) % 10) + text[digit + 1 :]
    for damaged in (cut, changed):
        with pytest.raises(NagsdkError) as caught:
            from_json(damaged, space)
        assert "nagsdk calibrate" in caught.value.next_step


@pytest.fixture(scope="module")
def tiny_world_card(tiny_space):
    from tests.worlds import World

    world = World(tiny_space)
    return to_json(world.model()), tiny_space


@pytest.mark.parametrize("foreign", ["", "[]", "3", "null", "{}", '{"format": 1}', '{"sha256": "x"}', "\x00", '"text"'])
def test_foreign_files_are_refused(world, foreign):
    with pytest.raises(NagsdkError, match="cannot be read|another version"):
        from_json(foreign, world.space)


def test_cards_of_other_spaces_and_devices_are_refused(world, tiny_space):
    text = to_json(world.model())
    with pytest.raises(NagsdkError, match="another search space"):
        from_json(text, tiny_space)
    with pytest.raises(NagsdkError, match="another device"):
        from_json(text, world.space, "there")
