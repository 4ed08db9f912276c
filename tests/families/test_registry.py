import ast
import subprocess
import sys
from pathlib import Path

import pytest

from nagsdk import families
from nagsdk.errors import UnknownNameError
from nagsdk.families import preset, preset_names, space_from_dict
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3, small_mobilenet_v3
from nagsdk.testing.networks import small_space

ROOT = Path(families.__file__).parents[1]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_only_the_folder_of_a_family_imports_it():
    # In the folder `traced` lies what families are made from.
    folders = {path.parent for path in (ROOT / "families").glob("*/__init__.py")} - {ROOT / "families" / "traced"}
    assert len(folders) > 1
    for folder in folders:
        name = f"nagsdk.families.{folder.name}"
        others = [path for path in ROOT.rglob("*.py") if folder not in path.parents]
        assert [
            path for path in others if any(one == name or one.startswith(f"{name}.") for one in imported(path))
        ] == []


def test_spaces_are_found_by_the_names_of_their_families():
    for space in (ofa_mobilenet_v3(), small_mobilenet_v3(), small_space()):
        assert space_from_dict(space.to_dict()) == space
    assert families.DEFAULT_FAMILY in [family.id for family in families.OWN]
    with pytest.raises(UnknownNameError, match="no family of networks named 'ofaresnet'") as caught:
        space_from_dict({"family": "ofaresnet", "classes": 3})
    assert "Install the plugin that provides the family 'ofaresnet'" in caught.value.next_step
    for unnamed in ({}, {"family": None}, {"family": ["mbv3"]}):
        with pytest.raises(ValueError, match="does not name its family"):
            space_from_dict(unnamed)


def test_presets_are_made_by_name():
    assert preset_names() == [
        *("efficientnet-lite0", "mobilenetv3", "mobilenetv3-minimal", "proxyless", "small"),
        *("resnet50", "vit"),
    ]
    assert preset("mobilenetv3") == ofa_mobilenet_v3() and preset("small") == small_mobilenet_v3()
    with pytest.raises(UnknownNameError, match="no search space named 'smal'") as caught:
        preset("smal")
    assert "Did you mean small?" in caught.value.next_step


def test_a_space_is_opened_without_torch():
    """The layers of resnet50 are found by tracing, which needs torch."""
    script = (
        "import sys\nfrom nagsdk.families import preset, preset_names\n"
        "for name in set(preset_names()) - {'resnet50'}:\n"
        "    space = preset(name).with_classes(3); space.count(); space.shrinking()\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
