import json

import numpy as np
import pytest

from nagsdk.common.folders import shipped
from nagsdk.cost.features import FEATURES, network_features
from nagsdk.cost.pool import read_pool
from nagsdk.errors import DeviceError, UsageError
from nagsdk.networks.catalogue import NETWORKS, layers_of

POOL = shipped("devices") / "cpu-pool.json"


def given(**readings):
    return [(name, network_features(layers_of(name)), ms) for name, ms in readings.items()]


@pytest.mark.parametrize("kernels", ["xnnpack", "ncnn"])
def test_a_reading_is_met_and_scales_all_prices(kernels):
    pool = read_pool(POOL)[kernels]
    slow, fast = (pool.prior(given(mobilenet_v3_large=ms)) for ms in (40.0, 4.0))
    np.testing.assert_allclose(slow.weights, 10 * fast.weights)
    features = network_features(layers_of("mobilenet_v3_large"))
    assert float(features @ slow.weights) * pool.networks["mobilenet_v3_large"] == pytest.approx(40)


def test_one_reading_that_disagrees_with_two_does_not_move_the_scale_far():
    pool = read_pool(POOL)["xnnpack"]
    expected = {
        n: pool.expected(n, network_features(layers_of(n))) for n in ("mobilenet_v1", "mobilenet_v2", "resnet50")
    }
    scale, count = pool.scale(given(**(expected | {"resnet50": 10 * expected["resnet50"]})))
    assert (scale, count) == (pytest.approx(1), 3)


def test_no_reading_is_refused():
    with pytest.raises(UsageError, match="at least one reading"):
        read_pool(POOL)["xnnpack"].prior([])


def test_networks_of_the_pool_are_those_of_the_catalogue_and_near_the_prices():
    for kernels in read_pool(POOL).values():
        assert kernels.networks.keys() <= NETWORKS.keys()
        assert all(0.3 < ratio < 3 for ratio in kernels.networks.values())
        assert 0 < kernels.spread < 0.2 and kernels.weights.shape == (len(FEATURES),)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(format="other"),
        lambda c: c["kernels"]["ncnn"]["weights"].update(calls=-1),
        lambda c: c["kernels"]["ncnn"]["weights"].pop("calls"),
        lambda c: c["kernels"]["ncnn"].update(networks=[1]),
        lambda c: c["kernels"]["ncnn"].update(spread=None),
    ],
)
def test_a_damaged_pool_is_named(tmp_path, change):
    content = json.loads(POOL.read_text("utf-8"))
    change(content)
    (tmp_path / "pool.json").write_text(json.dumps(content))
    with pytest.raises(DeviceError, match="cannot be read"):
        read_pool(tmp_path / "pool.json")
