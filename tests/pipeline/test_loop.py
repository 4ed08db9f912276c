"""The deploy loop on a device whose latencies are known, with the real bundle and the real runtime."""

import errno
import json
import multiprocessing
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner

import nagsdk
import nagsdk.api
from nagsdk import ranges
from nagsdk.budget import Budget
from nagsdk.bundle.bundle import load_bundle
from nagsdk.calibration.references import reference_architecture
from nagsdk.cli import cli
from nagsdk.common.files import sha256
from nagsdk.device.description import Device
from nagsdk.errors import (
    DeviceUnavailableError,
    ImagesMissingError,
    InfeasibleError,
    OutputError,
    UnknownNameError,
    UnverifiedError,
    UsageError,
    WeightsMissingError,
)
from nagsdk.events import Notice
from nagsdk.generator import strategies as searches
from nagsdk.manifest.manifest import read_manifest
from nagsdk.manifest.result import Measured
from nagsdk.pipeline.build import Builder
from nagsdk.pipeline.deployment import Deployment
from nagsdk.pipeline.models import calibrated_model
from nagsdk.pipeline.paper import train_paper_generator
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import timing_artifact
from nagsdk.plugin import host as plugin
from tests.few_images import few_images  # noqa: F401
from tests.simulated import SimulatedBackend, SimulatedSession, host_of


@pytest.fixture
def world(monkeypatch):
    """Registers a simulated device and returns its backend; nothing is kept from earlier runs."""
    backend = SimulatedBackend()
    with plugin.using(host_of(backend, monkeypatch.setattr)):
        yield backend


_KEPT = {}


@pytest.fixture
def simulate(world, tmp_path_factory):
    """The same, calibrated; made once for all tests."""
    cache = Path(os.environ["NAGSDK_CACHE_DIR"])
    if not _KEPT:
        nagsdk.generate("board", budget=[_calibrated()])
        _KEPT["cache"] = shutil.copytree(cache, tmp_path_factory.mktemp("kept") / "cache")
    else:
        shutil.copytree(_KEPT["cache"], cache)
    world.sessions = world.bursts = 0
    return lambda: world


def _calibrated():
    nagsdk.calibrate("board", samples=16)
    return "1.5ms"


def test_a_budget_is_held_and_everything_is_left(simulate, tmp_path):
    simulate()
    deployment = nagsdk.deploy("board", budget="1.5ms", output=tmp_path / "out")
    result = deployment.result
    assert deployment.verdict == "held"
    assert 0.85 * 1.5 < result.measured.latency_p50_ms <= result.measured.latency_limit_ms <= 1.5
    assert result.measured.top1_low < result.measured.top1 < result.measured.top1_high
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "labels.txt",
        "manifest.json",
        "model.onnx",
        "preprocessing.json",
        "report.html",
    ]
    manifest = read_manifest(tmp_path / "out")
    assert manifest["artifact"] == {
        "path": "model.onnx",
        "sha256": sha256(tmp_path / "out" / "model.onnx"),
        "bytes": (tmp_path / "out" / "model.onnx").stat().st_size,
    }
    assert manifest["rounds"][-1]["verdict"] == "held" and manifest["parity"] < 1e-5
    assert {k: v for k, v in manifest.items() if k in result.to_dict() and k != "artifact"} == {
        k: v for k, v in json.loads(json.dumps(result.to_dict())).items() if k != "artifact"
    }


def test_the_file_computes_what_the_bundles_subnet_computes(simulate, tmp_path):
    import torch

    simulate()
    deployment = nagsdk.deploy("board", budget="1ms", output=tmp_path / "out")
    bundle = load_bundle("glyphs")
    architecture = bundle.space.parse(deployment.result.architecture)
    test = bundle.test_set(architecture.resolution)
    session = onnxruntime.InferenceSession(deployment.result.artifact.path, providers=["CPUExecutionProvider"])
    logits = np.concatenate([session.run(None, {"image": x[None]})[0] for x in test.inputs[:200]])
    with torch.no_grad():
        expected = bundle.subnet(architecture)(torch.from_numpy(test.inputs[:200])).numpy()
    assert np.linalg.norm(logits - expected) < 1e-4 * np.linalg.norm(expected)
    assert (logits.argmax(1) == test.labels[:200]).mean() > 0.8


def test_networks_that_are_slower_than_predicted_are_met_by_the_loop(simulate, tmp_path):
    backend = simulate()
    target = Target("board", "glyphs")
    reference = timing_artifact(target, reference_architecture(target.bundle.space), tmp_path / "reference")
    known = float(reference.with_suffix(".ms").read_text())
    backend.world = lambda ms: ms if ms == known else 1.12 * ms
    deployment = nagsdk.deploy("board", budget="1.5ms", output=tmp_path / "out")
    rounds = deployment.details["rounds"]
    assert rounds[0]["verdict"] == "missed" and deployment.verdict == "held" and len(rounds) <= 5
    assert deployment.result.measured.latency_limit_ms <= 1.5
    assert not any("quiet" in warning for warning in deployment.result.warnings)


@pytest.mark.parametrize("factor", [1.12, 1.7])
def test_a_device_that_is_slowed_down_is_seen_before_the_first_round(simulate, tmp_path, factor):
    backend = simulate()
    backend.world = lambda ms: factor * ms
    told = []
    deployment = nagsdk.deploy(
        "board", budget="1.5ms", output=tmp_path / "out", on_event=lambda event: told.append(event.text)
    )
    assert any(f"{factor:.2f} times slower" in text for text in told)
    assert deployment.details["rounds"][0]["verdict"] == deployment.verdict == "held"
    assert 0.85 * 1.5 < deployment.result.measured.latency_limit_ms <= 1.5
    (profiled,) = nagsdk.profile("board", deployment.result.architecture)
    assert all(any("never quiet" in warning for warning in r.warnings) for r in (deployment.result, profiled))


def test_a_device_that_is_faster_than_when_it_was_calibrated_uses_its_budget(simulate, tmp_path):
    backend = simulate()
    backend.world = lambda ms: 0.6 * ms
    told = []
    deployment = nagsdk.deploy(
        "board", budget="0.9ms", output=tmp_path / "out", on_event=lambda event: told.append(event.text)
    )
    assert any("1.67 times faster" in text and "calibrate it again" in text for text in told)
    assert deployment.details["rounds"][0]["verdict"] == deployment.verdict == "held"
    assert 0.85 * 0.9 < deployment.details["rounds"][0]["second_session_p50_ms"] <= 0.9
    assert not any("quiet" in warning for warning in deployment.result.warnings)


@pytest.mark.parametrize(("top1", "warned"), [(94.0, False), (60.0, True)])
def test_a_top1_that_was_not_predicted_is_said(simulate, tmp_path, monkeypatch, top1, warned):
    simulate()
    monkeypatch.setattr(Builder, "evaluate", lambda *_: Measured(top1=top1, top1_low=top1 - 1, top1_high=top1 + 1))
    deployment = nagsdk.deploy("board", budget="1.5ms", output=tmp_path / "out")
    assert any("do not overlap" in warning for warning in deployment.result.warnings) == warned


def _slowing(backend, factors):
    """A listener that makes the device as much slower as each round says, from the moment its candidate is named."""

    def on_event(event):
        begun = event.text.split(":")[0]
        if begun in factors and ": mbv3" in event.text:
            backend.world = lambda ms: factors[begun] * ms

    return on_event


def test_a_slowdown_that_nothing_would_stand_but_that_passes_costs_rounds_and_not_the_deployment(simulate, tmp_path):
    backend = simulate()
    on_event = _slowing(backend, {"Round 1": 10.0, "Round 2": 1.0})
    deployment = nagsdk.deploy("board", budget="1.5ms", output=tmp_path / "out", on_event=on_event)
    assert [turn["verdict"] for turn in deployment.details["rounds"]][:2] == ["missed", "held"]
    assert deployment.verdict == "held" and 0.85 * 1.5 < deployment.result.measured.latency_limit_ms <= 1.5


def test_what_misses_only_on_a_disturbed_device_is_tried_again(simulate, tmp_path):
    backend = simulate()
    with pytest.raises(InfeasibleError) as caught:
        nagsdk.generate("board", budget=["0.001ms"])
    least = re.search(r"Ask for (\S+)", caught.value.next_step)[1]
    deployment = nagsdk.deploy(
        "board", budget=least, output=tmp_path / "out", on_event=_slowing(backend, {"Round 1": 3.0, "Round 2": 1.0})
    )
    first, second, *_ = deployment.details["rounds"]
    assert (first["verdict"], second["verdict"], deployment.verdict) == ("missed", "held", "held")
    assert first["architecture"] == second["architecture"]


def test_a_round_that_was_disturbed_does_not_end_the_search_for_more(simulate, tmp_path):
    backend = simulate()
    backend.world = lambda ms: 3 * ms
    on_event = _slowing(backend, {"Round 1": 1.0, "Round 2": 3.0, "Round 3": 1.0})
    deployment = nagsdk.deploy("board", budget="1.5ms", output=tmp_path / "out", on_event=on_event)
    verdicts = [(turn["verdict"], turn["quiet"]) for turn in deployment.details["rounds"]]
    assert verdicts[:3] == [("held", True), ("missed", False), ("held", True)]
    assert 0.85 * 1.5 < deployment.result.measured.latency_limit_ms <= 1.5


def test_a_miss_leaves_nothing_and_names_the_nearest_budget(simulate, tmp_path):
    backend = simulate()
    nagsdk.deploy("board", budget="1.5ms", output=tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    backend.world = lambda ms: 1.6 + 0.01 * ms
    missed = nagsdk.deploy("board", budget="1.5ms", output=tmp_path / "out")
    assert missed.verdict == "missed" and missed.folder is None and missed.result.artifact.path is None
    assert "nearest budget" in missed.result.warnings[-1]
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


@pytest.mark.parametrize(
    "where", ["nagsdk.pipeline.publish.shutil.copyfile", "tests.simulated.SimulatedBackend.export"]
)
def test_a_full_disk_is_said_and_leaves_the_earlier_deployment(simulate, tmp_path, monkeypatch, where):
    simulate()
    nagsdk.deploy("board", budget="1.5ms", output=tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}

    def full(*arguments):
        Path(arguments[1] if "copyfile" in where else arguments[2]).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(where, full)
    with pytest.raises(OutputError, match="is full") as caught:
        nagsdk.deploy("board", budget="1.2ms", output=tmp_path / "out")
    assert "Free some space" in caught.value.next_step
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_two_deployments_at_once_measure_one_after_the_other(simulate, tmp_path, monkeypatch):
    simulate()
    log, real, alive = tmp_path / "turns", SimulatedSession.time, []

    def time(session, *arguments):
        alive.append(session)  # keeps its id from being given to another
        with log.open("a") as file:
            file.write(f"{os.getpid()}:{id(session)}\n")
        return real(session, *arguments)

    monkeypatch.setattr(SimulatedSession, "time", time)
    fork = multiprocessing.get_context("fork")
    jobs = [fork.Process(target=_deploy, args=(tmp_path / "out" / name,)) for name in ("a", "b")]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(120)
    assert [job.exitcode for job in jobs] == [0, 0]
    turns = log.read_text().split()
    sessions = [turn for turn, before in zip(turns, [None, *turns], strict=False) if turn != before]
    assert len({turn.split(":")[0] for turn in turns}) == 2
    assert len(sessions) == len(set(sessions))
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"a", "b"}


def _deploy(output):
    sys.exit(0 if nagsdk.deploy("board", budget="1.5ms", output=output).verdict == "held" else 9)


def test_a_device_that_slows_itself_down_is_told(simulate, tmp_path, monkeypatch):
    simulate()
    real = SimulatedSession.time
    hot = {"throttled": 1.0, "temperature_c": 95.0}
    monkeypatch.setattr(SimulatedSession, "time", lambda *arguments: replace(real(*arguments), properties=hot))
    deployment = nagsdk.deploy("board", budget="1.5ms", output=tmp_path / "out")
    assert any("slowed itself down" in warning for warning in deployment.result.warnings)
    assert deployment.details["rounds"][0]["state"] == hot


def test_a_device_that_is_capped_for_good_is_not_told_to_cool_down(simulate, tmp_path, monkeypatch):
    simulate()
    real = SimulatedSession.time
    capped = {"throttled": 0.0, "frequency_cap": 0.81}
    monkeypatch.setattr(SimulatedSession, "time", lambda *arguments: replace(real(*arguments), properties=capped))
    warnings = nagsdk.deploy("board", budget="1.5ms", output=tmp_path / "out").result.warnings
    assert any("81 % of its highest frequency" in warning for warning in warnings)
    assert not any("slowed itself down" in warning for warning in warnings)


def test_percentiles_and_exact_metrics(simulate, tmp_path):
    simulate()
    high = nagsdk.deploy("board", budget="1.5ms@p90", output=tmp_path / "p90")
    assert high.verdict == "held" and high.result.measured.latency_p90_ms <= 1.5
    size = nagsdk.deploy("board", budget="500kB", output=tmp_path / "size")
    assert size.verdict == "held" and 350e3 < size.result.artifact.bytes <= 500e3
    macs = nagsdk.deploy("board", budget="2MMACs", output=tmp_path / "macs", resolution=40)
    assert macs.verdict == "held" and 1.8e6 < macs.result.macs <= 2e6 and macs.result.resolution == 40


def test_without_the_device_nothing_is_promised(simulate, tmp_path):
    backend = simulate()
    backend.present = False
    with pytest.raises(DeviceUnavailableError, match="Nothing is known"):
        nagsdk.deploy("board", budget="1.5ms", output=tmp_path / "out")
    deployment = nagsdk.deploy("board", budget="2MMACs", output=tmp_path / "out")
    assert deployment.verdict == "unverified" and "not plugged in" in deployment.result.warnings[-1]
    assert deployment.result.measured.latency_p50_ms is None


def test_a_verified_deployment_may_be_required(simulate, tmp_path):
    backend = simulate()
    backend.present = False
    with pytest.raises(UnverifiedError, match="nothing can be verified") as caught:
        nagsdk.deploy("board", budget="2MMACs", output=tmp_path / "out", require_verified=True)
    assert caught.value.next_step == "It is not plugged in." and caught.value.exit_code == 6
    assert not (tmp_path / "out").exists()
    backend.present = True
    assert nagsdk.deploy("board", budget="2MMACs", output=tmp_path / "out", require_verified=True).verdict == "held"


def test_what_must_be_said_of_a_prior_stands_in_every_result(world, tmp_path):
    world.present = False
    path = tmp_path / "old.toml"
    path.write_text(
        'id = "old"\ntitle = "Old"\nbackend = "simulated"\nprior = "cpu-prior.json"\ncaveat = "It is ten years old."\n'
    )
    told = []
    (result,) = nagsdk.generate(str(path), budget="0.3ms")
    nagsdk.frontier(str(path), points=2, strategies=["lookup"], on_event=told.append)
    assert result.verdict == "unverified" and "It is ten years old." in result.warnings
    assert any("It is ten years old." in event.text for event in told)
    deployment = nagsdk.deploy(str(path), budget="0.3ms", output=tmp_path / "out")
    assert deployment.verdict == "unverified" and "It is ten years old." in read_manifest(tmp_path / "out")["warnings"]
    assert read_manifest(tmp_path / "out")["parity"] is None


def test_requests_that_cannot_end_well_are_refused_before_anything_is_measured(simulate, tmp_path):
    backend = simulate()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    with pytest.raises(OutputError):
        nagsdk.deploy("board", budget="1ms", output=tmp_path / "thesis")
    with pytest.raises(WeightsMissingError):
        nagsdk.deploy("board", budget="1ms", bundle="imagenet", output=tmp_path / "out")
    with pytest.raises(ImagesMissingError):
        nagsdk.deploy("board", budget="1ms", images=tmp_path / "thesis", output=tmp_path / "out")
    assert backend.sessions == 0 and not (tmp_path / "out").exists()


def test_a_file_for_timing_needs_no_weights(tmp_path):
    smallest = "mbv3:r160:d=2,2,2,2,2:ks=3,3,3,3,3,3,3,3,3,3:e=3,3,3,3,3,3,3,3,3,3"
    first, second = (
        nagsdk.export("cpu", smallest, tmp_path / name, bundle="imagenet", timing_only=True) for name in "ab"
    )
    assert any("the weights are random, since those of imagenet" in warning for warning in first.result.warnings)
    assert first.result.artifact.sha256 == second.result.artifact.sha256
    assert read_manifest(tmp_path / "a")["hashes"]["weights"] is None
    assert Deployment.read(tmp_path / "a").result.predicted.top1 is None


def test_a_missing_package_is_named_before_anything_is_measured(simulate, monkeypatch, tmp_path):
    backend = simulate()
    lack = DeviceUnavailableError("A writer is missing.", "Install it.")
    monkeypatch.setattr(type(backend), "check_export", lambda self, device: (_ for _ in ()).throw(lack))
    with pytest.raises(DeviceUnavailableError, match="A writer is missing"):
        nagsdk.deploy("board", budget="1ms", output=tmp_path / "out")
    assert backend.sessions == 0


def test_too_small_a_budget_names_the_cheapest(simulate):
    simulate()
    with pytest.raises(InfeasibleError) as caught:
        nagsdk.generate("board", budget=["0.001ms"])
    named = Budget.parse(caught.value.next_step.split("Ask for ")[1].split(" or more")[0])
    (result,) = nagsdk.generate("board", budget=[named])
    assert result.predicted.latency_upper_ms <= named.limit


def test_an_interrupted_calibration_loses_no_reading(world):
    backend = world

    def interrupted(ms):
        if backend.bursts == 40:
            raise KeyboardInterrupt
        return ms

    backend.world = interrupted
    with pytest.raises(KeyboardInterrupt):
        nagsdk.calibrate("board", samples=8)
    at, events = backend.bursts, []
    backend.world = lambda ms: ms
    nagsdk.calibrate("board", samples=8, on_event=events.append)
    resumed = backend.bursts - at
    nagsdk.calibrate("board", samples=8)
    assert any("Resuming" in e.text for e in events) and resumed < backend.bursts - at - resumed


@pytest.mark.parametrize("present", [True, False])
def test_a_size_is_weighed_where_the_estimate_is_wrong(simulate, tmp_path, monkeypatch, present):
    backend = simulate()
    backend.present = present
    real = SimulatedBackend.export

    def padded(self, graph, path, *more):
        real(self, graph, path, *more)
        model = onnx.load(path)
        model.doc_string = "x" * (path.stat().st_size // 8)
        onnx.save(model, path)

    monkeypatch.setattr(SimulatedBackend, "export", padded)
    deployment = nagsdk.deploy("board", budget="600kB", output=tmp_path / "out")
    assert deployment.verdict == ("held" if present else "unverified")
    assert 480e3 < deployment.result.artifact.bytes <= 600e3


def test_an_absent_device_without_a_prior_says_why(world):
    world.present = False
    with pytest.raises(DeviceUnavailableError, match="not available") as caught:
        nagsdk.generate("board", budget="1ms", batch=8)
    assert caught.value.next_step == "It is not plugged in."


def test_an_uncalibrated_device_names_the_whole_command(world, tmp_path):
    with pytest.raises(DeviceUnavailableError) as caught:
        nagsdk.generate("board", budget="1ms", batch=8)
    assert "calibrate --device board --bundle glyphs --batch 8" in caught.value.next_step
    path, bundle = tmp_path / "my desk.toml", shutil.copytree(load_bundle("glyphs").folder, tmp_path / "letters")
    path.write_text('id = "desk"\ntitle = "A desk"\nbackend = "simulated"\n')
    (bundle / "bundle.json").write_text((bundle / "bundle.json").read_text().replace('"glyphs"', '"letters"', 1))
    with pytest.raises(DeviceUnavailableError) as caught:
        nagsdk.generate(path, "1ms", bundle=bundle)
    assert shlex.split(caught.value.next_step)[1:] == [
        *("nagsdk", "calibrate", "--device", str(path), "--bundle", str(bundle))
    ]


def test_no_budget_is_no_question(world):
    with pytest.raises(UsageError, match="No budget"):
        nagsdk.generate("board", budget=[])


@pytest.mark.nightly  # tests/chaos/test_sample.py kills deployments at every change
def test_a_killed_deploy_leaves_nothing_half_written(tmp_path):
    """The real device, killed when the model has just been built."""
    script = (
        "import nagsdk, os, sys\n"
        "from nagsdk.pipeline.build import Builder\n"
        "Builder.evaluate = lambda self, built: os.kill(os.getpid(), 9)\n"
        "nagsdk.deploy('cpu', '2MMACs', output=sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "out")], check=False, env={**os.environ})
    assert done.returncode == -9 and not (tmp_path / "out").exists()


def test_generation_is_deterministic_and_answers_each_budget(simulate):
    simulate()
    budgets = ["0.8ms", "1.2ms", "2ms"]
    first, again = (nagsdk.generate("board", budget=budgets) for _ in range(2))
    assert [r.to_dict() for r in first] == [r.to_dict() for r in again]
    assert all(r.predicted.latency_upper_ms <= r.budget.limit for r in first)
    assert first[0].predicted.top1 < first[2].predicted.top1
    assert [r.resolution for r in nagsdk.generate("board", budget=["2ms"], resolution=32)] == [32]


@pytest.mark.parametrize("strategy", ["lookup", "random", "evolution", "nsga2"])
def test_other_strategies_answer_too(simulate, strategy, monkeypatch):
    simulate()
    for name, short in {
        "evolution": searches.Evolution(20, 10),
        "nsga2": searches.Nsga2(400, 50),
        "random": searches.Random(500),
    }.items():
        monkeypatch.setitem(plugin.host().strategies._items, name, short)
    (ours,), (theirs,) = (nagsdk.generate("board", budget="1.5ms", strategy=s) for s in ("nag", strategy))
    assert theirs.predicted.latency_upper_ms <= 1.5
    assert ours.predicted.top1 - 1.5 < theirs.predicted.top1 <= ours.predicted.top1 + 0.1


def test_an_unknown_strategy_names_the_known(simulate):
    with pytest.raises(UnknownNameError, match="strategy named 'naag'") as caught:
        nagsdk.generate("board", budget="1.5ms", strategy="naag")
    assert "nag" in caught.value.next_step and "lookup" in caught.value.next_step


def test_limits_that_hold_together(simulate):
    simulate()
    free, macs = (
        nagsdk.generate("board", budget=[budgets])[0] for budgets in (["1.5ms"], ["1.5ms", "1.2MMACs", "0.45MB"])
    )
    assert macs.macs <= 1.2e6 < free.macs
    assert [str(b) for b in macs.budgets] == ["1.5ms", "1.2MMACs", "450kB"]
    assert (
        macs.to_dict()["budget"]
        == macs.to_dict()["budgets"][0]
        == {"metric": "latency", "limit": 1.5, "percentile": 50.0, "confidence": 0.9, "unit": "ms", "unit_factor": 1.0}
        | {"images": None, "images_per_second": None, "sustained_s": None, "text": "1.5ms"}
    )
    with pytest.raises(InfeasibleError, match="MMACs"):
        nagsdk.generate("board", budget=[["1.5ms", "0.01MMACs"]])
    with pytest.raises(UsageError, match="must limit the same metric"):
        nagsdk.generate("board", budget=[["1.5ms"], ["1MMACs"]])


def test_a_deployment_holds_all_of_its_limits(simulate, tmp_path):
    simulate()
    deployment = nagsdk.deploy("board", budget=["2ms", "480kB"], output=tmp_path / "out", strategy="lookup")
    assert deployment.verdict == "held"
    assert deployment.result.artifact.bytes <= 480e3 and deployment.result.measured.latency_limit_ms <= 2
    manifest = read_manifest(tmp_path / "out")
    assert manifest["strategy"] == "lookup" and manifest["generator"] is None
    assert [b["metric"] for b in manifest["budgets"]] == ["latency", "size"]


def test_the_cheapest_of_an_accuracy(simulate):
    simulate()
    rich = nagsdk.generate("board", budget=["2ms"])[0]
    (found,) = nagsdk.generate("board", min_top1=rich.predicted.top1 - 0.3)
    assert rich.predicted.top1 - 0.3 <= found.predicted.top1
    assert found.predicted.latency_ms < rich.predicted.latency_ms and found.budgets == ()
    # What costs as much and no more is no better: the generator's answer for that latency is as accurate at most.
    same = nagsdk.generate("board", budget=[f"{found.predicted.latency_upper_ms * 0.97}ms"])[0]
    assert same.predicted.top1 < rich.predicted.top1 - 0.3 + 0.05
    (both,) = nagsdk.generate("board", min_top1=rich.predicted.top1 - 0.3, budget=[[f"{found.macs / 1e6}MMACs"]])
    assert both.macs <= found.macs and both.predicted.latency_ms >= found.predicted.latency_ms
    with pytest.raises(InfeasibleError, match="the best found reaches"):
        nagsdk.generate("board", min_top1=99.9)


def test_one_architecture_for_several_devices(simulate):
    simulate()
    plugin.host().devices.add(Device("other", "Another board", "simulated", threads=2))
    nagsdk.calibrate("other", samples=16)
    results = nagsdk.generate(["board", "other"], budget=["1.2ms", "2ms"])
    assert [r.device for r in results] == ["board", "other"] * 2
    assert results[0].architecture == results[1].architecture != results[2].architecture == results[3].architecture
    assert all(r.predicted.latency_upper_ms <= r.budget.limit for r in results)
    cheapest = nagsdk.generate(["board", "other"], min_top1=results[0].predicted.top1 - 0.5)
    assert (
        cheapest[0].architecture == cheapest[1].architecture
        and cheapest[0].predicted.latency_ms < results[0].predicted.latency_ms
    )


def test_a_budget_that_limits_nothing_says_so(simulate):
    simulate()
    (result,) = nagsdk.generate("board", budget="1s")
    assert any("limits nothing" in warning for warning in result.warnings)
    (less,) = nagsdk.generate("board", budget="1ms")
    assert not less.warnings and less.predicted.top1 < result.predicted.top1


def test_a_deployment_whose_budget_limits_nothing_says_so(simulate, tmp_path):
    simulate()
    free, tight = (nagsdk.deploy("board", budget=budget, output=tmp_path / budget) for budget in ("1s", "1.5ms"))
    assert [any("limits nothing" in warning for warning in d.result.warnings) for d in (free, tight)] == [True, False]


def test_budgets_that_can_be_answered_are_answered(simulate):
    simulate()
    asked = ["1.5ms", "0.001ms", "2ms", ["1.2ms"]]
    with pytest.raises(InfeasibleError, match="1 of 4 budgets have no answer: 0.001ms") as caught:
        nagsdk.generate("board", budget=asked)
    assert [str(r.budget) for r in caught.value.results] == ["1.5ms", "2ms", "1.2ms"]
    assert caught.value.results == tuple(nagsdk.generate("board", budget=["1.5ms", "2ms", "1.2ms"]))
    with pytest.raises(InfeasibleError) as caught:
        nagsdk.generate("board", budget=[["1.5ms", "3MMACs"], ["1.5ms", "1kMACs"]])
    assert len(caught.value.results) == 1


def test_the_frontier_as_data_and_as_a_picture(simulate, tmp_path):
    simulate()
    path = tmp_path / "frontier.svg"
    rows = nagsdk.frontier("board", metric="macs", strategies=["nag", "lookup"], points=6, plot=path).rows()
    assert [r["strategy"] for r in rows] == ["nag"] * 6 + ["lookup"] * 6
    assert all(r["cost"] <= r["limit"] for r in rows)
    assert rows[0]["predicted_top1"] < rows[5]["predicted_top1"]
    assert path.read_text().startswith("<?xml") and "nag" in path.read_text()
    timed = tmp_path / "timed.svg"
    nagsdk.frontier("board", points=3, plot=timed)
    assert "predicted by its calibration" in timed.read_text() and "calibration" not in path.read_text()
    with pytest.raises(UsageError, match="format for pictures"):
        nagsdk.frontier("board", points=3, plot=tmp_path / "frontier.txt")
    with pytest.raises(UnknownNameError, match="joy"):
        nagsdk.frontier("board", metric="joy")


def test_the_papers_recipe_reports_beside_random_search(simulate):
    simulate()
    report = train_paper_generator("board", metric="macs", iterations=5)
    assert report["settings"]["iterations"] == 5 and len(report["budgets"]) == 10
    last = report["budgets"][-1]
    assert last["random"]["predicted_top1"] > report["budgets"][0]["random"]["predicted_top1"]
    assert last["best_sampled"]["architecture"].startswith("mbv3:") and last["greedy_holds"]
    with pytest.raises(UsageError, match="'fame' is not a reward"):
        train_paper_generator("board", reward="fame")


def test_a_calibration_that_ran_out_of_time_does_not_replace_a_better_one(world, monkeypatch):
    notices = []
    # The shortest legal time is enough for a device that takes no time.
    monkeypatch.setitem(ranges._ARGUMENTS, "within_s", replace(ranges.WITHIN_S, low=0.0))
    full = nagsdk.calibrate("board", samples=12)
    short = nagsdk.calibrate("board", samples=12, seed=1, within_s=1e-6, on_event=notices.append)
    assert full.complete and not short.complete and short.samples < 12
    assert any(isinstance(n, Notice) and n.warning and "from 12 architectures stays in use" in n.text for n in notices)
    assert len(calibrated_model(Target("board", "glyphs")).calibrated) == 12


def test_a_deployment_calibrates_again_where_the_calibration_is_too_small_for_its_confidence(world, tmp_path):
    notices = []
    nagsdk.calibrate("board", samples=6, on_event=notices.append)
    assert any(isinstance(n, Notice) and n.warning and "--samples 9" in n.text for n in notices)
    assert nagsdk.deploy("board", budget="0.3ms", output=tmp_path / "out").verdict == "held"
    assert calibrated_model(Target("board", "glyphs")).most_confidence > 0.9


def test_a_calibrated_device_joins_the_pool_and_the_next_one_starts_from_it(simulate, monkeypatch, tmp_path):
    monkeypatch.setenv("NAGSDK_DATA_DIR", str(tmp_path / "data"))
    world, run = simulate(), CliRunner().invoke
    added = run(cli, ["devices", "pool", "add", "--device", "board", "--json"])
    assert added.exit_code == 0, added.output
    file = str(tmp_path / "lab.json")
    assert run(cli, ["devices", "pool", "export", file]).exit_code == 0
    (member,) = json.loads(run(cli, ["devices", "pool", "--json"]).stdout)
    assert member["name"] == json.loads(added.stdout)["name"] and member["samples"] >= 5
    assert run(cli, ["devices", "pool", "remove", member["name"]]).exit_code == 0
    assert "empty" in run(cli, ["devices", "pool"]).stdout
    assert json.loads(run(cli, ["devices", "pool", "import", file, "--json"]).stdout)["devices"] == 1
    told = []
    nagsdk.calibrate("board", samples=5, on_event=told.append)  # a device is no member for itself
    assert not any("starts from" in str(event) for event in told)
    presence = world.presence
    monkeypatch.setattr(world, "presence", lambda device: replace(presence(device), fingerprint="another"))
    monkeypatch.setenv("NAGSDK_POOL_JOIN", "1")
    summary = nagsdk.calibrate("board", samples=5, on_event=told.append)
    assert any("starts from A board" in str(event) for event in told)
    assert summary.calibration.model.prior.source["members"] == [member["name"]]
    assert len(json.loads(run(cli, ["devices", "pool", "--json"]).stdout)) == 2


def test_a_device_without_a_calibration_cannot_join_the_pool(world, monkeypatch, tmp_path):
    monkeypatch.setenv("NAGSDK_DATA_DIR", str(tmp_path / "data"))
    refused = CliRunner().invoke(cli, ["devices", "pool", "add", "--device", "board"])
    assert isinstance(refused.exception, UsageError) and "not calibrated" in str(refused.exception)
