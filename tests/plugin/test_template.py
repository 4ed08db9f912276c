import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nagsdk import inventory
from nagsdk.common.folders import shipped
from nagsdk.errors import OutputError, UsageError
from tests.pictures import COLOURS, fill

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("template", "code"), [("template", "worker.py"), ("template_space", "space.py")])
def test_a_new_plugin_has_its_own_name_everywhere(tmp_path, template, code):
    made = inventory.new_plugin("board", tmp_path / "made", space=template == "template_space")
    assert f"src/nagsdk_board/{code}" in made["files"] and "tests/test_board.py" in made["files"]
    assert "--device" in made["next"][-1] and "--bundle bundle" not in made["next"][-1]  # a folder is given by a path
    for file in made["files"]:
        text = (tmp_path / "made" / file).read_text()
        assert "template" not in (file + text).lower()
    assert len(made["files"]) == len(
        [f for f in shipped(f"plugins/{template}").rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    )


@pytest.mark.parametrize("name", ["cpu", "onnxruntime", "android", "x86", "mbv3", "small"])
def test_names_that_are_taken_are_refused(tmp_path, name):
    with pytest.raises(UsageError, match="already"):
        inventory.new_plugin(name, tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["", "Board", "1st", "a-board", "../up", "a" * 32])
def test_names_that_cannot_be_are_refused(tmp_path, name):
    with pytest.raises(UsageError, match="cannot be the name"):
        inventory.new_plugin(name, tmp_path / "made")


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "made").mkdir()
    with pytest.raises(OutputError, match="already exists"):
        inventory.new_plugin("board", tmp_path / "made")


@pytest.fixture
def run(tmp_path):
    """Runs a module as a user would, where plugins that were installed into the folder `site` are found."""
    site = tmp_path / "site"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{site}{os.pathsep}{ROOT}{os.pathsep}{ROOT / 'plugins'}",
        "PYTEST_ADDOPTS": "",
        "OMP_NUM_THREADS": "1",
    }

    def run(*command):
        done = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def install(run, tmp_path, *options):
    assert "nagsdk-board holds the plugin board" in run("nagsdk", "plugins", "new", "board", *options)
    site = str(tmp_path / "site")
    run("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", site, "./nagsdk-board")


@pytest.mark.nightly  # at every change the documentation's own test runs docs/plugins.md, which types the same
def test_a_new_plugin_installs_and_passes_the_conformance_suite(run, tmp_path):
    """As a user would: write it, install it, run its tests, see its device."""
    install(run, tmp_path)
    out = run("pytest", "-p", "no:cacheprovider", "nagsdk-board")
    assert "checks held, 0 did not" in out and "skipped" not in out
    assert "registers backend board, device board" in run("nagsdk", "plugins", "doctor")
    assert '"device": "board"' in run("nagsdk", "generate", "--device", "board", "--budget", "2MMACs", "--json")


@pytest.mark.slow
def test_a_new_family_of_networks_installs_and_keeps_all_rules(run, tmp_path):
    install(run, tmp_path, "--space")
    assert "2 passed" in run("pytest", "-p", "no:cacheprovider", "nagsdk-board")
    assert "registers family of networks board" in run("nagsdk", "plugins", "doctor")


@pytest.mark.nightly
def test_a_new_family_of_networks_ends_in_a_deployment(run, tmp_path):
    install(run, tmp_path, "--space")
    fill(tmp_path / "images", dict.fromkeys(COLOURS, 40))
    quick = ["--epochs", "4", "--batch-size", "16", "--subnets", "50", "--no-generator"]
    run("tests.quick_train", "train", "images", "--space", "board", "--output", "bundle", *quick)
    asked = ["--bundle", "./bundle", "--device", "cpu", "--budget", "5ms", "--budget", "20MMACs"]
    made = json.loads(run("nagsdk", "deploy", *asked, "--strategy", "lookup", "--json"))
    assert made["verdict"] == "held" and made["architecture"].startswith("board:resolution=")
