"""The entry point of the plugin: registers the searches."""

from __future__ import annotations

from nagsdk.generator.strategy import Strategy
from nagsdk.plugin import Registry, hookimpl

nagsdk_api = 1


@hookimpl
def nagsdk_register_strategies(registry: Registry[Strategy]) -> None:
    """Registers all searches."""
    from nagsdk_searches.catalogue import searches

    for search in searches():
        registry.add(search)
