"""Finished networks that plugins bring."""

import sys
from importlib.metadata import EntryPoint

import pytest
import torch

from nagsdk.common.files import sha256
from nagsdk.errors import UnknownNameError, WeightsMissingError
from nagsdk.families import finished_names, finished_network, preset
from nagsdk.families.finished import OWN
from nagsdk.families.zoo.space import ZooSpace
from nagsdk.plugin import host as plugin
from nagsdk.plugin import load
from nagsdk.space.space import extremes
from tests.families.mobilenet_v3.test_mapping import POINT, efficientnet, renamed, trained

PLUGIN = """
from dataclasses import replace
from nagsdk.families.finished import OWN, FinishedNetwork
from nagsdk.plugin import hookimpl

nagsdk_api = 1
LITE = OWN[0]

@hookimpl
def nagsdk_register_networks(registry):
    registry.add({network})
"""


def point():
    """The space of a plugin's network."""
    return POINT


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs plugins that bring finished networks."""
    points = []

    def install(name, network):
        module = f"network_{name}"
        (tmp_path / f"{module}.py").write_text(PLUGIN.format(network=network))
        points.append(EntryPoint(name, module, load.GROUP))

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(load, "entry_points", lambda group: points)
    plugin.installed.cache_clear()
    yield install
    plugin.installed.cache_clear()
    for name in [m for m in sys.modules if m.startswith("network_")]:
        del sys.modules[name]


def test_a_network_of_a_plugin_is_a_start_and_a_part_of_a_bundle(installed, tmp_path, monkeypatch):
    network, images, expected = trained()
    torch.save(renamed(network, efficientnet), tmp_path / "weights.pth")
    (tmp_path / "my_nets-1.0.dist-info").mkdir()
    (tmp_path / "my_nets-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: my-nets\nVersion: 1.0\n")
    (architecture,) = POINT.decode(extremes(POINT)[1:])
    facts = f"sha256='{sha256(tmp_path / 'weights.pth')}', architecture='{architecture.text}', package='my-nets'"
    place = f"space='{__name__}:point'"
    installed("nets", f"replace(LITE, id='my-net', file='weights.pth', extra='', {facts}, {place})")
    assert finished_names() == [*(own.id for own in OWN), "my-net"]
    found = finished_network("my-net")
    assert found.supernet(POINT).notes and found.is_installed
    space = ZooSpace(("my-net",), (32,), 5)
    (chosen,) = space.decode([[0, 0]])
    with torch.no_grad():
        torch.testing.assert_close(space.packaged().extract(chosen)(images), expected, atol=1e-4, rtol=1e-4)
    (status,) = plugin.host().plugins
    assert status.registered == ("finished network my-net",)


def test_a_package_that_is_not_there_is_named(installed):
    installed("absent", "replace(LITE, id='absent', package='no-such-package', extra='')")
    with pytest.raises(WeightsMissingError, match="no-such-package") as caught:
        finished_network("absent").supernet(preset("small"))
    assert "pip install no-such-package" in caught.value.next_step


ODD = {
    "number": ("42", "registered int as a finished network"),
    "taken": ("LITE", "Two plugins register the finished network 'efficientnet-lite0'"),
    "outside": ("replace(LITE, id='a', file='../../etc/passwd')", "lies within its package"),
    "root": ("replace(LITE, id='b', file='/etc/passwd')", "lies within its package"),
    "hash": ("replace(LITE, id='c', sha256='123')", "whose sha256 is one"),
    "place": ("replace(LITE, id='d', space='os')", "package.module:name"),
    "mean": ("replace(LITE, id='e', mean=(0.5, 0.5))", "three numbers"),
    "top1": ("replace(LITE, id='f', top1=751.0)", "from 0.0 to 100.0"),
    "text": ("replace(LITE, id='g', licence=3)", "licence is a text"),
}


def test_descriptions_that_cannot_be_used_break_their_plugin_only(installed):
    for name, (network, _) in ODD.items():
        installed(name, network)
    states = {status.name: status for status in plugin.host().plugins}
    assert {name: says in states[name].reason for name, (_, says) in ODD.items()} == dict.fromkeys(ODD, True), states
    with pytest.raises(UnknownNameError):
        finished_network("a")
