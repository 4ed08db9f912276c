"""`nagsdk try`: files and folders of images, read and not."""

import json

import pytest
from click.testing import CliRunner
from PIL import Image

import nagsdk
from nagsdk.cli import cli
from nagsdk.errors import DataError, UsageError
from tests.pipeline.test_deployment import deployed, pictures  # noqa: F401 — fixture
from tests.pipeline.test_loop import simulate, world  # noqa: F401 — fixtures


@pytest.fixture
def photos(tmp_path):
    """A folder of three images, one of them in a subfolder, a torn one, and a file that is no image."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name, tile in zip(("a.png", "b.PNG", "more/c.bmp"), pictures(3)[0], strict=True):
        Image.fromarray(tile).save(folder / name)
    (folder / "torn.png").write_bytes(b"torn")
    (folder / "notes.txt").write_text("nothing")
    return folder


def _run(*arguments):
    return CliRunner().invoke(cli, ["try", *map(str, arguments)])


def test_a_folder_and_a_file_are_predicted_and_what_is_torn_is_told(deployed, photos):  # noqa: F811
    done = _run(deployed.folder, photos, photos / "a.png", "--top", 3, "--json")
    assert done.exit_code == 2 and "1 image of 5 cannot be read" in done.stderr
    found = json.loads(done.stdout)
    assert found["device"] == "board" and found["timing_only"] is False
    assert [one["image"].removeprefix(str(photos)).replace("\\", "/") for one in found["images"]] == [
        "/a.png",
        "/b.PNG",
        "/more/c.bmp",
        "/torn.png",
        "/a.png",
    ]
    model = deployed.load()
    for one in found["images"]:
        if one["image"].endswith("torn.png"):
            assert one["guesses"] == [] and "not an image" in one["error"]
            continue
        expected = model(one["image"]).top(3)
        assert one["error"] is None and [guess["label"] for guess in one["guesses"]] == [label for label, _ in expected]
        assert [g["probability"] for g in one["guesses"]] == pytest.approx([p for _, p in expected], abs=1e-5)


def test_it_is_read_as_a_table(deployed, photos):  # noqa: F811
    done = _run(deployed.folder, photos / "a.png")
    assert done.exit_code == 0 and len(done.stdout.splitlines()) == 6 and "worthless" not in done.stdout
    label = deployed.load()(photos / "a.png").label
    assert done.stdout.splitlines()[1].endswith(f"%  {label}")
    torn = _run(deployed.folder, photos / "torn.png")
    assert torn.exit_code == 2 and "cannot be read" in torn.stdout


def test_many_images_are_predicted_in_order(deployed, photos, monkeypatch):  # noqa: F811
    monkeypatch.setattr("nagsdk.pipeline.try_images._AT_ONCE", 2)
    names = [photos / "torn.png", photos / "torn.png", photos / "a.png", photos / "b.PNG", photos / "torn.png"]
    trial = nagsdk.try_images(deployed.folder, names, top=1000)
    assert [one.image for one in trial.images] == list(map(str, names))
    assert [one.error is None for one in trial.images] == [False, False, True, True, False]
    assert sum(guess.probability for guess in trial.images[2].guesses) == pytest.approx(1, abs=1e-4)


def test_what_is_no_image_at_all_is_refused_before_anything_is_loaded(tmp_path, photos):
    empty = tmp_path / "empty"
    empty.mkdir()
    for given, error, says in (
        ([photos / "a.png", tmp_path / "none.png"], DataError, "no file"),
        (empty, DataError, "no images in"),
        ([], UsageError, "No image was given"),
    ):
        with pytest.raises(error, match=says):
            nagsdk.try_images(tmp_path / "no deployment", given)
    with pytest.raises(UsageError, match="--top|cannot be shown"):
        nagsdk.try_images(tmp_path, photos, top=0)
    with pytest.raises(UsageError, match="manifest.json"):
        nagsdk.try_images(empty, photos)


def test_a_model_for_timing_says_that_its_predictions_are_worthless(world, photos, tmp_path):  # noqa: F811
    architecture = "mbv3:r32:d=1,1,1,1:ks=3,3,3,3:e=2,2,2,2"
    nagsdk.export("board", architecture, tmp_path / "timing", timing_only=True)
    done = _run(tmp_path / "timing", photos / "a.png")
    assert done.exit_code == 0 and "predictions are worthless" in done.stdout.splitlines()[0]
    assert json.loads(_run(tmp_path / "timing", photos / "a.png", "--json").stdout)["timing_only"] is True


def test_a_tflite_file_of_an_absent_phone_is_run_on_this_machine(photos, tmp_path):
    pytest.importorskip("ai_edge_litert")
    nagsdk.export("pixel", "mbv3:r32:d=1,1,1,1:ks=3,3,3,3:e=2,2,2,2", tmp_path / "phone")
    trial = nagsdk.try_images(tmp_path / "phone", photos / "a.png")
    assert (trial.device, len(trial.images[0].guesses)) == ("pixel", 5)
