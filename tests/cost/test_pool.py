import json

import numpy as np
import pytest

from nagsdk.common.folders import shipped
from nagsdk.cost.chips import Core, names, nearest
from nagsdk.cost.features import FEATURES, network_features
from nagsdk.cost.pool import read_pool
from nagsdk.errors import DeviceError, UnknownNameError, UsageError
from nagsdk.networks.catalogue import NETWORKS, layers_of

POOL = shipped("devices") / "cpu-pool.json"
KERNELS = tuple(read_pool(POOL))


def features(name):
    return network_features(layers_of(name))


def given(**readings):
    return [(name, features(name), ms) for name, ms in readings.items()]


def price(prior, name):
    return float(features(name) @ prior.weights)


@pytest.mark.parametrize("kernels", KERNELS)
def test_a_reading_is_met_and_scales_all_prices(kernels):
    pool = read_pool(POOL)[kernels]
    slow, fast = (pool.prior(given(mobilenet_v3_large=ms)) for ms in (40.0, 4.0))
    np.testing.assert_allclose(slow.weights, 10 * fast.weights, rtol=1e-3)
    own = pool.prior(given(mobilenet_v3_large=40.0), network=("mobilenet_v3_large", features("mobilenet_v3_large")))
    assert price(own, "mobilenet_v3_large") == pytest.approx(40, rel=0.01)
    assert own.spread < 0.1 * slow.spread + 0.02


def test_readings_of_several_networks_agree_with_each_of_them_and_narrow_the_bound():
    pool = read_pool(POOL)["ncnn"]
    read = {"mobilenet_v1": 10.0, "mobilenet_v2": 8.5, "mobilenet_v3_large": 7.0}
    target = ("mnasnet_b1", features("mnasnet_b1"))
    one, three = pool.prior(given(mobilenet_v3_large=7.0), network=target), pool.prior(given(**read), network=target)
    assert three.spread < one.spread
    for name, ms in read.items():
        assert price(pool.prior(given(**read), network=(name, features(name))), name) == pytest.approx(ms, rel=0.03)


def test_the_chip_changes_the_proportions_and_narrows_the_bound():
    pool = read_pool(POOL)["ncnn"]
    target = ("mobilenet_v1", features("mobilenet_v1"))
    plain, small = (pool.prior(given(mobilenet_v3_large=100.0), chip, network=target) for chip in (None, "Cortex-A53"))
    assert price(small, "mobilenet_v1") < 0.97 * price(plain, "mobilenet_v1") and small.spread < plain.spread


@pytest.mark.parametrize("kernels", KERNELS)
def test_without_a_reading_a_chip_of_known_speed_is_needed(kernels):
    pool = read_pool(POOL)[kernels]
    with pytest.raises(UsageError, match="at least one reading"):
        pool.prior([])
    chip, scale = nearest(Core("Cortex-A76", 2.4), pool)
    by_name = pool.prior([], chip, scale)
    assert by_name.spread > 3 * pool.prior(given(mobilenet_v3_large=7.0)).spread
    slow = pool.prior([], *nearest(Core("Cortex-A76", 1.2), pool))
    np.testing.assert_allclose(slow.weights, 2 * by_name.weights, rtol=1e-6)


def test_a_design_that_is_farther_from_a_measured_one_is_less_certain():
    pool = read_pool(POOL)["xnnpack"]
    own, next_, far = (nearest(Core(name, 2.0), pool)[1] for name in ("Cortex-A76", "Cortex-A77", "Cortex-A78"))
    assert own.spread < next_.spread < far.spread
    assert nearest(Core("Cortex-A53", 2.0), pool) == (None, None)
    assert nearest(Core("Cortex-A76"), pool) == ("Cortex-A76", None)


@pytest.mark.parametrize(
    ("text", "name", "ghz"),
    [
        ("Cortex-A78 2.4 GHz", "Cortex-A78", 2.4),
        ("  arm cortex a78@2400MHz ", "Cortex-A78", 2.4),
        ("A55 1.8ghz", "Cortex-A55", 1.8),
        ("X1", "Cortex-X1", None),
        ("Kyro 485 2.84GHz", "Cortex-A76", 2.84),
        ("apple m1 3.2 GHz", "Apple M1", 3.2),
    ],
)
def test_names_of_chips_are_read_as_people_write_them(text, name, ghz):
    assert Core.parse(text, read_pool(POOL)["ncnn"].chips) == Core(name, ghz)


@pytest.mark.parametrize("text", ["", "GHz", "Cortex-A87 2 GHz", "2.4 GHz", "Cortex", "A78 2.4 GHz 2.4 GHz", "A78\0"])
def test_an_unknown_chip_is_refused_with_the_legal_names(text):
    with pytest.raises(UnknownNameError) as raised:
        Core.parse(text)
    assert all(name in raised.value.next_step for name in names())


@pytest.mark.parametrize("frequency", ["0 GHz", "11 GHz", "1 MHz", "99999999999999999999999999999999999999 GHz"])
def test_a_frequency_out_of_range_is_refused(frequency):
    with pytest.raises(UsageError, match="frequency"):
        Core.parse(f"Cortex-A78 {frequency}")


def test_another_precision_keeps_the_proportions_and_widens_the_bound():
    pool = read_pool(POOL)["xnnpack"]
    plain = pool.prior(given(mobilenet_v2=9.847))
    integer = pool.in_precision(plain, "int8")
    ratio = integer.weights[plain.weights > 0] / plain.weights[plain.weights > 0]
    assert np.ptp(ratio) < 1e-9 and 0.3 < ratio[0] < 0.6
    assert integer.spread > 0.3 and "int8" in integer.source["title"]


def test_what_the_pool_knows_is_in_the_catalogue_and_near_the_prices():
    for kernels in read_pool(POOL).values():
        assert kernels.networks.keys() <= NETWORKS.keys()
        assert all(abs(known.offset) < 0.5 and 0 < known.spread < 0.5 for known in kernels.networks.values())
        assert kernels.weights.shape == (len(FEATURES),) and 0.5 < kernels.spreads.bound < 2
    assert read_pool(POOL)["tflite-2019"].unknown[0] == "swish_elements"


def test_prices_of_features_that_came_after_the_pool_are_unknown():
    for kernels in read_pool(POOL).values():
        assert {"attention_macs", "norm_elements"} <= {*kernels.unknown} < {*FEATURES}


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(format="other"),
        lambda c: c["kernels"]["ncnn"]["weights"].update(calls=-1),
        lambda c: c["kernels"]["ncnn"]["weights"].pop("calls"),
        lambda c: c["kernels"]["ncnn"].update(networks=[1]),
        lambda c: c["kernels"]["ncnn"]["spreads"].update(prices=None),
        lambda c: c["kernels"]["ncnn"]["spreads"].update(prices=float("nan")),
        lambda c: c["kernels"]["ncnn"]["chips"]["Cortex-A53"]["prices"].update(calls=-2),
    ],
)
def test_a_damaged_pool_is_named(tmp_path, change):
    content = json.loads(POOL.read_text("utf-8"))
    change(content)
    (tmp_path / "pool.json").write_text(json.dumps(content))
    with pytest.raises(DeviceError, match="cannot be read"):
        read_pool(tmp_path / "pool.json")
