"""The whole pipeline with a virtual phone: discover, push, measure, calibrate, generate, deploy, verify."""

import functools
from dataclasses import replace

import pytest

import nagsdk
from nagsdk.budget import Budget
from nagsdk.calibration import calibrate as calibration
from nagsdk.common.files import sha256
from nagsdk.events import Advanced, Notice
from nagsdk.manifest.manifest import read_manifest
from nagsdk.measuring.protocol import CALIBRATION_PROTOCOL
from nagsdk.pipeline import target as workbench
from tests.few_images import few_images  # noqa: F401


@pytest.fixture
def described(phone, tmp_path, monkeypatch):
    """The phone's description. The protocols are short, because these tests check the steps and not the figures."""
    path = tmp_path / "virtual.toml"
    path.write_text(
        f'id = "virtual"\ntitle = "A virtual phone"\nbackend = "android"\n[options]\nserial = "{phone.serial}"\n'
    )
    monkeypatch.setattr("nagsdk.pipeline.models.CALIBRATION", replace(CALIBRATION_PROTOCOL, rounds=1, most_rounds=1))
    monkeypatch.setattr("nagsdk.pipeline.calibrate.calibrate", functools.partial(calibration.calibrate, sessions=2))
    monkeypatch.setattr(calibration, "_SEARCH_S", 1.0)
    for name in ("PROTOCOL", "GLANCE"):
        monkeypatch.setattr(
            workbench,
            name,
            replace(getattr(workbench, name), runs=3, rounds=2, most_rounds=2, spread_s=0, patience_s=0),
        )
    return str(path)


def test_a_deployment_holds_although_calibration_was_interrupted_and_the_daemon_died(phone, described, tmp_path):
    events = []

    def disturb(event):
        events.append(event)
        readings = sum(isinstance(e, Advanced) and e.text.startswith("Measuring ") for e in events)
        if readings == 3:
            phone.say("kill")
        if readings == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nagsdk.calibrate(described, samples=5, on_event=disturb)
    assert phone.files() == []
    more = []
    summary = nagsdk.calibrate(described, samples=5, on_event=more.append)
    assert any(isinstance(e, Notice) and e.text.startswith("Resuming a calibration") for e in more)
    assert summary.samples == 5 and len(summary.calibration.taken) == 10 and summary.complete

    budget = Budget.parse("60ms", confidence=0.8)  # five samples allow no more
    deployment = nagsdk.deploy(described, budget=budget, output=tmp_path / "out")
    assert deployment.verdict == "held"
    assert 0 < deployment.result.measured.latency_p50_ms <= deployment.result.measured.latency_limit_ms <= 60
    assert deployment.result.measured.top1 > 80
    manifest = read_manifest(tmp_path / "out")
    assert manifest["device_properties"]["model"] == "Virtual Phone" and manifest["parity"] < 1e-5
    assert manifest["artifact"]["sha256"] == sha256(tmp_path / "out" / "model.tflite")
    assert manifest["graph"]["transposes"] == 0 and manifest["rounds"][-1]["state"]["battery_percent"] == 93


def test_without_the_phone_a_budget_that_needs_no_timing_is_deployed_unverified(phone, described, tmp_path):
    phone.say("stop")
    deployment = nagsdk.deploy(described, budget="600kB", output=tmp_path / "out")
    assert deployment.verdict == "unverified" and deployment.result.artifact.bytes <= 600e3
    manifest = read_manifest(tmp_path / "out")
    assert manifest["parity"] < 1e-5 and deployment.result.measured.top1 > 80
    assert any(
        "did not answer" in warning and "nothing was measured" in warning for warning in deployment.result.warnings
    )
    phone.say("start")


def test_the_serial_of_the_phone_may_be_passed_in_the_call(phone, tmp_path):
    text = "mbv3:r32:d=1,1,1,1:ks=3,5,5,3:e=2,2,2,2"
    nagsdk.export("android", serial=phone.serial, architecture=text, precision="fp16", output=tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    assert (
        manifest["device_properties"]["serial"] == phone.serial and manifest["device_properties"]["precision"] == "fp16"
    )
    assert 1e-5 < manifest["parity"] < 1e-2
