import csv
import dataclasses

import numpy as np
import pytest
import torch

from nagsdk import families
from nagsdk.bundle.bundle import Bundle
from nagsdk.bundle.write import Facts, write_bundle
from nagsdk.errors import ArchitectureError, DamagedBundleError, UsageError
from nagsdk.families.family import Family
from nagsdk.graph.trace import trace
from nagsdk.images.batches import ArrayBatches
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.images.sheets import write_sheet
from nagsdk.space.space import extremes
from nagsdk.supernet.evaluate import measure
from nagsdk.supernet.initial import adopt, read_weights
from nagsdk.supernet.passes import passes, train_passes
from nagsdk.supernet.train import TrainAdvanced
from nagsdk.supernet.weights import half, save_supernet
from nagsdk.training.subnets import measure_subnets
from tests.families.toy import ToySpace

SPACE = ToySpace()
PLAIN = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


@pytest.fixture(scope="module")
def pictures():
    """160 small pictures, five classes, each with the colour of its class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 160)
    images = rng.integers(0, 80, (160, 24, 24, 3), dtype=np.uint8)
    colours = np.array([[170, 0, 0], [0, 170, 0], [0, 0, 170], [170, 170, 0], [0, 170, 170]], np.uint8)
    images[:, 6:18, 6:18] += colours[labels][:, None, None]
    return images, labels


def fresh(seed=1):
    supernet = SPACE.supernet()
    supernet.initialise(seed)
    return supernet


def test_the_layers_are_those_of_the_built_network_and_the_active_path_is_the_extracted_one():
    supernet = fresh().eval()
    for architecture in SPACE.decode(SPACE.sample(12, np.random.default_rng(0))):
        assert sum(p.numel() for p in SPACE.build(architecture).parameters()) == SPACE.parameters(architecture)
        images = torch.randn(2, 3, architecture.resolution, architecture.resolution)
        subnet = supernet.extract(architecture)
        with torch.no_grad():
            active = supernet(images, architecture.code)
            assert torch.allclose(subnet(images), active, atol=1e-5)
            subnet.fold()
            assert torch.allclose(subnet(images), active, atol=1e-5)
        assert trace(subnet, architecture.resolution).architecture == architecture.text


def test_weights_are_drawn_from_the_seed_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first = fresh(3)
    second = SPACE.supernet()
    second.initialise(3)
    assert all(torch.equal(first.state_dict()[name], tensor) for name, tensor in second.state_dict().items())
    assert not torch.equal(fresh(4).classifier.weight, first.classifier.weight)
    torch.manual_seed(0)
    first.initialise(5)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("recipe", ["sandwich", "shrinking"])
def test_a_family_from_outside_is_trained_measured_and_stored(pictures, tmp_path, recipe, monkeypatch):
    images, labels = pictures
    supernet, losses = fresh(), []
    rows = passes(recipe, SPACE, 90, 2e-2, 0, False, 10)
    assert len(rows) == (1 if recipe == "sandwich" else 3)

    def shown(resolution):
        return ArrayBatches(images, labels, 160, PLAIN)(0, resolution)

    train_passes(
        supernet,
        lambda row: ArrayBatches(images, labels, 32, PLAIN, row.seed),
        rows,
        lambda: [shown(24)[0]],
        lambda event: losses.append(event.loss_largest) if isinstance(event, TrainAdvanced) else None,
        tmp_path / "passes",
    )
    assert np.mean(losses[-5:]) < 0.7 * losses[0]

    ends = SPACE.decode(extremes(SPACE))
    assert measure(supernet, ends, lambda r: shown(r)[0], lambda r: [shown(r)]).min() > 50

    (tmp_path / "supernet.safetensors").write_bytes(half(supernet))
    for name in ("recalibration", "test"):
        write_sheet(images[:20, 4:20, 4:20], tmp_path / f"{name}.webp")
    (tmp_path / "test_labels.json").write_text(str(labels[:20].tolist()))
    files = [
        tmp_path / name for name in ("supernet.safetensors", "recalibration.webp", "test.webp", "test_labels.json")
    ]
    write_bundle(tmp_path / "toy", Facts("toy", "A toy", "none", {}), SPACE, PLAIN, list("abcde"), files, (16, 20, 20))
    with pytest.raises(DamagedBundleError, match="no family of networks named 'toy'") as caught:
        Bundle(tmp_path / "toy")
    assert (
        "Install the plugin that provides the family 'toy'" in caught.value.next_step
        and "mbv3" in caught.value.next_step
    )
    monkeypatch.setattr(families, "OWN", (*families.OWN, Family("toy", "A toy", "tests.families.toy:ToySpace")))
    bundle = Bundle(tmp_path / "toy")
    assert bundle.space == SPACE and bundle.space.fingerprint == SPACE.fingerprint
    (largest,) = bundle.space.decode(extremes(SPACE)[1])
    assert bundle.subnet(largest).architecture == largest


def test_measured_subnets_are_kept_in_the_table_of_the_space(tmp_path):
    def evaluate(given):
        return np.array([50 + 40 * SPACE.macs(a) / 1e6 for a in given])

    codes, top1 = measure_subnets(SPACE, evaluate, 50, tmp_path / "measured.csv")
    again, columns = SPACE.read_table(tmp_path / "measured.csv")
    assert (
        (again == codes).all() and (columns["top1"].astype(float) == top1).all() and len(np.unique(codes, axis=0)) == 50
    )


def test_weights_of_another_training_are_adopted_whatever_its_classes(tmp_path):
    source = ToySpace(classes=3).supernet()
    source.initialise(7)
    save_supernet(source, tmp_path / "s.safetensors")
    found, supernet = read_weights(tmp_path / "s.safetensors", SPACE), fresh()
    assert found.space == ToySpace(classes=3)
    adopt(supernet, found)
    assert torch.equal(supernet.stem.weight, source.stem.weight)
    assert not supernet.classifier.weight.any() and supernet.classifier.weight.shape == (5, 8)
    alike = fresh(8)
    adopt(supernet, alike)
    assert torch.equal(supernet.classifier.weight, alike.classifier.weight)


def test_a_family_without_released_checkpoints_says_so(tmp_path):
    (tmp_path / "c.pth").write_bytes(b"x")
    with pytest.raises(UsageError, match="family toy has no released checkpoints") as caught:
        read_weights(tmp_path / "c.pth", SPACE)
    assert "supernet.safetensors" in caught.value.next_step


def test_other_classes_change_nothing_else():
    assert SPACE.with_classes(9) == dataclasses.replace(SPACE, classes=9)
    assert SPACE.with_classes(5) == SPACE


def test_a_table_holds_text_forms_and_names_the_line_that_does_not(tmp_path):
    architectures = SPACE.decode(SPACE.sample(20, np.random.default_rng(0)))
    path = tmp_path / "a.csv"
    SPACE.write_table(path, architectures, top1=range(20), note=["x"] * 20)
    codes, columns = SPACE.read_table(path)
    assert (
        SPACE.decode(codes) == architectures
        and columns["top1"].tolist() == [str(i) for i in range(20)]
        and set(columns) == {"top1", "note"}
    )
    rows = list(csv.reader(path.open(newline="")))
    rows[3][0] = "toy:9,9"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(ArchitectureError, match="line 4: "):
        SPACE.read_table(path)
    path.write_text("ks,e\n1,2\n")
    with pytest.raises(ArchitectureError, match="architecture"):
        SPACE.read_table(path)
    path.write_text("architecture\n")
    assert SPACE.read_table(path)[0].shape == (0, len(SPACE.decisions))


@pytest.mark.parametrize(("changed", "says"), [({"depth": [1]}, "unknown fields: depth"), ({"classes": None}, None)])
def test_a_definition_has_the_fields_of_its_family(changed, says):
    definition = {**SPACE.to_dict(), **changed}
    if says is None:  # it has a default
        del definition["classes"]
        assert ToySpace.from_dict(definition) == SPACE
    else:
        with pytest.raises(ValueError, match=says):
            ToySpace.from_dict(definition)
