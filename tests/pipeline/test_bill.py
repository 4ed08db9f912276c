"""Measured times of layers, with the real runtimes."""

import numpy as np
import pytest

import nagsdk
from nagsdk.device.description import Device
from nagsdk.pipeline.bill import measured_bill, worth_of_more
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import timing_artifact
from tests.few_images import few_images  # noqa: F401
from tests.pipeline.test_loop import simulate, world  # noqa: F401


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_every_layer_with_weights_has_a_time(backend, tmp_path):
    pytest.importorskip(backend)
    target = Target(Device(backend, "", backend), "glyphs")
    space = target.bundle.space
    (architecture,) = space.decode(space.sample(1, np.random.default_rng(3)))
    layers = space.layers(architecture)
    bill = measured_bill(target, timing_artifact(target, architecture, tmp_path), layers)
    assert bill["note"] == ""
    weighted = {layer.name for layer in layers if layer.kind not in ("add", "pool")}
    assert weighted <= set(bill["layers"]) <= {layer.name for layer in layers}
    assert bill["total_ms"] == pytest.approx(sum(bill["layers"].values()) + bill["other_ms"])
    assert all(ms > 0 for ms in bill["layers"].values())


def test_a_runtime_that_does_not_tell_is_named_in_the_report(simulate, tmp_path):  # noqa: F811
    simulate()
    deployment = nagsdk.deploy("board", budget="1ms", output=tmp_path / "out")
    told = deployment.to_dict()
    assert told["bill"]["layers"] == {} and "does not tell" in told["bill"]["note"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "The times of single layers were not measured" in page
    assert told["worth_of_more"]["more_ms"] == 0.1 and told["worth_of_more"]["top1"] > 0
    assert "0.1 ms more buys +" in page


def test_what_more_latency_buys_is_read_off_the_frontier():
    front = [
        {"metric": "macs", "cost": [1, 2], "top1": [1, 2]},
        {"metric": "latency", "cost": [4, 9], "top1": [60, 70]},
    ]
    assert worth_of_more(front, 5.0) == {"more_ms": 1.0, "top1": pytest.approx(2.0)}
    assert worth_of_more(front, 9.0) == {"more_ms": 1.0, "top1": 0.0}
    assert worth_of_more(front, 3.0) is None and worth_of_more(front[:1], 5.0) is None
    assert worth_of_more(front, None) is None
