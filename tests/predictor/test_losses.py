from dataclasses import replace

import numpy as np
import pytest

import nagsdk
from nagsdk.plugin.host import host
from nagsdk.predictor.losses import Loss

CARD = {"losses": {"int8": {"mean": 0.3, "low": -0.2, "high": 0.8, "subnets": 20, "source": "a test"}}}


@pytest.mark.parametrize("chance", [0.0, 0.3])
def test_the_interval_covers_most_new_networks(chance):
    rng, covered = np.random.default_rng(0), 0
    for _ in range(300):
        losses = rng.normal(0.3, 0.25, 21)
        loss = Loss.measured(losses[:20].tolist(), "a test", chance)
        covered += loss.low <= losses[20] + rng.normal(0, chance) <= loss.high
    assert 0.85 < covered / 300 < 0.95


def test_losses_are_read_from_the_card():
    loss = Loss.of(CARD, "int8", "int8")
    assert loss is not None and loss.to_dict() == CARD["losses"]["int8"]
    assert Loss.of(CARD, "int4") is None and Loss.of({}, "int8") is None
    assert Loss.of(CARD, "int8-dynamic") is None


@pytest.mark.parametrize("scheme", ["", "int8-w7-split"])
def test_a_scheme_that_nobody_measured_is_covered_by_those_that_were(scheme):
    narrow = {"mean": 0.5, "low": 0.1, "high": 0.7, "subnets": 20, "source": "a test"}
    card = {"losses": {**CARD["losses"], "int8-w7": narrow}}
    assert Loss.of(card, "int8", "int8-w7") == Loss(**narrow)
    loss = Loss.of(card, "int8", scheme)
    assert (loss.mean, loss.low, loss.high, loss.subnets) == (0.5, -0.2, 0.8, 20)
    # A card of an earlier version has one entry.
    assert Loss.of(CARD, "int8", scheme).mean == 0.3


@pytest.mark.parametrize(
    "change",
    [{"mean": "much"}, {"mean": 2.0}, {"low": -200.0}, {"high": float("nan")}, {"source": 3}, {"subnets": None}],
)
def test_losses_that_are_not_valid_are_refused(change):
    with pytest.raises(ValueError, match="loss of int8"):
        Loss.of({"losses": {"int8": {**CARD["losses"]["int8"], **change}}}, "int8")
    with pytest.raises(ValueError, match="lacks"):
        Loss.of({"losses": {"int8": {"mean": 0.3}}}, "int8")
    with pytest.raises(ValueError, match="not a mapping"):
        Loss.of({"losses": [0.3]}, "int8")


def test_predictions_become_lower_and_less_certain():
    loss = Loss.of(CARD, "int8")
    mean, low, high = loss.taken_off(*(np.array([value]) for value in (93.0, 92.0, 94.0)))
    assert mean == pytest.approx(92.7) and low < 91.7 and 93.7 < high < 94.7


def test_shipped_bundles_know_the_loss_and_predictions_show_it():
    for name in ("glyphs", "imagenet"):
        loss = nagsdk.load_bundle(name).predictor.loss("int8")
        assert loss is not None and 0 < loss.mean < 2
    text = "mbv3:r44:d=3,2,2,1:ks=5,5,5,5,5,3,3,3:e=6,6,6,4,4,6,6,4"
    predictor = nagsdk.load_bundle("glyphs").predictor
    loss = predictor.loss("int8", "int8-w7")
    (float_,), (integers,) = (nagsdk.predict("cpu", text, precision=p) for p in ("fp32", "int8"))
    assert float_.predicted.top1_loss is None and integers.predicted.top1_loss == loss.mean
    assert integers.predicted.top1 == pytest.approx(float_.predicted.top1 - loss.mean)
    assert not any("that of fp32" in warning for warning in integers.warnings)
    eight = replace(host().devices.get("cpu"), options=(("weight_bits", "8"),))
    for device, scheme in (("litert", "int8-split"), ("openvino", "int8-w7-hswish"), (eight, "int8")):
        assert nagsdk.Target(device, precision="int8").known_loss == predictor.loss("int8", scheme)
