import json
import math

import numpy as np
import pytest

from nagsdk.cost.features import FEATURES, FeatureTable
from nagsdk.cost.model import CostModel
from nagsdk.cost.prior import Jitter, Prior, flat_prior, read_prior
from nagsdk.device.description import read_device
from nagsdk.errors import DeviceError, UsageError
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from tests.conftest import REPOSITORY
from tests.generator.spaces import coupled_space

DEVICES = REPOSITORY / "devices"


def test_jitter_is_interpolated_and_never_below_one():
    jitter = Jitter({75.0: 1.02, 90.0: 1.05, 99.0: 1.2}, 0.01)
    assert jitter.factor(50) == jitter.factor(10) == 1
    assert jitter.factor(90) == pytest.approx(1.05)
    values = [jitter.factor(p) for p in (50, 60, 75, 85, 90, 95, 99, 99.9)]
    assert values == sorted(values) and values[-1] > 1.2
    assert Jitter.from_dict(json.loads(json.dumps(jitter.to_dict()))) == jitter


def test_jitter_that_falls_with_the_percentile_is_levelled():
    assert Jitter({75.0: 1.05, 90.0: 1.03}, 0.0).factor(90) == pytest.approx(1.05)
    assert Jitter({}, 0.0).factor(90) == 1


def test_a_prior_survives_its_file(tmp_path):
    prior = Prior(np.linspace(0, 1, len(FEATURES)), 0.4, Jitter({90.0: 1.1}, 0.02), 2, {"title": "x"})
    path = tmp_path / "prior.json"
    path.write_text(prior.to_json())
    again = read_prior(path)
    np.testing.assert_array_equal(again.weights, prior.weights)
    assert (again.spread, again.jitter, again.threads, again.source) == (
        prior.spread,
        prior.jitter,
        prior.threads,
        prior.source,
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace("nagsdk-cost-prior/1", "nagsdk-cost-prior/0"),
        lambda text: text.replace('"calls": 0.', '"calls": -0.'),
        lambda text: text.replace('"spread": 0.4', '"spread": NaN'),
        lambda text: text.replace('"calls"', '"cells"'),
        lambda text: text.replace('"threads": 1', '"threads": null'),
    ],
)
def test_a_damaged_prior_is_refused_with_a_next_step(tmp_path, damage):
    whole = Prior(np.full(len(FEATURES), 0.5), 0.4, Jitter({90.0: 1.1}, 0.02)).to_json()
    damaged = damage(whole)
    assert damaged != whole
    path = tmp_path / "prior.json"
    path.write_text(damaged)
    with pytest.raises(DeviceError, match="prior.json") as caught:
        read_prior(path)
    assert "Reinstall" in caught.value.next_step


def test_a_missing_prior_is_refused(tmp_path):
    with pytest.raises(DeviceError):
        read_prior(tmp_path / "none.json")


def test_other_threads_widen_the_spread_once():
    prior = Prior(np.ones(len(FEATURES)), 0.4, Jitter({}, 0.02))
    assert prior.for_threads(1) is prior
    four = prior.for_threads(4)
    assert four.spread > 0.6 and four.for_threads(4) is four


def test_the_flat_prior_gives_every_feature_the_same_share():
    table = FeatureTable.of(ofa_mobilenet_v3())
    prior = flat_prior(table)
    mean = table.base.mean(0) + table.choice.mean(2).sum(1).mean(0)
    share = (mean * prior.weights)[prior.weights > 0]
    np.testing.assert_allclose(share, share[0])
    assert math.isinf(prior.spread)


def test_the_shipped_cpu_device_and_its_prior_fit_together():
    device = read_device(DEVICES / "cpu.toml")
    assert (device.id, device.backend, device.threads) == ("cpu", "onnxruntime", 1)
    prior = read_prior(DEVICES / str(device.prior))
    assert prior.threads == device.threads and 0.2 < prior.spread < 1
    space = ofa_mobilenet_v3()
    cost = FeatureTable.of(space).priced(prior.weights).cost(space.sample(500, np.random.default_rng(0)))
    # This is no claim about this machine: any x86-64 processor takes milliseconds for these networks.
    assert 1 < cost.min() < cost.max() < 100
    assert prior.source["processors"] and prior.source["runtimes"] and prior.source["subnets"] >= 100


def test_a_batch_multiplies_what_each_image_costs():
    weights = np.linspace(1, 2, len(FEATURES))
    prior = Prior(weights, 0.4, Jitter({90.0: 1.1}, 0.02), directions=np.stack([weights, -weights]))
    assert prior.for_batch(1) is prior
    of_8 = prior.for_batch(8)
    assert set(np.round(of_8.weights / weights, 9)) == {1, 8}
    np.testing.assert_allclose(of_8.directions, np.stack([of_8.weights, -of_8.weights]))
    once = {name for name, ratio in zip(FEATURES, of_8.weights / weights, strict=True) if ratio < 2}
    assert {"network", "calls", "vector_weights"} <= once and not {"conv_macs", "pointwise_macs"} & once
    assert of_8.spread > prior.spread and of_8.source["fitted_for_batch"] == 1


def test_a_feature_whose_price_is_not_known_makes_the_speed_unknown_and_is_not_free(tmp_path):
    """The prior of a device from before squeeze-and-excitation was known."""
    path, space = tmp_path / "prior.json", ofa_mobilenet_v3()
    directions = np.arange(2.0 * len(FEATURES)).reshape(2, -1)
    content = json.loads(
        Prior(np.full(len(FEATURES), 0.5), 0.4, Jitter({90.0: 1.1}, 0.02), directions=directions).to_json()
    )
    gone = list(FEATURES).index("se_weights")
    del content["weights_ms"]["se_weights"]
    for row in content["directions_ms"]:
        del row[gone]
    path.write_text(json.dumps(content))
    prior = read_prior(path)
    assert prior.unknown == ("se_weights",) and json.loads(prior.to_json()) == {**content, "source": {}}
    assert np.array_equal(prior.directions, np.where(np.arange(len(FEATURES)) == gone, 0, directions))

    fitted = prior.for_space(space)
    assert math.isinf(fitted.spread) and fitted.source["unknown"] == ["se_weights"] and fitted.unknown == ()
    costs = FeatureTable.of(space).typical * fitted.weights
    others = np.delete(costs, gone)  # the space has no swish
    assert costs[gone] == pytest.approx(others[others > 0].mean())
    for given in (fitted, prior):
        with pytest.raises(UsageError, match="speed of this device is not known"):
            CostModel.from_prior(space, given)


def test_a_feature_that_no_network_needs_may_be_unknown():
    space = coupled_space(resolutions=(64,))
    prior = Prior(np.full(len(FEATURES), 0.5), 0.4, Jitter({90.0: 1.1}, 0.02), unknown=("se_weights",))
    assert prior.for_space(space).spread == 0.4
