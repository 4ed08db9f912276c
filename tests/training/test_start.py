"""The supernet before the first step of a training."""

import numpy as np
import pytest
import torch

from nagsdk.images.batches import prepare
from nagsdk.images.decoded import Labelled
from nagsdk.supernet.evaluate import top1
from nagsdk.supernet.recalibrate import teacher_of
from nagsdk.training import start
from tests.supernet import two


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
