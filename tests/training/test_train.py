"""Trains a bundle from a folder of images and deploys a model from it, on a tiny space."""

import contextlib
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner

import nagsdk
from nagsdk.budget import Budget
from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.bundle.split import recorded_split
from nagsdk.bundle.task import TASK, TASK_PAGE, task_of
from nagsdk.bundle.write import rewrite_bundle
from nagsdk.cli import cli
from nagsdk.common.files import sha256
from nagsdk.errors import DataError, OutputError, UsageError, WeightsMissingError
from nagsdk.families.mobilenet_v3.checkpoint import _ofa_names
from nagsdk.families.mobilenet_v3.table import read_architectures
from nagsdk.families.protocol import Supernet
from nagsdk.graph.schemes import SCHEMES
from nagsdk.images.folder import scan
from nagsdk.images.split import Item
from nagsdk.measuring.accuracy import fitted_temperature
from nagsdk.plugin import host as plugin
from nagsdk.space.space import extremes
from nagsdk.supernet.train import TrainAdvanced
from nagsdk.supernet.weights import load_supernet
from nagsdk.training import subnets
from nagsdk.training.evaluate import evaluate
from nagsdk.training.plan import space_of
from nagsdk.training.predictor import fit_predictor
from nagsdk.training.source import Source
from nagsdk.training.train import train
from tests import quick_train
from tests.pictures import fill
from tests.simulated import SimulatedBackend, host_of

QUICK = {"epochs": 6, "batch": 16, "subnets": 50, "generator": False}
QUICK_OPTIONS = ["--epochs", "6", "--batch-size", "16", "--subnets", "50"]
CLASSES = {"azure": 40, "brick": 40, "clover": 30, "dune": 20, "ebony": 40}
# Numbers of training and test images, which follow from the paths of these images.
TRAINED, TESTED = 136, 17


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# Kept for the whole session, like `trained`: a worker of a parallel run may leave this file and come back to it.
@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("data") / "photos", CLASSES)


@pytest.fixture(scope="session")
def space_file(tmp_path_factory, tiny_space):
    path = tmp_path_factory.mktemp("space") / "tiny.json"
    path.write_text(json.dumps(replace(tiny_space, classes=99).to_dict()))
    return str(path)


@pytest.fixture(autouse=True)
def quick_predictor(monkeypatch):
    """Fits predictors in few steps and measures little beside, since the quality is not tested here."""
    quick_train.fit_quickly(monkeypatch.setattr)
    quick_train.measure_little(monkeypatch.setattr)


_MADE = {}


@pytest.fixture
def trained(photos, space_file, tmp_path_factory):
    """Trains a bundle once and returns it with the report of its training."""
    if not _MADE:
        folder = tmp_path_factory.mktemp("made")
        events = []
        report = train(data=photos, output=folder / "tiny", space=space_file, **QUICK, on_event=events.append).to_dict()
        _MADE.update(folder=folder / "tiny", report=report, events=events, photos=photos)
    return _MADE


@pytest.fixture
def board(monkeypatch):
    """A simulated device."""
    with plugin.using(host_of(SimulatedBackend(), monkeypatch.setattr)):
        yield


def test_a_folder_of_images_becomes_a_whole_bundle(trained, photos, tiny_space):
    report, bundle = trained["report"], load_bundle(trained["folder"])
    assert bundle.labels == tuple(CLASSES) and bundle.space == tiny_space
    assert report["classes"] == {
        part: dict(zip(CLASSES, counts, strict=True)) for part, counts in scan(photos).counts().items()
    }
    assert report["largest"]["top1"] > 60
    inputs = bundle.test_set(24)
    assert inputs.inputs.shape == (TESTED, 3, 24, 24) and bundle.recalibration_images(16).shape == (TRAINED, 3, 16, 16)
    codes, columns = read_architectures(trained["folder"] / "measured.csv", tiny_space)
    assert len(np.unique(codes, axis=0)) == 50 and columns["top1"].astype(float).max() <= 100
    assert bundle.predictor.card["data"]["evaluations"] == 50 and 0 <= report["predictor"]["coverage_90"] <= 1
    assert set(bundle.predictor.card["losses"]) == {scheme.name for scheme in SCHEMES}
    loss = bundle.predictor.loss("int8", "int8-w7")
    assert loss.subnets == quick_train.FEW.losses and -20 < loss.low <= loss.mean <= loss.high < 20
    assert bundle.description.provenance["images"]["train"] == list(report["classes"]["train"].values())
    assert (
        bundle.description.provenance["plan"]["epochs"] == 6
        and bundle.description.provenance["images"]["split"] == "automatic"
    )
    assert sum(isinstance(e, TrainAdvanced) for e in trained["events"]) == report["steps"] == 48
    curve = (trained["folder"].parent / "tiny.work" / "curve.csv").read_text().splitlines()
    assert curve[0].startswith("step,loss_largest") and len(curve) == 49 and curve[-1].startswith("48,")


def test_its_subnets_are_evaluated_on_its_own_images_and_on_a_folder(trained, photos, tmp_path):
    own = evaluate(bundle=trained["folder"])
    assert [row.architecture for row in own] and own[0].macs < own[1].macs and own[1].images == TESTED
    assert own[1].top1_low < own[1].top1 <= own[1].top1_high <= 100
    assert [row.top1 for row in own] == [trained["report"][end]["top1"] for end in ("smallest", "largest")]
    assert evaluate(bundle=trained["folder"], data=photos) == own
    other = shutil.copytree(photos, tmp_path / "photos")
    (other / "azure" / "000.png").unlink()
    # Test images of another folder are not those in the bundle.
    assert not Source.of(load_bundle(trained["folder"]), other).own_tests
    one = evaluate(bundle=trained["folder"], architectures=[own[0].architecture])
    assert [row.architecture for row in one] == [own[0].architecture]


def test_what_it_is_worth_is_in_the_bundle_and_in_its_page(trained):
    task, bundle = trained["report"]["task"], load_bundle(trained["folder"])
    assert task == task_of(bundle) and task["images"] == TESTED and task["plain"] == []
    for end in ("smallest", "largest"):
        assert task[end]["top1"] == pytest.approx(trained["report"][end]["top1"])
    assert (
        task["smallest"]["macs"] <= task["middle"]["macs"] <= (task["smallest"]["macs"] + task["largest"]["macs"]) / 2
    )
    page = (trained["folder"] / "report.html").read_text()
    assert "Networks of this bundle know from" in page and "azure" in page and "<svg" in page
    photos = trained["photos"]
    keys = {Item.of(photos, path, 0).key for path in photos.glob("*/*.png")}
    assert bundle.files.read("report.html") and recorded_split(bundle).held.keys() == keys


def test_answers_are_written_by_image(trained, photos, tmp_path):
    command = ["evaluate", "--bundle", str(trained["folder"]), "--data", str(photos), "--json"]
    files = ["--predictions", str(tmp_path / "answers.csv"), "--report", str(tmp_path / "page.html")]
    rows = json.loads(CliRunner().invoke(cli, [*command, *files], catch_exceptions=False).stdout)
    ends = [trained["report"][end]["top1"] for end in ("smallest", "largest")]
    assert [row["top1"] for row in rows] == pytest.approx(ends)
    table = list(csv.DictReader((tmp_path / "answers.csv").open(encoding="utf-8")))
    tests = [path.relative_to(photos).as_posix() for path in scan(photos).parts["test"].paths]
    assert [row["image"] for row in table] == 2 * tests and len(tests) == TESTED
    assert all(row["label"] == row["image"].split("/")[0] for row in table)
    for row in rows:
        own = [answer for answer in table if answer["architecture"] == row["architecture"]]
        assert 100 * sum(int(answer["right"]) for answer in own) / TESTED == pytest.approx(row["top1"])
        assert sum(of["images"] for of in row["by_class"]["classes"]) == TESTED
        wrong = {answer["image"] for answer in own if answer["right"] == "0"}
        assert {answer["image"] for answer in row["by_class"]["wrong"]} == wrong
    assert "data:image/jpeg" in (tmp_path / "page.html").read_text() or not wrong
    shown = CliRunner().invoke(cli, [*command[:3], "--by-class"], catch_exceptions=False).stdout
    assert "mean over classes" in shown and "recognised" in shown


@pytest.mark.parametrize(("option", "file"), [("--predictions", "x.txt"), ("--report", "x.csv")])
def test_files_of_another_kind_are_refused(trained, tmp_path, option, file):
    with pytest.raises(UsageError, match="does not end in"):
        evaluate(bundle=trained["folder"], **{option[2:]: tmp_path / file})


def test_plain_networks_are_trained_as_long_and_shown(trained, photos, space_file, tmp_path):
    shutil.copytree(trained["folder"].parent / "tiny.work", tmp_path / "tiny.work")
    (tmp_path / "tiny.work" / "seconds.txt").write_text("1.0")
    settings = {"data": photos, "output": tmp_path / "tiny", "space": space_file, **QUICK}
    task = train(**settings, baseline=True).task
    own, known = task["plain"]
    assert task["seconds"] == 1 and own["macs"] == task["middle"]["macs"] and known["name"] == "MobileNetV3-Small 1.0"
    assert "a plain network of the same family" in (tmp_path / "tiny" / "report.html").read_text()
    assert train(**settings, baseline=True).already_finished
    with pytest.raises(UsageError, match="without plain networks"):
        train(**{**settings, "output": trained["folder"]}, baseline=True)


def test_a_training_from_a_bundles_weights_divides_as_it_did(trained, photos, space_file, tmp_path, monkeypatch):
    folder, seen = shutil.copytree(photos, tmp_path / "photos"), []
    fill(folder, {"azure": 90, "brick": 80}, seed=9)  # the first ones are overwritten
    monkeypatch.setattr("nagsdk.training.run.TrainingRun.run", lambda run: seen.append(run.folder) or {})
    monkeypatch.setattr("nagsdk.training.study.add_study", lambda *given: {})
    weights = str(trained["folder"] / "supernet.safetensors")
    train(data=folder, output=tmp_path / "more", space=space_file, init=weights, **QUICK)
    before, after = scan(photos), seen[0]
    for part in ("train", "val", "test"):
        names = [{p.relative_to(of.root) for p in of.parts[part].paths} for of in (before, after)]
        assert names[0] <= names[1]


@pytest.mark.parametrize(
    ("given", "says"), [({"group_by": "z"}, "is found in no name"), ({"group_by": "("}, "is not a pattern")]
)
def test_patterns_are_refused_before_any_work(photos, space_file, tmp_path, monkeypatch, given, says):
    monkeypatch.setattr("nagsdk.images.decoded.decode", lambda *a, **k: pytest.fail("it decoded"))
    monkeypatch.setattr("nagsdk.images.together.near_duplicates", lambda *a, **k: pytest.fail("it looked"))
    with pytest.raises(UsageError, match=says):
        train(data=photos, output=tmp_path / "tiny", space=space_file, **QUICK, **given)


def test_unbalanced_folders_are_balanced_and_said(space_file, tmp_path):
    folder = fill(tmp_path / "photos", {"azure": 130, "brick": 8})
    command = ["train", str(folder), "--output", str(tmp_path / "o"), "--space", space_file, *QUICK_OPTIONS]
    for options, says in (([], "training shows rare classes more often"), (["--no-balance"], "may be learnt badly")):
        shown = CliRunner().invoke(cli, [*command, "--dry-run", *options], catch_exceptions=False).stdout
        assert "Unbalanced" in shown and says in " ".join(shown.split())


def test_it_deploys_as_it_is_and_fine_tuned(trained, photos, board, tmp_path):
    settings = {"target": "board", "budget": "60kMACs", "bundle": trained["folder"], "strategy": "lookup"}
    plain = nagsdk.deploy(**settings, output=tmp_path / "plain")
    (row,) = evaluate(bundle=trained["folder"], architectures=[plain.result.architecture])
    assert row.top1 == plain.result.measured.top1
    tuned = nagsdk.deploy(**settings, output=tmp_path / "tuned", finetune=4, data=photos)
    assert "Deployed is a network of" in (tmp_path / "plain" / "report.html").read_text()
    assert plain.verdict == tuned.verdict == "held" and plain.result.architecture == tuned.result.architecture
    facts = json.loads((tmp_path / "tuned" / "manifest.json").read_text())
    gain = facts["finetuned"].pop("gain")
    assert gain["points"] == pytest.approx(tuned.result.measured.top1 - plain.result.measured.top1)
    assert gain["images"] == tuned.result.measured.test_images == TESTED and gain["low"] < gain["points"] < gain["high"]
    assert facts["finetuned"] == {
        "epochs": 4,
        "images": TRAINED,
        "teacher": "largest",
        "top1_before": plain.result.measured.top1,
    }
    assert json.loads((tmp_path / "plain" / "manifest.json").read_text())["finetuned"] is None
    assert (
        facts["artifact"]["sha256"]
        == sha256(tmp_path / "tuned" / "model.onnx")
        != sha256(tmp_path / "plain" / "model.onnx")
    )
    assert facts["parity"] < 1e-4 and tuned.result.measured.top1 >= plain.result.measured.top1
    assert len(facts["rounds"]) == len(plain.details["rounds"]) + 1
    assert (tmp_path / "tuned" / "labels.txt").read_text().split() == list(CLASSES)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_temperature_is_fitted_on_validation_images_and_taken_up_by_the_file(
    trained, photos, board, tmp_path, precision
):
    settings = {"target": "board", "budget": "60kMACs", "bundle": trained["folder"], "strategy": "lookup"}
    settings["precision"] = precision
    plain = nagsdk.deploy(**settings, output=tmp_path / "plain")
    scaled = nagsdk.deploy(**settings, output=tmp_path / "scaled", temperature_scaling=True, data=photos)
    before, after = plain.result.measured, scaled.result.measured
    assert before.temperature is None and after.temperature != pytest.approx(1, abs=0.01)
    assert (after.top1, after.ece_unscaled) == (before.top1, pytest.approx(before.ece, abs=0.5)) and after.ece > 0
    bundle = load_bundle(trained["folder"])
    inputs, labels = Source.of(bundle, photos).some("val", 1000, plain.result.resolution)
    logits = [np.concatenate([run(d, image) for image in inputs]) for d in (plain, scaled)]
    np.testing.assert_allclose(logits[0], after.temperature * logits[1], rtol=0.02, atol=0.05 * np.abs(logits[0]).max())
    assert after.temperature == pytest.approx(fitted_temperature(logits[0], labels), rel=0.02)
    manifest = json.loads((tmp_path / "scaled" / "manifest.json").read_text())
    assert manifest["measured"]["temperature"] == after.temperature
    page = (tmp_path / "scaled" / "report.html").read_text()
    assert "alibration error" in page


def run(deployment, image):
    session = onnxruntime.InferenceSession(deployment.result.artifact.path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image[None]})[0]


@pytest.mark.parametrize("given", [{"temperature_scaling": True}, {"temperature_scaling": True, "timing_only": True}])
def test_temperature_scaling_needs_images(given):
    with pytest.raises(UsageError, match="Temperature scaling needs a folder"):
        nagsdk.deploy("cpu", budget="1ms", **given)


@pytest.mark.parametrize("given", [{"finetune": 1}, {"data": "x"}, {"finetune": 1, "data": "x", "timing_only": True}])
def test_fine_tuning_needs_epochs_and_images(given):
    with pytest.raises(UsageError, match="epochs and a folder"):
        nagsdk.deploy("cpu", budget="1ms", **given)


def test_broken_images_are_left_out_of_fine_tuning_where_that_is_asked(trained, photos, board, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "photos")
    (folder / "azure" / "999.png").write_bytes(b"torn")
    settings = ["deploy", "--device", "board", "--budget", "60kMACs", "--strategy", "lookup", "--finetune", "1"]
    folders = ["--bundle", str(trained["folder"]), "--output", str(tmp_path / "out"), "--data", str(folder)]
    command = [*settings, *folders]
    with pytest.raises(DataError, match="1 image cannot be used"):
        CliRunner().invoke(cli, command, catch_exceptions=False, standalone_mode=False)
    done = CliRunner().invoke(cli, [*command, "--skip-broken"], catch_exceptions=False, standalone_mode=False)
    tuned = json.loads((tmp_path / "out" / "manifest.json").read_text())
    before, after = tuned["finetuned"]["top1_before"], tuned["measured"]["top1"]
    told = " ".join(done.stdout.split())
    assert f"finetuned 1 epoch: top-1 {before:.2f} % before, {after:.2f} % after" in told
    assert ("noise: 17 images" in told) == tuned["finetuned"]["gain"]["noise"]
    assert "on 17 test images only" in told  # of so few, a top-1 is hardly known
    with pytest.raises(UsageError, match="only be skipped if there is a folder of images"):
        nagsdk.deploy("board", budget="60kMACs", skip_broken=True)


def test_a_finished_training_is_not_done_again(trained, photos, space_file, monkeypatch):
    monkeypatch.setattr("nagsdk.training.run.TrainingRun.__init__", lambda *a: pytest.fail("it started"))
    settings = {"data": photos, "output": trained["folder"], "space": space_file, **QUICK}
    before = sha256(trained["folder"] / "bundle.json")
    again, first = train(**settings).to_dict(), trained["report"]
    assert again.pop("already_finished") and again == {
        k: v for k, v in first.items() if k not in ("already_finished", "processes")
    }
    made = []
    monkeypatch.setattr("nagsdk.training.train.add_generator", lambda folder, *rest: made.append(folder))
    train(**{**settings, "generator": True})
    assert made == [trained["folder"]] and sha256(trained["folder"] / "bundle.json") == before
    monkeypatch.chdir(trained["folder"].parent)
    command = ["train", str(photos), "--output", "tiny", "--space", space_file, *QUICK_OPTIONS, "--no-generator"]
    shown = CliRunner().invoke(cli, command, catch_exceptions=False).stdout
    space = load_bundle(trained["folder"]).space
    low, high = (space.macs(a) for a in space.decode(extremes(space)))
    budget = Budget.parse(shown.split("--budget ")[1].split()[0])
    assert "was already finished" in shown and "--bundle ./tiny " in shown and low < budget.limit < high


def test_what_an_interrupted_training_did_not_get_to_is_made_up(trained, photos, space_file, tmp_path):
    folder = tmp_path / "tiny"
    rewrite_bundle(load_bundle(trained["folder"]), folder, [], without=[TASK, TASK_PAGE])
    again = train(data=photos, output=folder, space=space_file, **QUICK).to_dict()
    assert again["already_finished"] and again["task"] == trained["report"]["task"]
    assert sha256(folder / TASK) == sha256(trained["folder"] / TASK) and (folder / TASK_PAGE).is_file()


@pytest.mark.parametrize(
    ("changed", "says"), [({"epochs": 7}, "other settings \\(epochs\\)"), ({"seed": 1}, "other settings \\(seed\\)")]
)
def test_a_finished_bundle_is_not_replaced_by_another_training(trained, photos, space_file, monkeypatch, changed, says):
    monkeypatch.setitem(sys.modules, "nagsdk.training.run", None)
    with pytest.raises(UsageError, match=says):
        train(**{"data": photos, "output": trained["folder"], "space": space_file, **QUICK, **changed})


def test_a_bundle_counts_only_the_images_that_it_was_trained_on(photos, space_file, tmp_path, monkeypatch):
    folder, facts = shutil.copytree(photos, tmp_path / "photos"), []
    for number in range(15):
        (folder / "azure" / f"{number:03d}.png").write_bytes(b"torn")
    monkeypatch.setattr("nagsdk.training.run.write_bundle", lambda output, given, *rest: facts.append(given))
    monkeypatch.setattr("nagsdk.training.run.TrainingRun.run", lambda run: run._write({}, None) or {})
    monkeypatch.setattr("nagsdk.training.study.add_study", lambda *given: {})
    report = train(data=folder, output=tmp_path / "o", space=space_file, **QUICK, skip_broken=True).to_dict()
    counted = {part: facts[0].provenance["images"][part] for part in ("train", "val", "test")}
    assert (
        counted == {part: list(each.values()) for part, each in report["classes"].items()} and report["left_out"] == 15
    )
    assert sum(each[0] for each in counted.values()) == 25


def test_mistakes_are_reported_before_torch_is_imported(photos, tmp_path):
    script = (
        "import sys\nfrom nagsdk import own_data\nfrom nagsdk.errors import UsageError\n"
        "for data, space in ((sys.argv[1], 'huge'), ('/no/such', 'small')):\n"
        "    try: own_data.train(data=data, space=space, output=sys.argv[2])\n"
        "    except UsageError as error: print(error.message)\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, photos, tmp_path / "o"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "is not a search space" in done.stdout and "is not a folder" in done.stdout, done


@pytest.mark.parametrize(
    ("tau", "rmse", "useless"), [(0.8, 1.0, False), (0.3, 1.0, True), (0.8, 3.0, True), (float("nan"), 1.0, True)]
)
def test_a_useless_predictor_is_reported(tau, rmse, useless):
    doubt = subnets.doubt_of(tau, rmse, 2.0, 1)
    assert (doubt is not None) == useless and (
        not useless or ("1 validation image cannot" in doubt and "more epochs" in doubt)
    )


def test_other_classes_are_refused(trained, tmp_path):
    fill(tmp_path / "other", {"azure": 30, "brick": 30})
    with pytest.raises(DataError, match="are not the classes of the bundle tiny"):
        evaluate(bundle=trained["folder"], data=tmp_path / "other")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"stem_widht": 8}, "unknown fields: stem_widht"),
        ({"stem_width": None}, "is missing stem_width"),
        ({"resolution_choices": [24, 16]}, "resolution_choices must be ascending"),
    ],
)
def test_problems_of_a_space_file_are_named(space_file, tmp_path, changed, says):
    definition = {**json.loads(Path(space_file).read_text()), **changed}
    path = tmp_path / "space.json"
    path.write_text(
        json.dumps({key: value for key, value in definition.items() if value is not None and key != "classes"})
    )
    with pytest.raises(UsageError, match=says):
        space_of(str(path), 5)


def test_a_predictor_is_fitted_anew(trained, photos, tmp_path):
    folder = tmp_path / "refitted"
    card = fit_predictor(bundle=trained["folder"], data=photos, output=folder, subnets=60, generator=False, seed=1)
    bundle, before = load_bundle(folder), load_bundle(trained["folder"])
    assert card["data"]["evaluations"] == 60 and bundle.predictor.card["data"]["evaluations"] == 60
    assert bundle.weights_sha256 == before.weights_sha256 and bundle.predictor.hash != before.predictor.hash
    assert len(read_architectures(folder / "measured.csv", bundle.space)[0]) == 60


def test_measurements_on_other_images_are_not_reused(trained, photos, tmp_path, monkeypatch):
    class MeasuredError(Exception):
        pass

    def stop(*given):
        raise MeasuredError

    monkeypatch.setattr(subnets, "fit_measured", stop)  # what comes after the measurements is not tested here

    def measured(data):
        with pytest.raises(MeasuredError):
            fit_predictor(bundle=trained["folder"], output=tmp_path / "refitted", data=data, subnets=50)
        return len(list((tmp_path / "refitted.work").glob("*/measured.csv")))

    folder = shutil.copytree(photos, tmp_path / "photos")
    assert (measured(photos), measured(folder)) == (1, 1)
    fill(folder, {"azure": 41})
    assert measured(folder) == 2


def test_subnets_of_a_bundle_without_predictor_are_evaluated(trained, monkeypatch):
    monkeypatch.setattr(Bundle, "has_predictor", False)
    rows = evaluate(bundle=trained["folder"])
    assert [row.predicted_top1 for row in rows] == [None, None] and rows[1].top1 > 0
    shown = CliRunner().invoke(cli, ["evaluate", "--bundle", str(trained["folder"])], catch_exceptions=False).stdout
    assert shown.count(" – ") == 2


def test_a_space_with_next_to_nothing_to_choose_from_is_refused(tiny_space):
    narrow = replace(tiny_space, kernels=(3,), expansions=(2,))
    known = len(np.unique(narrow.sample(1000, np.random.default_rng(0)), axis=0))
    with pytest.raises(UsageError, match=f"has {known} architectures"):
        subnets.require_enough(narrow, 50)
    with pytest.raises(UsageError, match="cannot be 49"):
        subnets.require_enough(tiny_space, 49)
    subnets.require_enough(tiny_space, 50)


def test_what_was_measured_is_not_measured_again(tiny_space, tmp_path):
    asked = []

    def evaluate(given):
        asked.append(len(given))
        return np.array([50 + 40 * tiny_space.macs(a) / 1e6 for a in given])

    first = subnets.measure_subnets(tiny_space, evaluate, 50, tmp_path / "m.csv")
    assert asked == [30, 10, 10]
    again = subnets.measure_subnets(tiny_space, evaluate, 50, tmp_path / "m.csv")
    assert asked == [30, 10, 10] and (first[0] == again[0]).all() and (first[1] == again[1]).all()
    codes, top1 = subnets.measure_subnets(tiny_space, evaluate, 60, tmp_path / "m.csv")
    assert asked[3:] == [10] and len(np.unique(codes, axis=0)) == 60 == len(top1)


def test_subnets_are_chosen_all_over_the_space_then_near_the_frontier():
    from nagsdk.families.mobilenet_v3.presets import small_mobilenet_v3

    space = small_mobilenet_v3()
    codes = subnets.space_filling(space, 90, 0)
    rows = space.one_hot(codes)
    assert len(np.unique(codes, axis=0)) == 90

    def nearest(rows):
        away = ((rows[:, None] - rows) ** 2).sum(2) + np.where(np.eye(len(rows)), np.inf, 0)
        return away.min(1).mean()

    macs = np.array([space.macs(a) for a in space.decode(codes)])
    chance = space.sample(90, np.random.default_rng(0))
    assert nearest(rows) > 1.05 * nearest(space.one_hot(chance))
    uniform = np.array([space.macs(a) for a in space.decode(chance)])
    assert macs.min() < 0.7 * uniform.min() and macs.max() > 1.1 * uniform.max()

    # An artificial accuracy that does not depend on kernels, so that the frontier has small kernels.
    def truth(codes):
        return 100 * (1 - np.exp(-(space.one_hot(codes) @ worth)))

    def gain(index, decision):
        if index == 0 or "depth" in decision.name:
            return np.linspace(0, 0.02, len(decision.choices))
        return np.tile([0, 0.01, 0.02], 2)

    worth = np.concatenate([gain(i, d) for i, d in enumerate(space.decisions)]).astype(np.float32)
    near = subnets.near_frontier(space, truth, codes, 20, 0)
    assert len(np.unique(np.vstack([codes, near]), axis=0)) == 110
    kernels = [np.mean(space.settings(a).kernels) for a in space.decode(near)]
    assert np.mean(kernels) < 3.7 < np.mean([np.mean(space.settings(a).kernels) for a in space.decode(chance)])


def test_a_dry_run_reports_the_plan_and_leaves_nothing(photos, space_file, tmp_path):
    for recipe, count in (("sandwich", 1), ("shrinking", 4)):
        report = train(
            data=photos, output=tmp_path / "dry", space=space_file, recipe=recipe, **QUICK, dry_run=True
        ).to_dict()
        assert len(report["passes"]) == count and report["steps"] >= 47
        estimate = report["estimate"]
        assert all(
            estimate[key] > 0
            for key in ("seconds_per_step", "training_s", "measuring_s", "predictor_s", "memory_bytes", "disk_bytes")
        )
        assert estimate["generator_s"] == 0
    folder = str(tmp_path / "dry")
    command = ["train", str(photos), "--output", folder, "--space", space_file, *QUICK_OPTIONS, "--dry-run"]
    shown = CliRunner().invoke(cli, command, catch_exceptions=False).stdout
    assert "sandwich: 48 steps of 16 images in 1 pass\n" in shown
    assert all(f"\n{part} " in shown for part in ("training", "measuring", "predictor", "generator", "together"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"init": "ofa"}, UsageError, "belong to the space mobilenetv3"),
        ({"init": "ofa", "space": "mobilenetv3"}, WeightsMissingError, "has no supernet weights"),
        ({"init": "no/such.pth"}, UsageError, "not a file of weights"),
        ({"space": "huge"}, UsageError, "not a search space"),
        ({"batch": 1000}, UsageError, f"{TRAINED} training images"),
        ({"output": "Tiny Bundle"}, UsageError, "lower-case"),
        ({"recipe": "none"}, UsageError, "Give one of sandwich, shrinking"),
        ({"subnets": 9}, UsageError, "50"),
        ({"tensorboard": "board"}, UsageError, r"nagsdk\[tensorboard\]"),
    ],
)
def test_invalid_settings_are_refused_before_training_starts(
    photos, space_file, tmp_path, monkeypatch, given, error, says
):
    monkeypatch.setattr("nagsdk.training.run.TrainingRun.run", lambda self: pytest.fail("it started"))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    settings = {"data": photos, "space": space_file, **QUICK, **given}
    with pytest.raises(error, match=says):
        train(**{**settings, "output": tmp_path / settings.get("output", "tiny")})


def test_a_full_disk_is_reported_before_training(photos, space_file, tmp_path, monkeypatch):
    train(data=photos, output=tmp_path / "dry", space=space_file, **QUICK, dry_run=True)
    monkeypatch.setattr("nagsdk.images.decoded.shutil.disk_usage", lambda path: type("Usage", (), {"free": 10**5}))
    with pytest.raises(OutputError, match="GB free"):
        train(data=photos, output=tmp_path / "dry", space=space_file, **QUICK)


def test_other_settings_do_not_go_on_with_a_run(trained, photos, space_file, tmp_path):
    shutil.copytree(trained["folder"].parent / "tiny.work", tmp_path / "tiny.work")
    with pytest.raises(UsageError, match="other settings \\(epochs, seed\\)"):
        train(data=photos, output=tmp_path / "tiny", space=space_file, **{**QUICK, "epochs": 7}, seed=1)


@pytest.mark.slow
def test_killed_at_random_steps_and_started_again_the_weights_are_the_same(trained, photos, space_file, tmp_path):
    """Kills a real subprocess by SIGKILL, twice."""
    options = ["--output", str(tmp_path / "tiny"), "--space", space_file, *QUICK_OPTIONS, "--no-generator"]
    command = [sys.executable, "-m", "nagsdk", "train", str(photos), *options]
    work, kills, reached = tmp_path / "tiny.work", random.Random(), []
    for _ in range(2):
        process = subprocess.Popen(
            command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        target = kills.randint(1, 8) + (reached[-1] if reached else 0)
        while process.poll() is None and _step(work) < min(target, 44):
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, process.stderr.read().decode()
        reached.append(_step(work))
    assert 0 < reached[0] <= reached[-1] < 48
    train(data=photos, output=tmp_path / "tiny", space=space_file, **QUICK)
    assert sha256(work / "supernet.safetensors") == sha256(trained["folder"] / "supernet.safetensors")
    assert (tmp_path / "tiny" / "measured.csv").read_bytes() == (trained["folder"] / "measured.csv").read_bytes()


def _step(work: Path) -> int:
    with contextlib.suppress(OSError, ValueError, KeyError):
        return int(json.loads((work / "pass0" / "state.json").read_text())["step"])
    return 0


def stand_in(space, path: Path) -> Supernet:
    """Writes a checkpoint with Once-for-All's tensor names and random weights for 1000 classes."""
    supernet = replace(space, classes=1000).supernet()
    supernet.initialise(3)
    state = supernet.state_dict()
    torch.save({"state_dict": {theirs: state[ours] for theirs, ours in _ofa_names(supernet).items()}}, path)
    return supernet


@pytest.mark.nightly
def test_ofa_weights_become_a_fine_tuned_deployment(photos, space_file, tiny_space, board, tmp_path):
    """The whole workflow: a released checkpoint, the user's classes, one subnet extracted, fine-tuned and deployed."""
    source = stand_in(tiny_space, tmp_path / "ofa_stand_in.pth")
    bundle = tmp_path / "adopted"
    report = train(
        data=photos, output=bundle, space=space_file, init=str(tmp_path / "ofa_stand_in.pth"), **QUICK
    ).to_dict()
    supernet = load_bundle(bundle).supernet
    assert report["largest"]["top1"] > 50 and supernet.classifier.weight.shape == (5, 40)
    # Training with a low learning rate keeps the weights near those of the checkpoint.
    weight, first = supernet.blocks[0].expand.weight.detach(), source.blocks[0].expand.weight.detach()
    assert 0 < float((weight - first).norm() / first.norm()) < 0.5
    deployment = nagsdk.deploy(
        "board", budget="60kMACs", bundle=bundle, strategy="lookup", output=tmp_path / "out", finetune=2, data=photos
    )
    assert deployment.verdict == "held" and deployment.details["finetuned"]["epochs"] == 2
    again = train(
        data=photos,
        output=tmp_path / "again",
        space=space_file,
        init=str(bundle / "supernet.safetensors"),
        **{**QUICK, "epochs": 1},
    )
    assert again.largest.top1 > 50


def test_weights_of_another_space_are_refused(photos, tmp_path, tiny_space):
    stand_in(tiny_space, tmp_path / "x.pth")
    from nagsdk.errors import DamagedBundleError

    with pytest.raises(DamagedBundleError):
        train(data=photos, output=tmp_path / "o", space="small", init=str(tmp_path / "x.pth"), **QUICK)
    (tmp_path / "y.safetensors").write_bytes(b"torn")
    with pytest.raises(DamagedBundleError, match="cannot be read"):
        train(data=photos, output=tmp_path / "o", space="small", init=str(tmp_path / "y.safetensors"), **QUICK)


@pytest.mark.nightly  # tests/supernet/test_processes.py trains with two processes at every change
def test_two_processes_leave_the_same_kind_of_bundle(trained, photos, space_file, tmp_path):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tests.quick_train"]
    options = ["--output", str(tmp_path / "tiny"), "--space", space_file, *QUICK_OPTIONS, "--no-generator", "--json"]
    command = [sys.executable, *torchrun, "train", str(photos), *options]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"},
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["processes"] == 2 and report["largest"]["top1"] == pytest.approx(
        trained["report"]["largest"]["top1"], abs=18
    )
    assert len(read_architectures(tmp_path / "tiny" / "measured.csv", load_bundle(tmp_path / "tiny").space)[0]) == 50


def test_the_measured_weights_are_those_in_half_precision(trained):
    work = trained["folder"].parent / "tiny.work"
    bundle = load_bundle(trained["folder"])
    kept = load_supernet(bundle.space, (work / "supernet.safetensors").read_bytes())
    assert all(
        torch.equal(a, b)
        for a, b in zip(kept.state_dict().values(), bundle.supernet.state_dict().values(), strict=True)
    )
    assert not list(work.parent.glob(".nagsdk-partial-*"))
