import numpy as np

from nagsdk.cost.features import FEATURES, FeatureTable
from nagsdk.families import preset
from nagsdk.families.mobilenet_v3.presets import small_mobilenet_v3
from nagsdk.generator.training_data import Devices

FIRST = list(FEATURES)[:21]


def drawn(space, rng):
    """Prices of a random device without noise of single choices, from the table of its latencies."""
    devices = Devices(space)
    prices = []
    devices._features = type("Table", (), {"priced": lambda self, weights: prices.append(weights) or table})()
    table = FeatureTable.of(space).priced(np.zeros(len(FEATURES)))
    devices.latency(rng)
    return prices[0] / np.where(devices._share > 0, devices._share, 1)


def test_later_features_do_not_change_the_devices_of_spaces_without_them():
    rng, again = np.random.default_rng(3), np.random.default_rng(3)
    found = drawn(small_mobilenet_v3(), rng)
    expected = np.exp(again.normal(0, again.uniform(0.3, 2.0), len(FIRST))) * (
        again.random(len(FIRST)) >= again.uniform(0.1, 0.6)
    )
    has = FeatureTable.of(small_mobilenet_v3()).typical > 0
    assert not has[len(FIRST) :].any()
    same = [name in FIRST and has[i] and "call" not in name and name != "network" for i, name in enumerate(FEATURES)]
    np.testing.assert_allclose(found[same], expected[np.array(same)[: len(FIRST)]], rtol=1e-12)


def test_the_price_of_attention_varies():
    at, rng = list(FEATURES).index("attention_macs"), np.random.default_rng(0)
    assert len({drawn(preset("vit"), rng)[at] for _ in range(20)}) > 5
