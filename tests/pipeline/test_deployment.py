"""What a deployment is good for afterwards: it is read, shown and tried on images."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import nagsdk
from nagsdk.bundle.bundle import load_bundle
from nagsdk.errors import DamagedBundleError, DataError, UnknownNameError, UsageError
from nagsdk.images.sheets import read_sheet
from tests.few_images import few_images  # noqa: F401
from tests.pipeline.test_loop import simulate, world  # noqa: F401 — fixtures

_KEPT = []


@pytest.fixture
def deployed(simulate, tmp_path, tmp_path_factory):  # noqa: F811
    simulate()
    if not _KEPT:
        _KEPT.append(nagsdk.deploy("board", "1.5ms", output=tmp_path_factory.mktemp("kept") / "out"))
    folder = shutil.copytree(_KEPT[0].folder, tmp_path / "out")
    return replace(_KEPT[0], folder=folder, result=_KEPT[0].result.with_path(folder / "model.onnx"))


def pictures(count):
    """Test images of glyphs that `few_images` keeps, as they are before preprocessing, and their classes."""
    bundle = load_bundle("glyphs")
    images = bundle.description.images
    tiles = read_sheet(bundle.folder / images.test.file, images.test.count, images.tile)[::8][:count]
    return list(tiles), bundle.test_set(32).labels[:count], bundle.labels


def test_a_deployment_predicts_images_in_one_line(deployed, tmp_path):
    tiles, classes, labels = pictures(40)
    model = deployed.load()
    predictions = model(*tiles)
    assert [p.label for p in predictions].count(None) == 0
    right = [p.label == labels[c] for p, c in zip(predictions, classes, strict=True)]
    assert np.mean(right) > 0.8
    one = predictions[0]
    assert one.probabilities.sum() == pytest.approx(1, abs=1e-5) and one.probability == one.top(1)[0][1]
    assert one.top(3)[0][0] == one.label in labels and repr(one).startswith(f"Prediction({one.label} ")
    Image.fromarray(tiles[0]).save(tmp_path / "picture.png")
    for image in (tmp_path / "picture.png", str(tmp_path / "picture.png"), Image.fromarray(tiles[0])):
        assert model(image).label == one.label


def test_it_answers_as_the_artifact_is_evaluated(deployed):
    tiles, classes, labels = pictures(None)
    predictions = deployed.load()(*tiles)
    right = np.mean([p.label == labels[c] for p, c in zip(predictions, classes, strict=True)])
    assert 100 * right == pytest.approx(deployed.result.measured.top1, abs=0.4)  # one of 320 images


def test_what_is_no_image_is_refused(deployed, tmp_path):
    model = deployed.load()
    (tmp_path / "torn.png").write_bytes(b"torn")
    for image, error in ((np.zeros((8, 8), np.uint8), UsageError), (np.zeros((8, 8, 3)), UsageError)):
        with pytest.raises(error, match="array"):
            model(image)
    with pytest.raises(DataError, match="torn.png"):
        model(tmp_path / "torn.png")
    with pytest.raises(UsageError, match="No image"):
        model()
    for image in (np.zeros((0, 8, 3), np.uint8), np.zeros((8, 8, 4), np.uint8)):
        with pytest.raises(UsageError, match="array"):
            model(image)
    for image in (None, 3, [tmp_path / "torn.png"], b"torn"):
        with pytest.raises(UsageError, match=f"{type(image).__name__} is not an image"):
            model(image)
    Image.effect_noise((64, 64), 50).save(tmp_path / "half.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "half.png").read_bytes()[:1500])
    for image in (Image.open(tmp_path / "half.png"), Image.new("F", (8, 8), 0.5), Image.new("RGB", (0, 5)), tmp_path):
        with pytest.raises(DataError, match="cannot be read as an image"):
            model(image)


def test_an_opened_image_is_read_as_its_file(deployed, tmp_path):
    tile, model = Image.fromarray(pictures(1)[0][0]), deployed.load()
    deep = Image.fromarray(np.asarray(tile.convert("L")).astype(np.uint16) * 257)
    orientation = Image.Exif()
    orientation[0x0112] = 6  # the camera was turned
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"):
        path = tmp_path / ("picture.jpg" if mode == "CMYK" else "picture.png")
        (deep if mode == "I;16" else tile.convert(mode)).save(path, exif=orientation)
        with Image.open(path) as opened:
            assert opened.mode == mode
            read, shown = model(path, opened)
        np.testing.assert_array_equal(read.probabilities, shown.probabilities)


def test_a_device_that_a_file_describes_is_named_again(deployed, tmp_path, simulate):  # noqa: F811
    path = tmp_path / "desk.toml"
    path.write_text('id = "desk"\ntitle = "A desk"\nbackend = "simulated"\n')
    there = nagsdk.deploy(path, "2MMACs", timing_only=True, output=tmp_path / "there")
    with pytest.raises(UnknownNameError, match="load.device="):
        there.load()
    tile = pictures(1)[0][0]
    assert there.load(path)(tile).label == there.load(device=str(path))(tile).label
    assert [c.state for c in there.verify(device=path).checks[:2]] == ["passed", "passed"]


@pytest.mark.parametrize("batch", [1, 4])
def test_any_number_of_images_goes_through_a_model_of_a_batch(simulate, tmp_path, batch):  # noqa: F811
    simulate()
    model = nagsdk.deploy("board", "2MMACs", batch=batch, output=tmp_path / "out").load()
    tiles = pictures(7)[0]
    for one, alone in zip(model(*tiles), map(model, tiles), strict=True):
        np.testing.assert_allclose(one.probabilities, alone.probabilities, atol=1e-5)


def test_manifests_of_newer_and_older_versions_are_read(deployed):
    path = deployed.folder / "manifest.json"
    content = json.loads(path.read_text())
    content["predicted"]["energy_mj"] = content["measured"]["energy_mj"] = content["novelty"] = 1.0
    path.write_text(json.dumps(content))
    assert nagsdk.Deployment.read(deployed.folder).result == deployed.result
    for budget in (content["budget"], *content["budgets"]):
        del budget["unit"], budget["unit_factor"]
    del content["min_top1"], content["report"]["frontiers"]
    path.write_text(json.dumps(content))
    read = nagsdk.Deployment.read(deployed.folder)
    assert read.result == deployed.result and str(read.result.budget) == "1.5ms"
    assert read.load().resolution == deployed.result.resolution and read._repr_html_().startswith("<iframe")
    content["preprocessing"]["crop_fraction"] = 0
    path.write_text(json.dumps(content))
    with pytest.raises(DamagedBundleError, match="crop_fraction"):
        nagsdk.Deployment.read(deployed.folder)


def test_a_folder_is_read_again_as_it_was_left(deployed):
    read = nagsdk.Deployment.read(deployed.folder)
    assert read.to_dict() == deployed.to_dict() and read.result == deployed.result
    assert read.details["rounds"] == deployed.details["rounds"]
    deployed.folder.joinpath("model.onnx").write_bytes(b"other")
    with pytest.raises(DamagedBundleError, match="model.onnx"):
        read.load()


def test_notebooks_show_the_report_and_results_as_tables(deployed):
    page = deployed._repr_html_()
    assert page.startswith('<iframe srcdoc="&lt;!') and deployed.result.architecture in page
    table = deployed.result._repr_html_()
    assert table.startswith("<table>") and "held" in table and "1.5ms" in table
    (odd,) = nagsdk.predict(architectures=[deployed.result.architecture])
    assert "<b>" not in odd._repr_html_()


def test_a_missed_deployment_has_nothing_to_load(simulate, tmp_path):  # noqa: F811
    backend = simulate()
    backend.world = lambda ms: 1000.0
    missed = nagsdk.deploy("board", "1.5ms", output=tmp_path / "out")
    assert missed.verdict == "missed" and missed.folder is None
    for verb in (missed.load, missed.verify):
        with pytest.raises(UsageError, match="missed"):
            verb()
    assert missed._repr_html_().startswith("<table>")


def test_a_network_that_saw_few_images_says_so(simulate, tmp_path):  # noqa: F811
    simulate()
    (tmp_path / "photos").mkdir()
    for number, tile in enumerate(pictures(2)[0]):
        Image.fromarray(tile).save(tmp_path / "photos" / f"{number}.png")
    found = nagsdk.deploy("board", "1.5ms", images=tmp_path / "photos", output=tmp_path / "out")
    assert any("adapted to 2 images only" in warning for warning in found.result.warnings)
