"""The fastest model of an accuracy: what was asked for is measured before it is called held."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import nagsdk
from nagsdk.bundle.bundle import Bundle
from nagsdk.cli import cli
from nagsdk.errors import InfeasibleError, UnverifiedError, UsageError
from nagsdk.manifest.manifest import read_manifest
from nagsdk.manifest.result import Measured
from nagsdk.pipeline.build import Builder
from nagsdk.pipeline.loop import Deployer
from nagsdk.pipeline.round import Unmeasured
from tests.few_images import few_images  # noqa: F401
from tests.pipeline.test_loop import simulate, world  # noqa: F401 — fixtures


def test_the_fastest_model_of_an_accuracy_is_measured_to_have_it(simulate, tmp_path):  # noqa: F811
    simulate()
    deployment = nagsdk.deploy("board", min_top1=91, output=tmp_path / "out")
    result = deployment.result
    assert deployment.verdict == "held" and result.measured.top1 >= 91 and result.min_top1 == 91
    assert result.budgets == () and read_manifest(tmp_path / "out")["min_top1"] == 91
    (dearer,) = nagsdk.generate("board", min_top1=94)
    assert result.predicted.latency_ms < dearer.predicted.latency_ms


def test_a_top1_below_what_was_asked_for_is_searched_for_again(simulate, tmp_path, monkeypatch):  # noqa: F811
    """The first candidates lack a point, as where the predictor promises too much."""
    simulate()
    lacking, real = iter([1.0, 0.5]), Builder.evaluate

    def evaluate(builder, built):
        if built.path not in builder._evaluated:
            true = real(builder, built)
            builder._evaluated[built.path] = Measured(top1=max(true.top1, 91) - next(lacking, 0.0))
        return builder._evaluated[built.path]

    monkeypatch.setattr(Builder, "evaluate", evaluate)
    deployment = nagsdk.deploy("board", min_top1=91, output=tmp_path / "out")
    verdicts = [turn["verdict"] for turn in deployment.details["rounds"]]
    assert "missed" in verdicts[:-1] and verdicts[-1] == deployment.verdict == "held"


def test_what_is_never_reached_is_missed_and_says_what_was(simulate, tmp_path, monkeypatch):  # noqa: F811
    simulate()
    monkeypatch.setattr(Builder, "evaluate", lambda *_: Measured(top1=50.0, top1_low=49.0, top1_high=51.0))
    deployment = nagsdk.deploy("board", min_top1=91, output=tmp_path / "out")
    assert deployment.verdict == "missed" and not (tmp_path / "out").exists()
    assert any("50.00 %" in warning and "91 %" in warning for warning in deployment.result.warnings)


def test_without_test_images_the_top1_is_not_called_held(simulate, tmp_path, monkeypatch):  # noqa: F811
    simulate()
    monkeypatch.setattr(Bundle, "test_set", lambda *_: None)
    deployment = nagsdk.deploy("board", "2ms", min_top1=91, output=tmp_path / "out")
    assert deployment.verdict == "unverified" and deployment.folder is not None
    assert any("was not measured" in warning for warning in deployment.result.warnings)


def test_what_cannot_be_verified_is_refused_at_once_where_it_is_required(simulate, tmp_path):  # noqa: F811
    backend = simulate()
    asked = {"min_top1": 70, "require_verified": True, "output": tmp_path / "out"}
    with pytest.raises(UnverifiedError, match="imagenet has no labelled test images"):
        nagsdk.deploy("board", bundle="imagenet", **asked)
    backend.present = False
    with pytest.raises(UnverifiedError, match="board is not available"):
        nagsdk.deploy("board", **asked)


def test_a_model_for_timing_has_no_top1_to_ask_for():
    with pytest.raises(UsageError, match="timing only"):
        nagsdk.deploy("cpu", min_top1=90, timing_only=True)
    with pytest.raises(UsageError, match="cannot be '90'"):
        nagsdk.generate("cpu", min_top1="90")


def test_an_absent_device_that_nothing_emulates_leaves_the_top1_open(world, tmp_path):  # noqa: F811
    world.present = False
    path = tmp_path / "old.toml"
    path.write_text('id = "old"\ntitle = "Old"\nbackend = "simulated"\nprior = "cpu-prior.json"\n')
    deployment = nagsdk.deploy(path, min_top1=85, output=tmp_path / "out")
    assert deployment.verdict == "unverified" and deployment.result.measured.top1 is None
    (warning,) = (text for text in deployment.result.warnings if "85 %" in text)
    assert "nothing on this machine runs the file" in warning and "no labelled test images" not in warning


def test_fine_tuning_that_costs_the_top1_is_noticed_without_the_device(monkeypatch):
    target = nagsdk.Target("cpu")
    deployer = Deployer(target, Builder(target), tuner=object(), min_top1=90)
    top1 = iter([89.5, 90.0])
    monkeypatch.setattr(Builder, "build", lambda *_: None)
    monkeypatch.setattr(Builder, "evaluate", lambda *_: Measured(top1=next(top1)))
    (result,) = nagsdk.generate(target, "2MMACs")
    outcome = Unmeasured(result, SimpleNamespace(architecture=None))
    with pytest.raises(InfeasibleError, match="0.50 points below 90 %"):
        deployer.refine(outcome, [], None)
    assert deployer.refine(outcome, [], None).result == result


def test_budgets_hold_besides(simulate, tmp_path):  # noqa: F811
    simulate()
    deployment = nagsdk.deploy("board", ["2ms", "600kB"], min_top1=90, output=tmp_path / "out")
    assert deployment.verdict == "held" and deployment.result.artifact.bytes <= 600_000
    with pytest.raises(InfeasibleError, match="predicted to reach 97 %"):
        nagsdk.deploy("board", "2ms", min_top1=97, output=tmp_path / "more")
    with pytest.raises(UsageError, match="cannot be 0.9"):
        nagsdk.deploy("board", min_top1=0.9)


def test_the_command_line_takes_it_and_several_budgets(simulate, tmp_path):  # noqa: F811
    import json

    simulate()
    run = lambda *arguments: CliRunner().invoke(cli, ["deploy", "--device", "board", *arguments])  # noqa: E731
    shown = run("--min-top1", "90", "--output", str(tmp_path / "one"))
    assert shown.exit_code == 0 and "a top-1 of at least 90 %" in shown.stdout
    listed = run("--budgets", "1.2ms,1.5ms", "--output", str(tmp_path / "two"), "--json")
    assert listed.exit_code == 0 and [d["verdict"] for d in json.loads(listed.stdout)] == ["held", "held"]
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == ["1.2ms", "1.5ms"]
    assert run("--budgets", "1.2ms", "--budget", "1ms").exit_code == 2
    assert run().exit_code == 2
    partly = run("--budgets", "0.0001ms,1.5ms,0.0002ms", "--output", str(tmp_path / "three"), "--json")
    assert isinstance(partly.exception, InfeasibleError) and len(json.loads(partly.stdout)) == 1
    assert all(budget in partly.exception.message for budget in ("0.0001ms", "0.0002ms"))
    twice = run("--budgets", "1.2ms,1200us", "--output", str(tmp_path / "four"))
    assert twice.exit_code == 2 and "1.2ms twice" in twice.stderr and not (tmp_path / "four").exists()


def test_a_build_may_declare_it(simulate, tmp_path):  # noqa: F811
    simulate()
    (tmp_path / "nagsdk.toml").write_text('[deployments.small]\ndevice = "board"\nmin_top1 = 90\n')
    report = nagsdk.build(tmp_path)
    assert [(d.state, d.verdict) for d in report.deployments] == [("deployed", "held")]
    assert read_manifest(tmp_path / "deployments" / "small")["min_top1"] == 90
    assert nagsdk.build(tmp_path).deployments[0].state == "current"
