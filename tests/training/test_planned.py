"""A training that is planned for a time, on a tiny space and a machine whose speed is made up."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from nagsdk.bundle.bundle import load_bundle
from nagsdk.cli import cli
from nagsdk.common.files import sha256
from nagsdk.errors import UsageError
from nagsdk.events import Notice, Remaining, Started
from nagsdk.families import preset
from nagsdk.predictor.additive import AdditiveScore
from nagsdk.supernet.processes import Ranks
from nagsdk.supernet.train import TRAINING, TrainAdvanced
from nagsdk.training import by_time, planning, trained_time
from nagsdk.training.evaluate import evaluate
from nagsdk.training.plan import Plan, preprocessing_of
from nagsdk.training.schedule import Counts
from nagsdk.training.train import train
from tests import quick_train
from tests.pictures import fill

CLASSES = {"azure": 40, "brick": 40, "clover": 30, "dune": 20, "ebony": 40}


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(by_time, "_LEAST_SEEN", {True: (1, 1), False: (2, 2)})
    monkeypatch.setattr(planning, "pace_of", lambda *given, **more: quick_train.PACE)
    for name in ("BESIDE", "BESIDE_FEW"):
        monkeypatch.setattr(by_time, name, quick_train.FEW)
    quick_train.fit_quickly(monkeypatch.setattr)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("data") / "photos", CLASSES)


@pytest.fixture(scope="module")
def space_file(tmp_path_factory, tiny_space):
    path = tmp_path_factory.mktemp("space") / "tiny.json"
    path.write_text(json.dumps(replace(tiny_space, classes=99, resolution_choices=(16, 20, 24, 32)).to_dict()))
    return str(path)


@pytest.fixture(scope="module")
def settings(photos, space_file):
    return {"data": photos, "space": space_file, "minutes": 1, "batch": 16, "generator": False}


_MADE = {}


@pytest.fixture
def planned(settings, tmp_path_factory):
    if not _MADE:
        folder, events = tmp_path_factory.mktemp("planned") / "tiny", []
        _MADE.update(folder=folder, report=train(**settings, output=folder, on_event=events.append), events=events)
    return _MADE


def test_a_planned_training_leaves_a_whole_bundle_of_the_resolutions_that_it_had_time_for(planned, photos):
    report, bundle = planned["report"], load_bundle(planned["folder"])
    schedule = bundle.description.provenance["schedule"]
    assert bundle.space.resolutions == tuple(schedule["resolutions"]) and len(bundle.space.resolutions) == 3
    images = {part: sum(bundle.description.provenance["images"][part]) for part in ("train", "val")}
    assert schedule["minutes"] == 1 and schedule["held_out"] == images["train"] // 5
    chosen_on = images["val"] + schedule["held_out"]
    passes = bundle.description.provenance["passes"]
    assert [p["held_out"] for p in passes] == [True, True, False] and report.steps == sum(p["steps"] for p in passes)
    assert report.seen > report.guessing and report.largest.top1 > report.guessing
    assert (
        bundle.predictor.card["data"]["evaluations"] == 50 and f"{chosen_on} images" in bundle.predictor.card["source"]
    )
    assert bundle.footing["predicted_on"] == f"{chosen_on} images for choices" and bundle.footing["subnets"] == 6
    rows = evaluate(bundle=planned["folder"])
    assert [row.top1 for row in rows] == [report.smallest.top1, report.largest.top1]
    assert any(isinstance(event, Remaining) for event in planned["events"]) or report.steps < 10
    assert (planned["folder"].parent / "tiny.work" / "curve.csv").read_text().splitlines()[0].endswith("validation")


@pytest.mark.nightly
def test_killed_in_any_pass_and_started_again_it_ends_in_the_same_bundle(planned, settings, tmp_path):
    class Killed(Exception):
        pass

    def killed_in(number, step):
        started = []

        def listen(event):
            started.append(isinstance(event, Started) and event.text == TRAINING)
            if isinstance(event, TrainAdvanced) and sum(started) == number and event.done == step:
                raise Killed

        return listen

    for number, recipe in enumerate(load_bundle(planned["folder"]).description.provenance["passes"], 1):
        with pytest.raises(Killed):
            train(**settings, output=tmp_path / "tiny", on_event=killed_in(number, recipe["steps"] // 2))
    # The speed is not measured again: another machine would plan other steps.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "pace_of", lambda *given, **more: pytest.fail("it measured the speed"))
        train(**settings, output=tmp_path / "tiny")
    for name in ("supernet.safetensors", "measured.csv", "predictor.safetensors"):
        assert sha256(tmp_path / "tiny" / name) == sha256(planned["folder"] / name), name


def test_a_slow_first_pass_shortens_the_later_ones_also_after_a_restart(settings, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    def until(killed):
        def listen(event):
            if killed(event):
                raise Killed

        with pytest.raises(Killed):
            train(**settings, output=tmp_path / "tiny", on_event=listen)

    planned_ones = [p["steps"] for p in train(**settings, output=tmp_path / "tiny", dry_run=True).passes]
    with monkeypatch.context() as patch:
        patch.setattr(trained_time, "time", SimpleNamespace(monotonic=lambda: 1000 * time.monotonic()))
        patch.setattr(trained_time, "_LONGEST_STEP_S", 1e9)
        until(lambda event: isinstance(event, Notice) and "as long as planned" in event.text)
    totals = []

    def in_the_second_pass(event):
        if isinstance(event, Started) and event.text == TRAINING:
            totals.append(event.total)
        return len(totals) == 2

    until(in_the_second_pass)
    assert totals == [planned_ones[0], round(0.5 * planned_ones[1])]


def test_a_finished_one_is_not_done_again_and_other_times_are_other_trainings(planned, settings, tmp_path):
    again = train(**settings, output=planned["folder"])
    assert again.already_finished and again.largest == planned["report"].largest
    with pytest.raises(UsageError, match="other settings \\(minutes\\)"):
        train(**{**settings, "minutes": 2}, output=planned["folder"])


@pytest.mark.nightly
def test_a_training_from_other_weights_goes_on_from_what_they_know(planned, settings, tmp_path):
    weights = planned["folder"] / "supernet.safetensors"
    report = train(**settings, init=str(weights), output=tmp_path / "more")
    assert report.largest.top1 > report.guessing


@pytest.mark.parametrize(
    ("minutes", "init", "narrowed"), [(5, "a.pth", True), (5, "none", False), (60, "a.pth", False)]
)
def test_a_short_training_from_other_weights_leaves_the_smallest_networks_out(minutes, init, narrowed):
    space = preset("small")
    plan = Plan("", space.to_dict(), init, "sandwich", None, None, None, True, 0, minutes=minutes)
    made = planning.schedule_of(plan, space, preprocessing_of(space, "none"), Counts(480, 60, 60), False, Ranks())
    assert made.narrowed == narrowed and made.of(space).resolutions == made.resolutions
    kept = space.narrowed() if narrowed else space
    assert made.of(space) == kept.with_resolutions(made.resolutions)


def test_few_images_are_planned_for_a_time_unless_epochs_are_given_and_it_is_said(settings, tmp_path, monkeypatch):
    told = []
    given = {**settings, "minutes": None, "dry_run": True, "on_event": told.append}
    report = train(**given, output=tmp_path / "a")
    assert report.plan["minutes"] == report.schedule["minutes"] == 15 and report.plan["epochs"] is None
    (warning,) = [e.text for e in told if isinstance(e, Notice) and "is planned" in e.text]
    assert "15 minutes" in warning and "images for training and validation" in warning and "--epochs" in warning
    report = train(**given, epochs=3, output=tmp_path / "b")
    assert report.plan["minutes"] is None and report.plan["epochs"] == 3 and report.schedule["held_out"] == 0
    monkeypatch.setattr("nagsdk.training.schedule.SMALL", 100)
    report = train(**given, output=tmp_path / "c")
    assert report.plan["minutes"] is None and report.plan["epochs"] == 60 and report.plan["subnets"] == 300


@pytest.mark.parametrize("given", [{"epochs": 3}, {"recipe": "shrinking"}])
def test_a_time_and_epochs_are_not_given_together(settings, tmp_path, given):
    with pytest.raises(UsageError, match="leaves nothing to epochs"):
        train(**settings, **given, output=tmp_path / "o")


def test_a_dry_run_shows_the_plan_and_the_time_of_each_part(photos, space_file, tmp_path):
    options = ["--output", str(tmp_path / "o"), "--space", space_file, "--minutes", "1", "--batch-size", "16"]
    done = CliRunner().invoke(cli, ["train", str(photos), *options, "--dry-run"], catch_exceptions=False)
    shown = " ".join(done.stdout.split())
    for part in ("sandwich for 1 minutes", "pass 1:", "the smallest network alone", "pass 3:", "on all images",
                 "open resolutions 16,", "choices rest on ", "training ", "measuring ", "predictor ",
                 "generator ", "together "):  # fmt: skip
        assert part in shown, part
    assert list(tmp_path.iterdir()) == []


@pytest.mark.nightly
def test_two_processes_plan_and_train_the_same(photos, space_file, tmp_path):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tests.quick_train"]
    options = ["--output", str(tmp_path / "o"), "--space", space_file, "--minutes", "1.5", "--no-generator", "--json"]
    done = subprocess.run(
        [sys.executable, *torchrun, "train", str(photos), *options],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["processes"] == 2 and report["largest"]["top1"] > report["guessing"]


def test_the_speed_of_this_machine_is_measured_for_every_part(monkeypatch, tiny_space):
    from nagsdk.training import pace

    watch = pace.Stopwatch.of(tiny_space, preprocessing_of(tiny_space, "none"), 8)
    found = pace.pace_of(watch, 0, generator=True, smallest=8)
    assert 2 <= watch.batch <= 8 and found.fit.keys() == {50, 100, 200, 300}
    numbers = (
        found.alone,
        found.smallest,
        found.together,
        found.update,
        found.forward,
        found.subnet,
        found.cut,
        found.generator,
    )
    assert all(0 < value < 1000 for value in (*numbers, *found.fit.values()))
    made_up = pace._MadeUp(tiny_space)
    assert isinstance(made_up.additive, AdditiveScore) and found.generator > 1
