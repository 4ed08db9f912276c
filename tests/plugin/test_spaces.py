import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from nagsdk.bundle.bundle import Bundle
from nagsdk.errors import DamagedBundleError, DeviceError, UnknownNameError, UsageError
from nagsdk.families import preset, preset_names, space_from_dict
from nagsdk.families.family import Family
from nagsdk.plugin import host as plugin
from nagsdk.plugin import load
from nagsdk.training.plan import space_of
from tests.families.coupled import WaistSpace
from tests.families.stored import stored

PLUGIN = """
from nagsdk.families.family import Family
from nagsdk.plugin import hookimpl

nagsdk_api = 1

@hookimpl
def nagsdk_register_spaces(registry):
    registry.add({family})
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs plugins that bring families."""
    points = []

    def install(name, family=None, module=None):
        if module is None:
            module = f"family_{name}"
            (tmp_path / f"{module}.py").write_text(PLUGIN.format(family=family))
        points.append(EntryPoint(name, module, load.GROUP))

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(load, "entry_points", lambda group: points)
    plugin.installed.cache_clear()
    yield install
    plugin.installed.cache_clear()
    for name in [m for m in sys.modules if m.startswith("family_")]:
        del sys.modules[name]


def test_a_family_of_a_plugin_is_found_by_its_name(installed):
    installed("waists", module="tests.families.coupled")
    space = WaistSpace(classes=7)
    assert space_from_dict(space.to_dict()) == space
    assert preset_names()[-1] == "waists" and len(preset_names()) > 3 and preset("waists") == WaistSpace()
    assert space_of("waists", 3) == WaistSpace(classes=3)
    (status,) = plugin.host().plugins
    assert status.registered == ("family of networks waists",)


def test_a_bundle_of_an_absent_family_says_which_plugin_to_install(installed, tmp_path):
    folder = stored(WaistSpace(), tmp_path / "bundle")
    with pytest.raises(DamagedBundleError, match="no family of networks named 'waists'") as caught:
        Bundle(folder)
    assert "Install the plugin that provides the family 'waists'" in caught.value.next_step
    installed("waists", module="tests.families.coupled")
    plugin.installed.cache_clear()
    bundle = Bundle(folder)
    assert bundle.space == WaistSpace()
    codes = bundle.space.sample(5, np.random.default_rng(0))
    assert [bundle.space.parse(a.text).code for a in bundle.space.decode(codes)] == [tuple(c) for c in codes.tolist()]


def test_a_broken_plugin_is_named_where_its_family_is_missing(installed):
    installed("waists", "1 / 0")
    with pytest.raises(UnknownNameError, match="waists") as caught:
        space_from_dict(WaistSpace().to_dict())
    assert "The plugin waists is broken" in caught.value.next_step
    with pytest.raises(UnknownNameError, match="waists") as caught:
        preset("waists")
    assert "The plugin waists is broken" in caught.value.next_step


ODD = {
    "number": ("42", "registered int as a family of networks"),
    "name": ("Family('Waists!', '', 'a:b')", "cannot be the id"),
    "taken": ("Family('mbv3', '', 'a:b')", "Two plugins register the family of networks 'mbv3'"),
    "preset": ("Family('other', '', 'a:b', {'small': 'a:b'})", "the search space 'small', which exists already"),
    "place": ("Family('other', '', 'os')", "package.module:name"),
    "value": ("Family('other', '', 'a:b', {'x': 3})", "texts"),
    "list": ("Family('other', '', 'a:b', ['x'])", "presets are a mapping"),
}


def test_descriptions_that_cannot_be_used_break_their_plugin_only(installed):
    for name, (family, _) in ODD.items():
        installed(name, family)
    installed("waists", module="tests.families.coupled")
    states = {status.name: status for status in plugin.host().plugins}
    assert {name: says in states[name].reason for name, (_, says) in ODD.items()} == dict.fromkeys(ODD, True), states
    assert states["waists"].state == "loaded" and preset("waists") == WaistSpace()


@pytest.mark.parametrize("where", ["nowhere.at:All", "json:loads", "tests.families.toy:ToySpace"])
def test_code_that_is_missing_or_of_another_family_is_an_error_of_the_family(where):
    family = Family("waists", "Chains", where, {"waists": where})
    with pytest.raises(DeviceError, match="waists"):
        family.rebuilt(WaistSpace().to_dict())
    with pytest.raises(DeviceError, match="waists"):
        family.preset("waists")


def test_a_space_whose_decisions_depend_on_too_much_is_refused_when_it_is_opened(installed):
    installed("waists", module="tests.families.coupled")
    wide = {**WaistSpace().to_dict(), "widths": list(range(4, 9000))}
    with pytest.raises(UsageError, match="depends on width0"):
        space_from_dict(wide)
