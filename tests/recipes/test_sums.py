import sys
from pathlib import Path

import pytest

import nagsdk.bundle.bundle
import nagsdk.device.description
from nagsdk.bundle.bundle import Bundle
from nagsdk.bundle.description import Description
from nagsdk.bundle.names import bundle_names
from nagsdk.common.folders import SUMS, is_shipped, shipped
from nagsdk.device.description import read_device
from nagsdk.errors import DamagedBundleError, DeviceError

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))

from sums import KINDS, sums

DEVICES = sorted(shipped("devices").glob("*.toml"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_lists_are_up_to_date(kind):
    assert (shipped(kind) / SUMS).read_text("utf-8") == sums(kind), "run: python recipes/sums.py"
    assert len(sums(kind).splitlines()) == {"bundles": len(bundle_names()), "devices": len(DEVICES)}[kind]


@pytest.mark.parametrize("path", DEVICES, ids=lambda path: path.stem)
def test_a_shipped_device_is_the_same_with_and_without_validation(path, monkeypatch):
    assert is_shipped("devices", path.read_bytes())
    trusted = read_device(path)
    monkeypatch.setattr(nagsdk.device.description, "is_shipped", lambda *_: False)
    assert read_device(path) == trusted


@pytest.mark.parametrize("name", bundle_names())
def test_a_shipped_bundle_is_the_same_with_and_without_validation(name, monkeypatch):
    folder = shipped("bundles") / name
    text = (folder / "bundle.json").read_bytes()
    assert is_shipped("bundles", text)
    trusted = Bundle(folder)
    assert trusted.description == Description.model_validate_json(text, strict=True)
    monkeypatch.setattr(nagsdk.bundle.bundle, "is_shipped", lambda *_: False)
    checked = Bundle(folder)
    assert (
        checked.description == trusted.description
        and checked.space == trusted.space
        and checked.name == trusted.name == name
    )


def test_whatever_differs_in_one_byte_is_validated(tmp_path):
    device = tmp_path / "cpu.toml"
    device.write_bytes((shipped("devices") / "cpu.toml").read_bytes().replace(b"threads = 1", b"threads = []"))
    with pytest.raises(DeviceError, match="threads"):
        read_device(device)
    text = (shipped("bundles") / "imagenet/bundle.json").read_bytes()
    assert not is_shipped("bundles", text + b"\n") and not is_shipped("devices", text)
    (tmp_path / "bundle.json").write_bytes(text.replace(b'"version": "', b'"colour": "red", "version": "', 1))
    with pytest.raises(DamagedBundleError, match="colour"):
        Bundle(tmp_path)
