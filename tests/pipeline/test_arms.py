"""Precisions and numbers of threads between which the device decides, on a device whose latencies are known."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import nagsdk
from nagsdk.cli import cli
from nagsdk.device.backend import Presence
from nagsdk.device.description import Device
from nagsdk.errors import DeviceUnavailableError, InfeasibleError, UsageError
from nagsdk.manifest.manifest import read_manifest
from nagsdk.manifest.result import Measured, Predicted
from nagsdk.pipeline.arms import expected_top1
from nagsdk.pipeline.target import Target
from nagsdk.plugin import host as plugin
from nagsdk.project import artifacts
from tests.few_images import few_images  # noqa: F401
from tests.simulated import SimulatedBackend, host_of


class Arms(SimulatedBackend):
    """A device that is faster or slower with another precision or number of threads."""

    speed, sessions_of = {}, []

    def presence(self, device):
        found = super().presence(device)
        arm = {"precision": device.precision, "threads": str(device.threads)}
        return replace(found, properties={**found.properties, **arm}, fingerprint=f"board-{'-'.join(arm.values())}")

    def export(self, graph, path, device, images=None):
        super().export(getattr(graph, "source", graph), path, device, images)
        macs = float(path.with_suffix(".ms").read_text())
        path.with_suffix(".ms").write_text(str(macs / self.factor(device)))

    def factor(self, device):
        return self.speed.get(device.precision, 1.0) * self.speed.get(device.threads, 1.0)

    def open(self, device):
        self.sessions_of.append((device.precision, device.threads))
        return super().open(device)


@pytest.fixture
def board(monkeypatch):
    backend = Arms()
    monkeypatch.setattr(Arms, "speed", {})
    monkeypatch.setattr(Arms, "sessions_of", [])
    with plugin.using(host_of(backend, monkeypatch.setattr)):
        yield backend


_KEPT = {}


@pytest.fixture
def calibrated(board, tmp_path_factory):
    """The same, where int8 is 1.7 times as fast; calibrated once for all tests."""
    Arms.speed = {"int8": 1.7}
    cache = Path(os.environ["NAGSDK_CACHE_DIR"])
    if not _KEPT:
        for precision in ("fp32", "int8"):
            nagsdk.calibrate("board", samples=9, precision=precision)
        _KEPT["cache"] = shutil.copytree(cache, tmp_path_factory.mktemp("kept") / "cache")
    else:
        shutil.copytree(_KEPT["cache"], cache)
    board.sessions_of.clear()
    return board


def test_the_faster_precision_wins_where_it_affords_more_than_it_loses(calibrated, tmp_path):
    deployment = nagsdk.deploy("board", "0.6ms", precision="any", output=tmp_path / "out")
    chosen, other = deployment.result.arms
    assert deployment.verdict == "held" and deployment.result.precision == chosen.precision == "int8"
    assert (chosen.state, other.state, other.precision) == ("chosen", "measured", "fp32")
    assert chosen.expected_top1 > other.expected_top1 and "points more than fp32, 1 thread" in chosen.why
    assert chosen.latency_source == other.latency_source == "calibration" and chosen.top1_loss > 0
    assert other.measured_ms <= 0.62 and "int8, 1 thread is better" in other.why
    manifest = read_manifest(tmp_path / "out")
    assert manifest["precision"] == "int8" and [arm["state"] for arm in manifest["arms"]] == ["chosen", "measured"]
    assert manifest["integers"] is not None and manifest["rounds"][0]["precision"] in ("fp32", "int8")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Precisions and threads" in page and other.why in page
    again = nagsdk.Deployment.read(tmp_path / "out")
    assert again.result.arms == deployment.result.arms
    assert [check.state for check in again.verify().checks] == ["passed"] * 3
    assert calibrated.sessions_of[-1] == ("int8", 1)


@pytest.mark.nightly
def test_what_is_measured_decides_and_not_what_was_calibrated(calibrated, tmp_path):
    """Since its calibration, int8 has become slower than fp32, as after an update of the runtime."""
    Arms.speed = {"int8": 0.5}
    deployment = nagsdk.deploy("board", "0.6ms", precision=("fp32", "int8"), output=tmp_path / "out")
    assert deployment.verdict == "held" and deployment.result.precision == "fp32"
    assert {arm.precision: arm.state for arm in deployment.result.arms} == {"fp32": "chosen", "int8": "measured"}


@pytest.mark.nightly
def test_the_fastest_arm_of_an_accuracy_is_found(calibrated, tmp_path):
    deployment = nagsdk.deploy("board", min_top1=88, precision="any", output=tmp_path / "out")
    chosen = deployment.result.arms[0]
    assert deployment.verdict == "held" and chosen.precision == "int8"
    assert deployment.result.measured.top1 >= 88 and "the others cannot reach it" in chosen.why
    assert "ms more; not measured" in deployment.result.arms[1].why


@pytest.mark.nightly
def test_a_missed_budget_names_the_nearest_of_all_arms(calibrated, tmp_path):
    calibrated.world = lambda ms: 1.6 + 0.01 * ms
    missed = nagsdk.deploy("board", "0.6ms", precision="any", output=tmp_path / "out")
    assert missed.verdict == "missed" and not (tmp_path / "out").exists()
    assert "nearest budget" in missed.result.warnings[-1] and "none held" in missed.result.arms[0].why


def test_without_the_device_the_best_prediction_is_built(calibrated, tmp_path):
    calibrated.present = False
    deployment = nagsdk.deploy("board", "400kB", precision="any", output=tmp_path / "out")
    assert deployment.verdict == "unverified" and deployment.result.precision == "int8"
    chosen, other = deployment.result.arms
    assert "nothing was measured" in chosen.why and other.state == "predicted" and chosen.measured_ms is None
    with pytest.raises(DeviceUnavailableError, match="Nothing is known"):
        nagsdk.deploy("board", "1ms", precision="any", output=tmp_path / "none")


@pytest.mark.nightly
def test_a_build_pins_the_chosen_arm_and_restores_it(calibrated, tmp_path, monkeypatch):
    text = '[deployments.small]\ndevice = "board"\nbudget = "0.6ms"\nprecision = ["fp32", "int8"]\n'
    (tmp_path / "nagsdk.toml").write_text(text)
    report = nagsdk.build(tmp_path)
    assert [(one.state, one.verdict) for one in report.deployments] == [("deployed", "held")]
    pinned = json.loads((tmp_path / "nagsdk.lock").read_text())["deployments"]["small"]
    assert pinned["manifest"]["precision"] == "int8" and pinned["manifest"]["arms"][0]["state"] == "chosen"
    assert nagsdk.build(tmp_path, locked=True).deployments[0].state == "current"
    shutil.rmtree(tmp_path / "deployments")
    monkeypatch.setattr(artifacts, "take", lambda *_: None)
    assert nagsdk.build(tmp_path, locked=True).deployments[0].state == "rebuilt"
    assert read_manifest(tmp_path / "deployments" / "small")["precision"] == "int8"


def test_answers_by_inference_are_the_best_of_all_arms(calibrated):
    small, large = nagsdk.generate("board", ["0.3ms", "1ms"], precision="any")
    for budget, found in (("0.3ms", small), ("1ms", large)):
        alone = [nagsdk.generate("board", budget, precision=one)[0] for one in ("fp32", "int8")]
        best = max(alone, key=lambda one: one.predicted.top1)
        assert (found.precision, found.architecture) == (best.precision, best.architecture)
        assert found.arms[0].precision == best.precision and not any(one.arms for one in alone)
    fastest = nagsdk.generate("board", min_top1=90, precision="any")[0]
    alone = [nagsdk.generate("board", min_top1=90, precision=one)[0] for one in ("fp32", "int8")]
    assert fastest.predicted.latency_ms == min(one.predicted.latency_ms for one in alone)
    with pytest.raises(InfeasibleError) as caught:
        nagsdk.generate("board", ["0.0001ms", "1ms"], precision="any")
    assert [one.precision for one in caught.value.results] == [large.precision]


def test_what_the_fastest_arm_needs_is_named_where_none_holds(calibrated):
    with pytest.raises(InfeasibleError) as caught:
        nagsdk.generate("board", "0.0001ms", precision="any")
    with pytest.raises(InfeasibleError) as alone:
        nagsdk.generate("board", "0.0001ms", precision="int8")
    assert caught.value.message == alone.value.message


def test_the_frontier_is_the_upper_envelope_and_names_its_arms(calibrated):
    both = nagsdk.frontier("board", strategies="lookup", points=9, precision="any")
    limits = both.limits
    for precision in ("fp32", "int8"):
        alone = nagsdk.frontier("board", strategies="lookup", points=40, precision=precision)
        held = np.searchsorted(alone.limits, limits, side="right") - 1
        known = held >= 0
        assert (both.top1["lookup"][known] >= alone.top1["lookup"][held[known]] - 0.02).all()
        assert {row["precision"] for row in alone.rows()} == {precision}
    rows = both.rows()
    assert rows[0]["precision"] == "int8" and all(row["threads"] == 1 for row in rows)
    shown = CliRunner().invoke(cli, ["frontier", "--device", "board", "--points", "3", "--precision", "any"])
    assert shown.exit_code == 0 and "nag: arm" in shown.stdout and "int8, 1 thread" in shown.stdout


def test_the_frontier_of_integers_is_lowered_by_their_loss(calibrated):
    fp32, int8 = (nagsdk.frontier("board", metric="macs", strategies="lookup", points=3, precision=p).top1["lookup"]
                  for p in ("fp32", "int8"))  # fmt: skip
    assert np.allclose(fp32 - int8, Target("board", precision="int8").loss)


@pytest.mark.nightly
def test_threads_are_arms_too(board, tmp_path):
    Arms.speed = {2: 1.5}
    for threads in (1, 2):
        nagsdk.calibrate("board", samples=9, threads=threads)
    shown = CliRunner().invoke(
        cli, ["deploy", "--device", "board", "--threads", "1,2", "--budget", "0.6ms", "--confidence", "0.8",
              "--output", str(tmp_path / "out"), "--json"]
    )  # fmt: skip
    answer = json.loads(shown.stdout)
    assert shown.exit_code == 0 and answer["threads"] == 2 and answer["arms"][0]["threads"] == 2
    assert {(arm["precision"], arm["threads"]) for arm in answer["arms"]} == {("fp32", 1), ("fp32", 2)}


class NoIntegers(Arms):
    """A backend that offers int8, but not on this device."""

    def presence(self, device):
        found = super().presence(device)
        return Presence(False, "It has no integer kernels.") if device.precision == "int8" else found


def test_an_arm_that_the_device_does_not_take_is_left_out_and_named():
    told = []
    target = Target(Device("board", "A board", "simulated"), precision="any", backend=NoIntegers(),
                    on_event=lambda event: told.append(event.text))  # fmt: skip
    assert [arm.arm for arm in target.arms] == ["fp32, 1 thread"] and target.left_out[0].precision == "int8"
    assert any("int8, 1 thread is left out: It has no integer kernels" in text for text in told)
    (result,) = nagsdk.generate(target, "2MMACs")
    assert [arm.state for arm in result.arms] == ["chosen", "left out"]


def test_any_leaves_out_integers_whose_loss_is_not_known_and_a_list_does_not():
    assert [arm.precision for arm in Target("litert", precision="any").left_out] == ["int8-dynamic"]
    assert [arm.device.precision for arm in Target("litert", precision="any").arms] == ["fp32", "fp16", "int8"]
    asked = Target("litert", precision="fp32,int8-dynamic")
    assert [arm.device.precision for arm in asked.arms] == ["fp32", "int8-dynamic"] and not asked.left_out


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"precision": "fp32,fp31"}, "no precision named 'fp31'"),
        ({"precision": ("fp32", "fp32")}, "cannot be the precision"),
        ({"precision": ()}, "cannot be the precision"),
        ({"precision": "fp32,"}, "'fp32,' cannot be the precision"),
        ({"precision": ("any", "fp32")}, "cannot be the precision"),
        ({"precision": (1, 2)}, "cannot be the precision"),
        ({"precision": "fp16,bf16"}, "supports none of"),
        ({"threads": (1, 1)}, "cannot be the threads"),
        ({"threads": (0, 2)}, "number of threads cannot be 0"),
        ({"threads": "1,many"}, "number of threads cannot be 'many'"),
        ({"threads": range(1, 20)}, "number of arms"),
    ],
)
def test_choices_that_are_none_are_refused(settings, says):
    with pytest.raises(UsageError, match=says):
        Target("cpu", **settings)


def test_verbs_that_do_not_choose_say_so(monkeypatch):
    # A machine with one core has no choice of threads.
    monkeypatch.setattr("nagsdk.pipeline.choices.usable_cores", lambda: 2)
    for verb in (
        lambda: nagsdk.predict("cpu", "mbv3:r40", precision="any"),
        lambda: nagsdk.calibrate("cpu", threads=(1, 2)),
        lambda: nagsdk.generate(["cpu", "litert"], "1MMACs", precision="any"),
        lambda: nagsdk.deploy("cpu", "1ms", model="model.onnx", precision="any"),
    ):
        with pytest.raises(UsageError, match="are needed here"):
            verb()
    with pytest.raises(UsageError, match="differ in latency only"):
        nagsdk.generate("cpu", "1MMACs", threads="any")


def test_a_target_with_a_choice_can_be_sent_to_another_process():
    import pickle

    again = pickle.loads(pickle.dumps(Target("cpu", precision="any", threads=(1, 2))))
    assert repr(again) == "Target('cpu', bundle='glyphs', threads=(1, 2), batch=1, precision=('fp32', 'int8'))"


def test_predicted_and_measured_top1_are_weighted_by_their_intervals():
    sure, unsure = Predicted(top1=90, top1_low=89.9, top1_high=90.1), Predicted(top1=90, top1_low=80, top1_high=99)
    measured = Measured(top1=92, top1_low=91, top1_high=93)
    assert 90 < expected_top1(sure, measured) < 90.1 and 91.9 < expected_top1(unsure, measured) < 92
    assert expected_top1(sure, Measured()) == 90 and expected_top1(Predicted(), Measured()) is None
    assert expected_top1(Predicted(), measured) == 92
    # Of differences, the predictor is surer than of the level, which all networks share.
    assert 90 < expected_top1(unsure, measured, [0.1, 0.1]) < 90.2
