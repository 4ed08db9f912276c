"""Writes a new plugin from the template, which is a working plugin, by changing its name."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from nagsdk.common.folders import shipped
from nagsdk.common.outputs import Kind, check_replaceable, staged
from nagsdk.common.wording import command
from nagsdk.errors import OutputError, UsageError
from nagsdk.plugin.host import Host

# Folder of each template, and the words in it that become the name of the new plugin.
DEVICE, SPACE = "plugins/template", "plugins/template_space"
_NAME = re.compile(r"[a-z][a-z0-9]{0,30}")
_KINDS = (".py", ".toml", ".md")
# No earlier plugin is replaced, since its author has changed it.
_NEW = Kind("a plugin", lambda folder: ())


def write(name: str, folder: Path, host: Host, kind: str = DEVICE) -> dict[str, Any]:
    """Writes the plugin; see `nagsdk.inventory.new_plugin`.

    Args:
        name: Name of the plugin.
        folder: Folder to write it to.
        host: The plugins in use, whose names are taken.
        kind: `DEVICE` or `SPACE`.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a plugin.",
            "Use at most 31 lower-case letters and digits, starting with a letter: nagsdk plugins new board.",
        )
    for what, taken in (
        ("plugin", [p.name for p in host.plugins]),
        ("backend", host.backends.names),
        ("device", host.devices.names),
        ("family of networks", [family.id for family in host.families]),
        ("search space", [preset for family in host.families for preset in family.presets]),
    ):
        if name in taken:
            raise UsageError(f"There is already a {what} named {name!r}.", "Choose another name.")
    if os.path.lexists(folder):
        raise OutputError(f"{folder} already exists.", "Name another folder with --output.")
    check_replaceable(folder, _NEW)
    template = shipped(kind)
    files = sorted(f for f in template.rglob("*") if f.suffix in _KINDS and "__pycache__" not in f.parts)
    if not files:
        raise OutputError(f"The template is missing in {template}.", "Install nagsdk again.")
    with staged(folder, _NEW) as stage:
        for file in files:
            target = stage / _renamed(file.relative_to(template).as_posix(), name, kind)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_renamed(file.read_text("utf-8"), name, kind).encode())
    written = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
    steps = [
        command("cd", str(folder)),
        command("pip", "install", "--editable", ".[test]"),
        "pytest",
        *(
            [f"nagsdk deploy --device {name} --budget 0.3ms"]
            if kind == DEVICE
            else [
                f"nagsdk train images --space {name} --output bundle",
                "nagsdk deploy --bundle ./bundle --device cpu --budget 2ms",
            ]
        ),
    ]
    return {"name": name, "folder": str(folder), "files": written, "next": steps}


def _renamed(text: str, name: str, kind: str) -> str:
    for word in ("template-space", "template_space") if kind == SPACE else ("template",):
        text = text.replace(word, name)
    return text.replace("Template", name.capitalize())
