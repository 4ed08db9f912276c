import sys
from importlib.metadata import EntryPoint

import pytest

from nagsdk import plugin
from nagsdk.device.backend import Backend
from nagsdk.errors import DeviceError, UnknownNameError

WORKING = """
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.plugin import hookimpl

class Mine(Backend):
    id, title, suffix = "{id}", "Mine", ".bin"
    def presence(self, device): ...
    def export(self, graph, path, device, images=None): ...
    def open(self, device): ...

@hookimpl
def nagsdk_register_backends(registry):
    registry.add(Mine())

@hookimpl
def nagsdk_register_devices(registry):
    registry.add(Device("{id}-board", "A board", "{id}", ("{id}-alias",)))
"""
BROKEN = {
    "raises": "raise RuntimeError('no driver')",
    "lacks": "import a_module_that_is_not_there",
    "garbage": "from nagsdk.plugin import hookimpl\n@hookimpl\ndef nagsdk_register_backends(registry): registry.add('a string')",
    "late": "from nagsdk.plugin import hookimpl\n@hookimpl\ndef nagsdk_register_devices(registry): 1 / 0",
    "twice": WORKING.format(id="first"),
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs plugins as modules behind entry points."""
    points = []

    def install(name, source):
        (tmp_path / f"plugin_{name}.py").write_text(source)
        points.append(EntryPoint(name, f"plugin_{name}", plugin.GROUP))

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugin, "entry_points", lambda group: points)
    plugin.host.cache_clear()
    yield install
    plugin.host.cache_clear()
    for name in [m for m in sys.modules if m.startswith("plugin_")]:
        del sys.modules[name]


def test_a_broken_plugin_breaks_no_other(installed):
    installed("a", WORKING.format(id="first"))
    for name, source in BROKEN.items():
        installed(name, source)
    installed("z", WORKING.format(id="last"))
    loaded = plugin.host()
    states = {p.name: p for p in loaded.plugins}
    assert states["a"].state == states["z"].state == "loaded"
    assert all(states[name].state == "broken" and states[name].reason for name in BROKEN)
    assert "no driver" in states["raises"].reason and "Two plugins" in states["twice"].reason
    assert {b.id for b in loaded.backends} == {"first", "last"}
    assert loaded.backend_of(loaded.devices.get("last-alias")).id == "last"


def test_plugins_can_be_disabled(installed, monkeypatch):
    installed("a", WORKING.format(id="first"))
    monkeypatch.setenv("NAGSDK_DISABLE_PLUGINS", "a, other")
    (status,) = plugin.host().plugins
    assert status.state == "disabled"
    with pytest.raises(UnknownNameError):
        plugin.host().backends.get("first")


def test_a_device_without_its_backend_names_the_broken_plugin(installed):
    installed("a", WORKING.format(id="first").replace("registry.add(Mine())", "raise RuntimeError('no driver')"))
    installed("b", WORKING.format(id="first").replace("registry.add(Mine())", "pass"))
    loaded = plugin.host()
    with pytest.raises(DeviceError) as caught:
        loaded.backend_of(loaded.devices.get("first-board"))
    assert "no driver" in str(caught.value)


STRATEGY = """
from nagsdk.generator.strategy import Strategy
from nagsdk.plugin import hookimpl

class Cheapest(Strategy):
    id, title = "{id}", "Always the cheapest"
    def propose(self, question):
        return question.reserves[:, None]

@hookimpl
def nagsdk_register_strategies(registry):
    registry.add(Cheapest())
"""


def test_strategies_come_from_plugins_too(installed):
    installed("a", STRATEGY.format(id="cheapest"))
    installed("b", STRATEGY.format(id="nag"))
    loaded = plugin.host()
    assert {s.id for s in loaded.strategies} == {"nag", "lookup", "polished", "nsga2", "evolution", "random", "cheapest"}
    assert [p.state for p in loaded.plugins] == ["loaded", "broken"] and "Two plugins" in loaded.plugins[1].reason
    assert type(loaded.strategies.get("nag")).__module__ == "nagsdk.generator.searches"


def test_unknown_names_get_near_ones(installed):
    installed("a", WORKING.format(id="raspberry"))
    with pytest.raises(UnknownNameError) as caught:
        plugin.host().devices.get("rasberry-board")
    assert "Did you mean raspberry-board" in str(caught.value) and caught.value.exit_code == 2


def test_registries_hold_what_they_say():
    registry = plugin.Registry("backend", Backend)
    with pytest.raises(DeviceError, match="int as a backend"):
        registry.add(3)
