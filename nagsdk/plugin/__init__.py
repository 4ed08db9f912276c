"""Names for authors of plugins, and the host that loads plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nagsdk.common.lazy import lazy_names

if TYPE_CHECKING:
    from nagsdk.plugin.load import API_VERSION, GROUP, hookimpl
    from nagsdk.plugin.registry import Registry
    from nagsdk.plugin.units import read_budget

__all__ = ["API_VERSION", "GROUP", "Registry", "hookimpl", "read_budget"]

_MODULES = {"Registry": "nagsdk.plugin.registry", "read_budget": "nagsdk.plugin.units"}
if not TYPE_CHECKING:  # for a type checker a module with `__getattr__` has every name
    __getattr__, __dir__ = lazy_names(__name__, {name: _MODULES.get(name, "nagsdk.plugin.load") for name in __all__})
