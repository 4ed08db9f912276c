import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nagsdk.events import Finished, Started
from nagsdk.images.batches import ArrayBatches, Shown
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.networks.catalogue import NETWORKS
from nagsdk.supernet.train import TrainAdvanced
from nagsdk.training import baseline
from nagsdk.training.baseline import TrainingTime, record_of, reference_network, train_alone
from nagsdk.training.reference import ReferenceNetwork, macs_of

PLAIN = Preprocessing((0.5,) * 3, (0.25,) * 3, 1.0)


def test_the_reference_network_is_the_published_one():
    network = ReferenceNetwork(NETWORKS["mobilenet_v3_small"].build(), 1000)
    # Howard et al., 2019, say 2.5 million parameters and 56 million multiply-adds.
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(2.54e6, rel=0.01)
    layers = NETWORKS["mobilenet_v3_small"].build()
    assert macs_of(layers, 224) == sum(layer.macs for layer in layers) == pytest.approx(56e6, rel=0.05)
    assert macs_of(layers, 112) == pytest.approx(56e6 / 4, rel=0.2)


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


def test_a_network_is_trained_for_its_time_and_learns():
    labels = np.arange(64) % 2
    images = np.where(labels[:, None, None, None], 200, 50).astype(np.uint8) * np.ones((1, 32, 32, 3), np.uint8)
    network = reference_network(2, 0)
    batches = ArrayBatches(images, labels, 16, PLAIN)
    assert train_alone(network, batches, 32, 0.0, 1e-3, "Training") == 1
    assert train_alone(network, batches, 32, 2.0, 4e-3, "Training") > 1
    found = record_of("plain", 7, network, batches(0, 32)[0], Shown(images, labels, 32, PLAIN))
    assert found.top1 == 100 and found.top1_low > 90 and (found.name, found.macs) == ("plain", 7)


def test_the_time_of_training_is_added_up_over_runs(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(baseline, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    step = TrainAdvanced("step", 1, 1.0, 1.0, 50.0, 0.1)
    seen = []

    def run(gaps):
        watch = TrainingTime(tmp_path / "seconds.txt", seen.append)
        watch.listen(Started("training", 9))
        for gap in gaps:
            clock[0] += gap
            watch.listen(step)
        return watch

    assert run([50, 2, 3, 2]).seconds == 7  # the first step begins with loading
    watch = run([1, 4, 3600, 1])  # the machine slept
    assert watch.seconds == 12
    watch.listen(Finished("training"))
    assert run([1]).seconds == 12 and len(seen) == 13


def test_time_passes_in_the_real_clock(tmp_path):
    watch = TrainingTime(tmp_path / "seconds.txt", lambda event: None)
    for _ in range(2):
        watch.listen(TrainAdvanced("step", 1, 1.0, 1.0, 50.0, 0.1))
        time.sleep(0.01)
    assert watch.seconds > 0
