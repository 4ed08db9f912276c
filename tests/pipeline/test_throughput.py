"""Budgets per image, in images per second or as a time: a limit on the latency of a whole batch."""

import json

import pytest
from click.testing import CliRunner

import nagsdk
from nagsdk.cli import cli
from nagsdk.errors import InfeasibleError
from tests.few_images import few_images  # noqa: F401
from tests.pipeline.test_loop import simulate, world  # noqa: F401 — fixtures


def test_images_per_second_limit_the_latency_of_the_batch():
    one, eight = nagsdk.Target("cpu"), nagsdk.Target("cpu", batch=8)
    (single,) = nagsdk.generate(one, "2000FPS@p90")
    (batch,) = nagsdk.generate(eight, "2000FPS@p90")
    assert (single.budgets[0].limit, batch.budgets[0].limit) == (0.5, 4.0)
    for result in (single, batch):
        assert str(result.budgets[0]) == "2000FPS@p90"
        assert result.predicted.latency_upper_ms <= result.budgets[0].limit
    # One inference starts its layers once for all images, so that a batch of the same network takes less than 8 times.
    (alone,), (together,) = (nagsdk.predict(target, [single.architecture]) for target in (one, eight))
    assert 2 < together.predicted.latency_ms / alone.predicted.latency_ms < 8
    same = nagsdk.generate(eight, ["0.5ms/image@p90", "2000 images/s@p90"])
    assert {result.architecture for result in same} == {batch.architecture}


def test_devices_with_other_batches_have_limits_of_their_own():
    targets = [nagsdk.Target("cpu"), nagsdk.Target("cpu", batch=4)]
    results = nagsdk.generate(targets, ["2000FPS"])
    assert [result.budgets[0].limit for result in results] == [0.5, 2.0]
    assert all(result.predicted.latency_upper_ms <= result.budgets[0].limit for result in results)


def test_what_no_architecture_reaches_is_said_in_the_unit_that_was_asked_for():
    with pytest.raises(InfeasibleError) as caught:
        nagsdk.generate("cpu", "1e9FPS", batch=8)
    assert "the cheapest reaches about" in caught.value.message and "FPS or less" in caught.value.next_step
    possible = caught.value.next_step.split()[2]
    (found,) = nagsdk.generate("cpu", possible, batch=8)
    assert found.budgets[0].limit == pytest.approx(8e3 / float(possible.removesuffix("FPS")))
    with pytest.raises(InfeasibleError, match="the cheapest needs about .*ms/image"):
        nagsdk.generate("cpu", "1e-6ms/image", batch=8)


def test_a_deployment_shows_what_was_asked_for_everywhere(simulate, tmp_path, monkeypatch):  # noqa: F811
    simulate()
    monkeypatch.chdir(tmp_path)
    command = ["deploy", "--device", "board", "--budgets", "500FPS,1.5ms/image@p90"]
    done = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert done.exit_code == 0
    assert "budget    500FPS" in done.output and "budget    1.5ms/image@p90" in done.output
    assert "FPS), " not in done.output and "FPS)" in done.output and "ms/image)" in done.output
    folders = [tmp_path / "deployments" / f"glyphs-board-{name}" for name in ("500FPS", "1.5ms-per-image@p90")]
    for folder, text in zip(folders, ("500FPS", "1.5ms/image@p90"), strict=True):
        deployment = nagsdk.Deployment.read(folder)
        assert deployment.verdict == "held" and str(deployment.result.budget) == text
        assert json.loads((folder / "manifest.json").read_text("utf-8"))["budget"]["text"] == text
        page = (folder / "report.html").read_text("utf-8")
        assert f"Budget {text}" in page and f"budget {text}" in page
        assert nagsdk.verify(folder).exit_code == 0
