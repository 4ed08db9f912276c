"""A linear classifier on frozen features."""

import numpy as np
import pytest
import torch

from nagsdk.space.space import extremes
from nagsdk.supernet.linear import features_of, fit_classifier, put_classifier, reader_of
from nagsdk.supernet.recalibrate import teacher_of
from tests.conftest import TINY
from tests.families.toy import ToySpace


@pytest.mark.parametrize("space", [TINY, ToySpace()], ids=["elastic", "other"])
def test_features_are_what_the_classifier_reads_in_any_family(space):
    supernet = space.supernet()
    supernet.initialise(1)
    side = max(space.resolutions)
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 3, side, side)).astype(np.float32))
    features = features_of(reader_of(supernet, space, images), [images[:30], images[30:]])
    labels = torch.arange(40) % space.classes
    weight, bias = fit_classifier(features, labels, space.classes)
    assert weight.shape == (space.classes, features.shape[1])
    before = {name: p.clone() for name, p in supernet.named_parameters() if name not in supernet.class_tensors}
    put_classifier(supernet, weight, bias)
    logits = teacher_of(supernet, images)(images)
    assert torch.allclose(logits, features @ weight.T + bias, atol=1e-3)
    assert all(torch.equal(p, before[name]) for name, p in supernet.named_parameters() if name in before)
    assert space.decode(extremes(space))[1].resolution == side


def test_classes_that_can_be_told_apart_are_and_features_that_never_change_do_no_harm():
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 4, 200))
    features = torch.from_numpy(rng.normal(size=(200, 30)).astype(np.float32))
    features[torch.arange(200), labels] += 4
    features[:, 20:] = 7.0
    features *= torch.from_numpy(10.0 ** rng.uniform(-3, 3, 30)).float()
    weight, bias = fit_classifier(features[:100], labels[:100], 4)
    right = ((features[100:] @ weight.T + bias).argmax(1) == labels[100:]).float().mean()
    assert right > 0.9 and torch.isfinite(weight).all()
