"""The entry point: nagsdk loads this module whenever it looks for families, so it imports nothing heavy."""

from __future__ import annotations

from nagsdk.families.family import Family
from nagsdk.plugin import Registry, hookimpl

nagsdk_api = 1


@hookimpl
def nagsdk_register_spaces(registry: Registry[Family]) -> None:
    """Registers the family, and a space of it for `nagsdk train --space template_space`."""
    space = "nagsdk_template_space.space:TemplateSpace"
    registry.add(Family("template_space", "Plain convolutions in three stages", space, {"template_space": space}))
