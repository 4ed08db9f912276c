"""The plugin host: all plugins of this process, and what they registered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING

import pluggy

from nagsdk import families
from nagsdk.budget import Units
from nagsdk.common.folders import shipped
from nagsdk.common.foreign_code import guarded
from nagsdk.common.moved import let_call
from nagsdk.cost.activations import Activations
from nagsdk.cost.metric import Metric
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device, read_device, unknown_device
from nagsdk.errors import DeviceError, UnknownNameError
from nagsdk.families import finished
from nagsdk.families.family import Family
from nagsdk.families.finished import FinishedNetwork
from nagsdk.generator.strategies import FEW, STRATEGIES, Enumeration, Nag
from nagsdk.generator.strategy import Strategy, WithOptions
from nagsdk.plugin.load import BROKEN, DISABLED, LOADED, Contribution, PluginStatus, hook_manager, load_installed
from nagsdk.plugin.registry import Registry

if TYPE_CHECKING:
    from nagsdk.bundle.bundle import Bundle

_RESOLVE_S = 30.0


def shipped_strategies() -> Registry[Strategy]:
    """The strategies of nagsdk itself."""
    registry = Registry("strategy", Strategy)  # type: ignore[type-abstract]
    for strategy in STRATEGIES:
        registry.add(strategy)
    return registry


def shipped_families() -> Registry[Family]:
    """The families of networks of nagsdk itself."""
    registry = Registry("family of networks", Family)
    for family in families.OWN:
        registry.add(family)
    return registry


def shipped_networks() -> Registry[FinishedNetwork]:
    """The finished networks that nagsdk itself knows."""
    registry = Registry("finished network", FinishedNetwork)
    for network in finished.OWN:
        registry.add(network)
    return registry


def shipped_metrics() -> Registry[Metric]:
    """The metrics of nagsdk itself that are computed from layers, as those of plugins are."""
    registry = Registry("metric", Metric)  # type: ignore[type-abstract]
    registry.add(Activations())
    return registry


@dataclass(frozen=True)
class Host:
    """All plugins and what they registered.

    Attributes:
        plugins: The status of each plugin.
        backends: The backends of plugins.
        devices: The shipped devices and those of plugins.
        strategies: The strategies of nagsdk itself and those of plugins.
        manager: Calls the hooks that do not register anything.
        metrics: The metrics of plugins, and the memory of activations; latency, size and MACs are apart.
        families: The families of networks of nagsdk itself and those of plugins.
        networks: The finished networks that nagsdk itself knows, and those of plugins.
    """

    plugins: tuple[PluginStatus, ...]
    backends: Registry[Backend]
    devices: Registry[Device]
    strategies: Registry[Strategy] = field(default_factory=shipped_strategies)
    manager: pluggy.PluginManager = field(default_factory=hook_manager)
    metrics: Registry[Metric] = field(default_factory=shipped_metrics)
    families: Registry[Family] = field(default_factory=shipped_families)
    networks: Registry[FinishedNetwork] = field(default_factory=shipped_networks)

    @property
    def units(self) -> Units:
        """The units of the metrics of plugins: for each metric's id, its units with their factors."""
        return {metric.id: metric.units for metric in self.metrics}

    def strategy(self, text: str, bundle: Bundle) -> Strategy:
        """The strategy with a name, maybe with options, such as ``gradient:form=gumbel``.

        A bundle without a generator whose space has few architectures needs none: all of them are compared instead.

        Raises:
            UnknownNameError: There is no such strategy.
            UsageError: It has no such option.
        """
        name, colon, options = text.partition(":")
        known = self.strategies.get(name)
        needless = isinstance(known, Nag) and bundle.generator_file is None and bundle.space.count() <= FEW
        chosen = Enumeration() if needless else known
        return WithOptions(chosen, options) if colon else chosen

    @property
    def missing(self) -> str:
        """Sentences that say which plugins are broken or disabled, and why; empty if all are loaded."""
        broken = [
            f"The plugin {p.name} is broken (see nagsdk plugins). {p.reason}" for p in self.plugins if p.state == BROKEN
        ]
        return " ".join(
            broken + [f"The plugin {p.name} is disabled ({p.reason})." for p in self.plugins if p.state == DISABLED]
        )

    def backend_of(self, device: Device) -> Backend:
        """The backend of a device.

        Raises:
            DeviceError: No loaded plugin provides it.
        """
        try:
            return self.backends.get(device.backend)
        except UnknownNameError as error:
            broken = "; ".join(f"{p.name}: {p.reason}" for p in self.plugins if p.state != LOADED)
            raise DeviceError(
                f"Device {device.id} needs the backend {device.backend!r}, which no plugin provides.",
                f"Install or fix its plugin (nagsdk plugins shows their state{': ' + broken if broken else ''}).",
            ) from error

    def package_of(self, backend: Backend) -> str:
        """The package of the plugin that registered a backend, with its version; empty if it is not known."""
        registered = f"backend {backend.id}"
        return next((plugin.distribution for plugin in self.plugins if registered in plugin.registered), "")

    def device(self, query: str) -> Device:
        """The device with an id or alias, or one that a plugin makes from the query (`nagsdk_resolve_device`).

        Raises:
            UnknownNameError: Neither nagsdk nor a plugin knows it.
            DeviceError: A plugin failed, and no other plugin knows the device.
        """
        if query in self.devices:
            return self.devices.get(query)
        failure: DeviceError | None = None
        plugins = self.manager.get_plugins()
        for name, plugin in self.manager.list_name_plugin():
            # Plugins are called one at a time, so that a failure can be attributed to its plugin.
            resolve = self.manager.subset_hook_caller("nagsdk_resolve_device", plugins - {plugin})
            try:
                found = guarded(partial(resolve, query=query), _RESOLVE_S, f"The plugin {name}")
            except DeviceError as error:
                failure = failure or error
                continue
            if isinstance(found, Device):
                return found
            if found is not None:
                failure = DeviceError(
                    f"The plugin {name} answered {type(found).__name__} to the device {query!r}.",
                    "Its nagsdk_resolve_device must return a Device or None.",
                )
        if failure is not None:
            raise failure
        raise unknown_device(query, (d.id for d in self.devices), self.devices.names, self.devices.note)


@cache
def installed() -> Host:
    """The installed plugins; they are loaded once per process."""
    return load_all()


# Plugins that were made from the template of 0.1.0 call `host()` after `from nagsdk.plugin import host` in their tests.
let_call(__name__, "host")
_CHOSEN: ContextVar[Host | None] = ContextVar("nagsdk_host", default=None)


def host() -> Host:
    """The plugins in use: those of the innermost `using`, else the installed ones."""
    return _CHOSEN.get() or installed()


@contextmanager
def using(chosen: Host) -> Iterator[Host]:
    """Uses other plugins than the installed ones, in this thread or task only.

    Args:
        chosen: The plugins that `host` returns meanwhile.
    """
    token = _CHOSEN.set(chosen)
    try:
        yield chosen
    finally:
        _CHOSEN.reset(token)


def load_all(*, again: bool = False) -> Host:
    """Loads every installed plugin.

    Args:
        again: Whether plugins that were checked in a subprocess before are checked there again.
    """
    manager = hook_manager()
    merged = Contribution(
        strategies=shipped_strategies(),
        metrics=shipped_metrics(),
        spaces=shipped_families(),
        networks=shipped_networks(),
    )
    for path in sorted(shipped("devices").glob("*.toml")):
        merged.devices.add(read_device(path))
    statuses = load_installed(manager, merged, again=again)
    loaded = Host(
        tuple(statuses),
        merged.backends,
        merged.devices,
        merged.strategies,
        manager,
        merged.metrics,
        merged.spaces,
        merged.networks,
    )
    for registry in merged.registries.values():
        registry.note = loaded.missing
    return loaded
