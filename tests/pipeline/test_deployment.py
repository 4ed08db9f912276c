"""What a deployment is good for afterwards: it is read, shown and tried on images."""

import numpy as np
import pytest
from PIL import Image

import nagsdk
from nagsdk.bundle.bundle import load_bundle
from nagsdk.errors import DamagedBundleError, DataError, UsageError
from nagsdk.images.preprocessing import cut_tiles
from tests.pipeline.test_loop import simulate, world  # noqa: F401 — fixtures


@pytest.fixture
def deployed(simulate, tmp_path):  # noqa: F811
    simulate()
    return nagsdk.deploy("board", "1.5ms", output=tmp_path / "out")


def pictures(count):
    """Test images of glyphs as they are before preprocessing, and their classes."""
    bundle = load_bundle("glyphs")
    images = bundle.description.images
    tiles = [np.asarray(tile) for tile in cut_tiles(bundle.folder / images.test.file, images.tile, images.test.count)][
        :count
    ]
    return tiles, bundle.test_set(32).labels[:count], bundle.labels


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
    assert 100 * right == pytest.approx(deployed.result.measured.top1, abs=0.2)


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
