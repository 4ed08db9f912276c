"""`nagsdk init`: what it writes is what `nagsdk build` builds; what cannot be built is refused."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import nagsdk
from nagsdk.bundle.bundle import load_bundle
from nagsdk.cli import cli
from nagsdk.common.folders import shipped
from nagsdk.errors import (
    BudgetError,
    BundleError,
    DeviceUnavailableError,
    ImagesMissingError,
    InfeasibleError,
    OutputError,
    UnknownNameError,
    UsageError,
)
from nagsdk.project.init import _quoted
from nagsdk.project.toml import read_project
from tests.few_images import few_images  # noqa: F401
from tests.pipeline.test_loop import simulate, world  # noqa: F401 — fixtures


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _init(*arguments, **options):
    return CliRunner().invoke(cli, ["init", *map(str, arguments)], **options)


def test_what_it_declares_is_built(simulate, here):  # noqa: F811
    simulate()
    done = _init("--device", "board", "--budget", "1.5ms", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {
        "project": "nagsdk.toml",
        "name": "model",
        "added": False,
        "gitattributes": ".gitattributes",
        "notes": [],
        "next_steps": ["nagsdk build model"],
    }
    assert (here / ".gitattributes").read_text() == "**/model/** -text\n"
    report = nagsdk.build(names=["model"])
    assert [(o.name, o.verdict) for o in report.deployments] == [("model", "held")]
    assert (here / "deployments/model/model.onnx").is_file()


def test_a_new_name_is_added_and_nothing_that_is_there_changes(here):
    before = b'\xef\xbb\xbf# mine\r\n[deployments.small]\r\ndevice = "cpu"\r\nbudget = "1MMACs"  # no line end'
    (here / "nagsdk.toml").write_bytes(before)
    (here / ".gitattributes").write_bytes(b"*.png binary\n**/large/**   -text")
    done = nagsdk.init("cpu", ["200FPS@p90", "1MB"], name="large")
    assert done.added and done.gitattributes is None
    after = (here / "nagsdk.toml").read_bytes()
    assert after.startswith(before) and b"\n" not in after.replace(b"\r\n", b"")
    assert (here / ".gitattributes").read_bytes() == b"*.png binary\n**/large/**   -text"
    small, large = read_project(here / "nagsdk.toml").deployments
    assert (small.name, large.name) == ("small", "large")
    assert list(map(str, large.arguments["budget"])) == ["200FPS@p90", "1MB"]
    assert nagsdk.init("cpu", "1MB", name="third").gitattributes == ".gitattributes"
    assert (here / ".gitattributes").read_bytes() == b"*.png binary\n**/large/**   -text\n**/third/** -text\n"


def test_a_taken_name_is_refused_with_the_way_out(here):
    nagsdk.init("cpu", "0.2ms")
    before = (here / "nagsdk.toml").read_bytes()
    done = _init("--device", "cpu", "--budget", "0.3ms")
    assert done.exception.exit_code == 2
    assert "declares the deployment model already" in done.exception.message and "--name" in done.exception.next_step
    assert (here / "nagsdk.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"device": "cpv"}, UnknownNameError, "Did you mean cpu"),
        ({"device": "192.168.1.7:5555"}, UnknownNameError, "Known"),
        ({"device": "none.toml"}, Exception, "none.toml"),
        ({"bundle": "glyph"}, UnknownNameError, "Did you mean glyphs"),
        ({"bundle": "./none"}, UnknownNameError, "no folder"),
        ({"bundle": "imagenet-w1.2"}, BundleError, "predictor"),
        ({"bundle": "imagenet"}, ImagesMissingError, "--images"),
        ({"images": "none"}, ImagesMissingError, "not a folder"),
        ({"budget": "80"}, BudgetError, "80ms"),
        ({"budget": ["0.2ms", "5 apples"]}, BudgetError, "not a unit"),
        ({"budget": []}, BudgetError, "such as 80ms"),
        ({"budget": "1kMACs"}, InfeasibleError, "the cheapest needs"),
        ({"device": "pixel", "budget": "1e7FPS"}, InfeasibleError, "the cheapest reaches"),
        ({"name": "Model"}, UsageError, "small letters"),
        ({"name": "../out"}, UsageError, "small letters"),
        ({"name": "a\n"}, UsageError, "small letters"),
        ({"name": ""}, UsageError, "small letters"),
    ],
)
def test_what_cannot_be_built_is_refused_and_nothing_is_written(here, arguments, error, says):
    with pytest.raises(error) as caught:
        nagsdk.init(**({"device": "cpu", "budget": "0.2ms"} | arguments))
    assert says in str(caught.value)
    assert list(here.iterdir()) == []


def test_outputs_that_would_lie_in_one_another_are_refused(here):
    (here / "nagsdk.toml").write_text('[deployments.a]\ndevice = "cpu"\nbudget = "1MB"\noutput = "deployments/b"\n')
    with pytest.raises(UsageError, match="same folder"):
        nagsdk.init("cpu", "1MB", name="b")
    (here / "nagsdk.toml").write_text('deployments = {a = {device = "cpu", budget = "1MB"}}\n')
    with pytest.raises(UsageError, match="table cannot be added") as caught:
        nagsdk.init("cpu", "1MB", name="b")
    assert "[deployments.b]" in caught.value.next_step
    (here / "nagsdk.toml").write_text("no toml")
    with pytest.raises(UsageError, match="not a readable TOML"):
        nagsdk.init("cpu", "1MB", name="b")
    assert not (here / ".gitattributes").exists() and (here / "nagsdk.toml").read_text() == "no toml"


def test_a_file_that_cannot_be_written_is_told(here):
    (here / ".gitattributes").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        nagsdk.init("cpu", "1MB")
    assert not (here / "nagsdk.toml").exists()


def test_predictions_say_what_a_budget_is_worth(world, simulate, here):  # noqa: F811
    assert "the largest network of glyphs needs" in nagsdk.init("board", "100MMACs", name="a").notes[0]
    # Nothing is known about the latencies of the board, but it can measure them ...
    simulate()
    shutil.rmtree(os.environ["NAGSDK_CACHE_DIR"])
    (note,) = nagsdk.init("board", "1ms", name="b").notes
    assert "measures them first" in note
    # ... unless it is not there.
    world.present = False
    with pytest.raises(DeviceUnavailableError, match="Nothing is known"):
        nagsdk.init("board", "1ms", name="c")
    assert any("not plugged in" in note for note in nagsdk.init("board", "1MMACs", name="d").notes)


def test_a_prior_does_not_forbid_what_a_measurement_may_allow(here):
    present = nagsdk.Target("cpu").presence.available
    notes = nagsdk.init("cpu", "0.001ms").notes if present else pytest.skip("this machine's processor is no device")
    assert "No architecture of glyphs holds 0.001ms" in notes[0] and "`nagsdk build` measures cpu first" in notes[0]
    (note,) = nagsdk.init("cpu", "1FPS", name="slow").notes
    assert note.startswith("1FPS limits nothing: even the largest network of glyphs reaches ") and "FPS; for" in note


def test_paths_are_relative_to_the_file(here):
    shutil.copytree(shipped("bundles") / "glyphs", here / "shapes")
    (here / "photos").mkdir()
    (here / "photos" / "torn.png").write_bytes(b"torn")
    Image.new("RGB", (48, 48)).save(here / "photos" / "white.png")
    device = (shipped("devices") / "cpu.toml").read_text()
    (here / "desk.toml").write_text(device.replace('id = "cpu"', 'id = "desk"'))
    done = nagsdk.init("desk.toml", "1MMACs", bundle="./shapes", images=here / "photos", name="x", project="app")
    assert done.next_steps == (f"nagsdk build x --project {Path('app') / 'nagsdk.toml'}",)
    table = tomllib.loads((here / "app/nagsdk.toml").read_text())["deployments"]["x"]
    assert (table["device"], table["bundle"]) == ("../desk.toml", "../shapes")
    (declared,) = read_project(here / "app/nagsdk.toml").deployments
    assert load_bundle(declared.arguments["bundle"]).folder.resolve() == (here / "shapes").resolve()
    assert Path(declared.arguments["images"]).samefile(here / "photos")
    inside = nagsdk.init("cpu", "1MMACs", bundle=here / "shapes", name="y", project=here)
    assert inside.project == str(here / "nagsdk.toml")
    assert tomllib.loads((here / "nagsdk.toml").read_text())["deployments"]["y"]["bundle"] == "./shapes"


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=200)
def test_any_text_is_quoted_as_toml_reads_it(text):
    assert tomllib.loads(f"a = {_quoted(text)}") == {"a": text}


def test_a_name_that_toml_cannot_hold_is_refused():
    with pytest.raises(UsageError, match="not UTF-8"):
        _quoted("photos\udcff")


def test_without_a_terminal_what_is_missing_is_named(here):
    done = _init()
    assert done.exit_code == 2 and "--device and --budget" in done.stderr
    done = _init("--device", "cpu")
    assert done.exit_code == 2 and "--budget" in done.stderr and "--device" not in done.stderr.splitlines()[-1]
    assert _init("--budget", "1MB", env={"NAGSDK_DEVICE": "cpu"}).exit_code == 0
    assert next(iter(read_project(here / "nagsdk.toml").deployments)).arguments["device"] == "cpu"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_on_a_terminal_it_asks_until_an_answer_is_valid(here):
    import pty

    (here / "photos").mkdir()
    Image.new("RGB", (48, 48)).save(here / "photos" / "a.png")
    ours, theirs = pty.openpty()
    os.write(ours, b"pixle\npixel\nimagenett\nimagenet\nnowhere\nphotos\n80\n0.1ms\n80ms, 1GB\n")
    done = subprocess.run(
        [sys.executable, "-m", "nagsdk", "init", "--name", "asked", "--json"],
        stdin=theirs,
        capture_output=True,
        check=False,
        timeout=120,
        text=True,
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0, done.stderr
    for says in (
        "Did you mean pixel",
        "Did you mean imagenet",
        "nowhere is not a folder",
        "Networks of imagenet need about",
        "80ms, 80ms@p90",
        "the cheapest needs",
        "1000MB limits nothing",
    ):
        assert says in done.stderr, says
    found = json.loads(done.stdout)
    assert found["next_steps"] == ["nagsdk bundle pull imagenet", "nagsdk build asked"]
    (declared,) = read_project(here / "nagsdk.toml").deployments
    assert list(map(str, declared.arguments["budget"])) == ["80ms", "1000MB"]
