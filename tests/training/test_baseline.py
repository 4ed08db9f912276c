import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nagsdk.images.batches import ArrayBatches, Shown
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.networks.catalogue import NETWORKS
from nagsdk.space.architecture import MOST_TEXT
from nagsdk.supernet.evaluate import wilson
from nagsdk.training import baseline
from nagsdk.training.baseline import network_record, record_of, reference_network, train_alone
from nagsdk.training.reference import ReferenceNetwork, macs_of

PLAIN = Preprocessing((0.5,) * 3, (0.25,) * 3, 1.0)


def test_the_reference_network_is_the_published_one():
    network = ReferenceNetwork(NETWORKS["mobilenet_v3_small"].build(), 1000)
    # Howard et al., 2019, say 2.5 million parameters and 56 million multiply-adds.
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(2.54e6, rel=0.01)
    layers = NETWORKS["mobilenet_v3_small"].build()
    assert macs_of(layers, 224) == sum(layer.macs for layer in layers) == pytest.approx(56e6, rel=0.05)
    assert 56e6 / 4 < macs_of(layers, 112) < 1.25 * 56e6 / 4  # its last size is 4 and not 3.5


@pytest.mark.parametrize("side", [32, 48, 224])
def test_it_takes_images_of_any_size_and_adds_what_a_block_began_with(side):
    network = reference_network(5, 0).eval()
    images = torch.randn(2, 3, side, side)
    began, added = [], []
    for spec, layer in zip(network.specs, network.layers, strict=True):
        layer.register_forward_hook(lambda m, given, out, spec=spec: began.append((spec, given[0], out)))
    assert network(images).shape == (2, 5)
    added = [spec for spec in network.specs if spec.kind == "add"]
    # The layer after a sum gets the output of the projection plus that of the block before.
    ran = [spec for spec, _, _ in began]
    for spec in added:
        after = network.specs[network.specs.index(spec) + 1]
        place = ran.index(after)
        before = next(
            g for s, g, _ in began[:place][::-1] if s.kind == "pointwise" and s.in_channels == spec.out_channels
        )
        torch.testing.assert_close(began[place][1] - began[place - 1][2], before)


def test_a_network_is_trained_for_its_time_and_learns(monkeypatch):
    clock = itertools.count(0.0, 0.01)
    monkeypatch.setattr(baseline, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    labels = np.arange(64) % 2
    images = np.random.default_rng(0).integers(0, 100, (64, 32, 32, 3)) + 150 * labels[:, None, None, None]
    batches = ArrayBatches(images.astype(np.uint8), labels, 16, PLAIN)
    network = reference_network(2, 0)
    assert train_alone(network, batches, 32, 0.0, 1e-3, "Training") == 1
    shown, classes = batches(0, 32)

    def loss():
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(network.train()(shown), classes))

    before = loss()
    assert train_alone(network, batches, 32, 0.3, 1e-3, "Training") == 30
    assert loss() < 0.7 * before


class Bright(torch.nn.Module):
    """Tells bright images from dark ones."""

    def forward(self, images):
        bright = images.mean((1, 2, 3))
        return torch.stack([-bright, bright], 1)


def test_the_record_of_a_network_has_a_text_form_of_any_family():
    longest = "x" * MOST_TEXT
    assert network_record(longest, 7, 0.5, 10).name == longest


def test_the_record_of_a_network_has_its_interval():
    labels = np.array([0, 1, 1, 1])
    images = np.repeat(np.array([50, 200, 200, 50], np.uint8), 8 * 8 * 3).reshape(4, 8, 8, 3)
    found = record_of("plain", 7, Bright(), torch.zeros(1, 3, 8, 8), Shown(images, labels, 8, PLAIN))
    low, high = wilson(0.75, 4)
    assert (found.name, found.macs, found.top1) == ("plain", 7, 75)
    assert (found.top1_low, found.top1_high) == (100 * low, 100 * high)
