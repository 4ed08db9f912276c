"""Finished networks that an app declares: measured, pinned, and brought back byte for byte."""

import shutil

import pytest

from nagsdk.common.folders import cache_folder
from nagsdk.errors import LockError, UsageError
from nagsdk.project.build import build
from nagsdk.project.toml import read_project
from tests.few_images import few_images  # noqa: F401
from tests.graph.networks import small_network
from tests.pipeline.test_loop import simulate, world  # noqa: F401 — fixtures

DECLARED = '[deployments.own]\ndevice = "board"\nbudget = "10s"\nmodel = "nets/net.onnx"\n'


@pytest.fixture
def app(simulate, tmp_path):  # noqa: F811
    simulate()
    folder = tmp_path / "app"
    (folder / "nets").mkdir(parents=True)
    (folder / "nagsdk.toml").write_text(DECLARED)
    (folder / "nets/net.onnx").write_bytes(small_network("n").SerializeToString())
    return folder


def state(folder, **options):
    (outcome,) = build(folder, **options).deployments
    return outcome.state


def contents(app):
    return {path.name: path.read_bytes() for path in (app / "deployments/own").iterdir()}


def test_a_finished_network_is_pinned_and_brought_back(app):
    (outcome,) = build(app).deployments
    assert (outcome.state, outcome.verdict) == ("deployed", "held") and outcome.architecture.startswith("onnx:net:")
    before = contents(app)
    assert "labels.txt" not in before  # those of the bundle are not its classes
    assert state(app, locked=True) == "current"
    shutil.rmtree(app / "deployments")
    (app / "nets/net.onnx").rename(app / "elsewhere.onnx")
    assert state(app, locked=True) == "cache" and contents(app) == before
    shutil.rmtree(app / "deployments")
    shutil.rmtree(cache_folder() / "artifacts")
    assert state(app, locked=True) == "failed"
    (app / "elsewhere.onnx").rename(app / "nets/net.onnx")
    assert state(app, locked=True) == "rebuilt" and contents(app) == before


def test_another_file_is_measured_and_pinned_again(app):
    assert state(app) == "deployed"
    (app / "nets/net.onnx").write_bytes(small_network("other").SerializeToString())
    (refused,) = build(app, locked=True).deployments
    assert refused.exit_code == LockError.exit_code and "weights changed" in refused.error.message
    assert state(app) == "deployed" and state(app, locked=True) == "current"


def test_a_file_that_is_not_there_is_told_before_anything_is_built(app):
    (app / "nets/net.onnx").unlink()
    (outcome,) = build(app).deployments
    assert outcome.state == "failed" and "net.onnx does not exist" in outcome.error.message


@pytest.mark.parametrize(
    "line",
    ["min_top1 = 90", "images = 'x'", "strategy = 'lookup'", "resolution = 16", "threads = 'any'", "precision = 'any'"],
)
def test_what_is_about_finding_a_network_does_not_go_with_one(app, line):
    (app / "nagsdk.toml").write_text(DECLARED + line + "\n")
    with pytest.raises(UsageError, match=f"{line.split()[0]} cannot be given with a model"):
        read_project(app / "nagsdk.toml")
