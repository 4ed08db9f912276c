import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import nagsdk
from nagsdk import load_bundle
from nagsdk.bundle.imported import read_weights_record
from nagsdk.bundle.names import bundle_names
from nagsdk.bundle.pull import pull
from nagsdk.common.folders import shipped
from nagsdk.errors import BundleError, DamagedBundleError, ImagesMissingError, UnknownNameError, WeightsMissingError
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.inventory import show_bundle


@pytest.fixture
def copy(tmp_path):
    """A copy of the glyphs bundle that may be damaged."""
    return shutil.copytree(shipped("bundles") / "glyphs", tmp_path / "glyphs")


@pytest.mark.parametrize("name", bundle_names())
def test_shipped_bundles_are_whole(name):
    bundle = load_bundle(name)
    for file in bundle.description.files:
        assert bundle.files.read(file)
    assert {p.name for p in bundle.folder.iterdir()} == {*bundle.description.files, "bundle.json"}
    if not bundle.has_predictor:
        return
    codes = bundle.space.sample(50, np.random.default_rng(0))
    found = bundle.predictor.predict(codes)
    assert (found.low <= found.mean).all() and (found.mean <= found.high).all()
    assert np.corrcoef(bundle.predictor.additive.score(codes), found.mean)[0, 1] > 0.8


def test_the_wide_space_claims_no_accuracy():
    """Nothing was measured for it: cost is told, top-1 is not, and nothing is generated."""
    bundle = load_bundle("imagenet-w1.2")
    assert bundle.space == ofa_mobilenet_v3(1.2) and not bundle.has_predictor
    code = bundle.space.sample(1, np.random.default_rng(0))
    (architecture,) = bundle.space.decode(code)
    (result,) = nagsdk.predict("note10", architectures=[architecture], bundle="imagenet-w1.2")
    (narrow,) = nagsdk.predict(
        "note10", architectures=[load_bundle("imagenet").space.decode(code)[0]], bundle="imagenet"
    )
    assert result.predicted.top1 is None and result.predicted.extrapolated is None and narrow.predicted.top1 > 70
    assert result.macs > 1.2 * narrow.macs and result.predicted.latency_ms > narrow.predicted.latency_ms > 0
    for ask in (lambda: nagsdk.generate("note10", budget="60ms", bundle="imagenet-w1.2"), lambda: bundle.predictor):
        with pytest.raises(BundleError, match="Nothing is known about the accuracy"):
            ask()
    assert show_bundle("imagenet-w1.2")["predictor"] is None


def test_glyphs_brings_everything():
    bundle = load_bundle()
    assert bundle.name == "glyphs" and bundle.has_weights and len(bundle.labels) == bundle.space.classes
    test = bundle.test_set(32)
    assert test.inputs.shape[1:] == (3, 32, 32) and len(test.inputs) == len(test.labels) >= 2000
    assert set(test.labels.tolist()) == set(range(bundle.space.classes))


def test_recalibration_is_what_makes_a_subnet_work():
    bundle = load_bundle()
    space = bundle.space
    smallest = space.decode(np.where(space.sample(1, np.random.default_rng(0)) >= 0, 0, 0))[0]
    test = bundle.test_set(smallest.resolution)
    inputs, labels = torch.from_numpy(test.inputs[:500]), torch.from_numpy(test.labels[:500])
    images = bundle.recalibration_images(smallest.resolution)
    with torch.no_grad():
        good = (bundle.subnet(smallest)(inputs).argmax(1) == labels).float().mean()
        foreign = (bundle.subnet(smallest, images * 0.1)(inputs).argmax(1) == labels).float().mean()
    assert good > 0.8 and good > foreign + 0.1


def test_names_and_paths(copy, monkeypatch):
    assert load_bundle(copy).name == load_bundle(str(copy)).name == "glyphs"
    with pytest.raises(UnknownNameError, match="glyps"):
        load_bundle("glyps")
    with pytest.raises(UnknownNameError, match="has no bundle.json"):
        load_bundle(copy.parent)
    monkeypatch.chdir(copy.parent)
    (copy.parent / "photos").mkdir()
    for name, says in (
        ("./photos", "has no bundle.json"),
        ("photos", "no bundle named"),
        ("./flowers", "There is no folder"),
        ("flowers", "no bundle named"),
    ):
        with pytest.raises(UnknownNameError, match=says):
            load_bundle(name)


@pytest.mark.parametrize("name", [r"my\flowers", "./flowers"])
def test_paths_of_windows_are_paths(name, monkeypatch):
    monkeypatch.setattr(os, "sep", "\\")
    with pytest.raises(UnknownNameError, match="There is no folder"):
        load_bundle(name)


@pytest.mark.parametrize("damage", ["missing", "torn", "changed"])
@pytest.mark.parametrize(
    "file", ["supernet.safetensors", "predictor.safetensors", "test.webp", "test_labels.json", "labels.txt"]
)
def test_damaged_files_are_refused(copy, file, damage):
    path = copy / file
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if damage == "torn" else content[:-1] + bytes([content[-1] ^ 1]))
    bundle = load_bundle(copy)
    with pytest.raises(DamagedBundleError, match=file):
        _ = bundle.supernet, bundle.predictor, bundle.test_set(32), bundle.labels


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(format=2),
        lambda d: d.pop("space"),
        lambda d: d["space"].update(family="resnet"),
        lambda d: d["space"].update(stages=3),
        lambda d: d.update(name="../up"),
        lambda d: d.update(surprise=1),
        lambda d: d["files"].update({"x": {"sha256": "0", "bytes": 1}}),
    ],
)
def test_damaged_descriptions_are_refused(copy, change):
    description = json.loads((copy / "bundle.json").read_text())
    change(description)
    (copy / "bundle.json").write_text(json.dumps(description))
    with pytest.raises(DamagedBundleError) as caught:
        load_bundle(copy)
    assert caught.value.exit_code == 5 and caught.value.next_step


def test_a_description_cannot_reach_out_of_its_folder(copy):
    outside = copy.parent / "secret"
    outside.write_text("x")
    description = json.loads((copy / "bundle.json").read_text())
    description["images"]["test"]["file"] = "../secret"
    description["files"]["../secret"] = {
        "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        "bytes": 1,
    }
    (copy / "bundle.json").write_text(json.dumps(description))
    with pytest.raises(DamagedBundleError, match="does not have the form"):
        load_bundle(copy)


def test_imagenet_without_weights_names_the_ways_out():
    bundle = load_bundle("imagenet")
    with pytest.raises(WeightsMissingError) as caught:
        _ = bundle.supernet
    assert all(way in str(caught.value) for way in ("bundle pull imagenet", "--from FILE", "import-ofa"))
    with pytest.raises(ImagesMissingError, match="--images"):
        bundle.recalibration_images(224)


@pytest.fixture
def checkpoint(shared, tmp_path):
    import importlib.util

    folder = shared / "ofa_reference"
    spec = importlib.util.spec_from_file_location("fill", folder / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    path = tmp_path / "ofa.pth"
    torch.save({"state_dict": fill.state_dict(json.loads((folder / "keys.json").read_text()))}, path)
    return path


def test_imported_weights_are_checked_ever_after(checkpoint):
    bundle = load_bundle("imagenet")
    target = pull(bundle, checkpoint)
    assert load_bundle("imagenet").has_weights
    assert read_weights_record(bundle.weights_folder)["source"] == str(checkpoint)
    with pytest.warns(UserWarning, match="supernet's statistics"):
        subnet = load_bundle("imagenet").subnet(
            bundle.space.decode(bundle.space.sample(1, np.random.default_rng(0)))[0]
        )
    assert not subnet.training
    target.write_bytes(target.read_bytes()[:-1] + b"\0")
    with pytest.raises(DamagedBundleError, match="hash"):
        _ = load_bundle("imagenet").supernet


def test_line_ends_that_git_changed_are_told_as_such(tmp_path):
    folder = shutil.copytree(shipped("bundles") / "glyphs", tmp_path / "shapes")
    (folder / "labels.txt").write_bytes((folder / "labels.txt").read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(DamagedBundleError, match=r"labels\.txt differs only in line ends.*shapes/\*\* -text"):
        load_bundle(str(folder)).labels  # noqa: B018 — reading it checks it


def test_a_folder_does_not_take_the_place_of_a_shipped_bundle(copy, monkeypatch):
    text = json.loads((copy / "bundle.json").read_text()) | {"title": "Another one"}
    (copy / "bundle.json").write_text(json.dumps(text))
    monkeypatch.chdir(copy.parent)
    with pytest.warns(UserWarning, match=r"the folder of that name is \.[/\\]glyphs"):
        assert load_bundle("glyphs").is_shipped
    for name in (copy.name, f".{os.sep}{copy.name}"):
        found = load_bundle(Path(name) if name == copy.name else name)
        assert not found.is_shipped and found.description.title == "Another one" and found.name == "glyphs"
        assert found.argument == f".{os.sep}glyphs"
    copy.rename(copy.with_name("letters"))
    with pytest.raises(UnknownNameError) as caught:
        load_bundle("letters")
    assert caught.value.next_step.endswith(f".{os.sep}letters")
    assert load_bundle(f".{os.sep}letters").name == "glyphs"
    monkeypatch.chdir(shipped("bundles"))
    load_bundle("glyphs")  # the folder is the shipped bundle itself


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000, "./" + "x" * 5000, ".", "..", "/", "~", "glyphs/", "GLYPHS"])
def test_odd_names_are_unknown(name):
    with pytest.raises(UnknownNameError):
        load_bundle(name)
