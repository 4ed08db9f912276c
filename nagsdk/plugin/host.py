"""The plugin host: entry points are loaded one by one, so that a broken one breaks no other."""

from __future__ import annotations

import difflib
import inspect
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any

import pluggy

from nagsdk.budget import Units
from nagsdk.common import config
from nagsdk.common.folders import shipped
from nagsdk.common.foreign_code import LateError, guarded
from nagsdk.common.moved import let_call
from nagsdk.cost.metric import Metric
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device, read_device
from nagsdk.errors import DeviceError, NagsdkError, UnknownNameError
from nagsdk.generator.strategies import STRATEGIES
from nagsdk.generator.strategy import Strategy
from nagsdk.plugin import hooks as hookspecs
from nagsdk.plugin.first_look import first_look, remember
from nagsdk.plugin.metrics import check_metric, check_units
from nagsdk.plugin.registry import Registry

__all__ = ["API_VERSION", "GROUP", "Contribution", "Host", "PluginStatus", "Registry", "hookimpl", "host", "load"]

GROUP = "nagsdk"
# Counted up when a plugin written for the version before would no longer work.
API_VERSION = 1
LOADED, DISABLED, BROKEN = "loaded", "disabled", "broken"
hookimpl = pluggy.HookimplMarker("nagsdk")
_OWN = "nagsdk"
_RESOLVE_S = 30.0


@dataclass(frozen=True)
class PluginStatus:
    """What became of one entry point.

    Attributes:
        name: Of the entry point.
        module: What it loads.
        distribution: The package that brings it, with its version.
        state: ``loaded``, ``disabled`` or ``broken``.
        reason: Why it is not loaded, or what is odd about it.
        registered: What it brought, such as ``backend board``.
        seconds: What loading it took.
    """

    name: str
    module: str
    distribution: str
    state: str
    reason: str = ""
    registered: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Contribution:
    """What one plugin, or all of them, hand over; each hook fills the registry that is named like it."""

    backends: Registry[Backend] = field(default_factory=lambda: Registry("backend", Backend))  # type: ignore[type-abstract]
    devices: Registry[Device] = field(default_factory=lambda: Registry("device", Device))
    strategies: Registry[Strategy] = field(default_factory=lambda: Registry("strategy", Strategy))  # type: ignore[type-abstract]
    metrics: Registry[Metric] = field(default_factory=lambda: Registry("metric", Metric))  # type: ignore[type-abstract]

    @property
    def registries(self) -> dict[str, Registry[Any]]:
        """The registries by the hook that fills each."""
        return {f"nagsdk_register_{name}": registry for name, registry in vars(self).items()}

    def merge(self, other: Contribution) -> None:
        """Takes over everything of a plugin, or nothing.

        Raises:
            DeviceError: Something is registered already.
            BudgetError: See `nagsdk.plugin.metrics.check_units`.
        """
        pairs = list(zip(self.registries.values(), other.registries.values(), strict=True))
        for own, new in pairs:
            for item in new:
                own.check(item)
        metrics = [*self.metrics]
        for metric in other.metrics:
            check_units(metric, metrics)
            metrics.append(metric)
        for own, new in pairs:
            for item in new:
                own.add(item)


@dataclass(frozen=True)
class Loaded:
    """A plugin that registered without complaint."""

    plugin: Any
    contribution: Contribution
    printed: str


def shipped_strategies() -> Registry[Strategy]:
    """The strategies that come with nagsdk."""
    registry = Registry("strategy", Strategy)  # type: ignore[type-abstract]
    for strategy in STRATEGIES:
        registry.add(strategy)
    return registry


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("nagsdk")
    manager.add_hookspecs(hookspecs)
    return manager


@dataclass(frozen=True)
class Host:
    """All plugins and what they registered.

    Attributes:
        plugins: What became of each.
        backends: By id.
        devices: Those that are shipped and those of plugins.
        strategies: Those that come with nagsdk and those of plugins.
        manager: Calls the other hooks.
        metrics: Those of plugins; latency, size and MACs are the core's own.
    """

    plugins: tuple[PluginStatus, ...]
    backends: Registry[Backend]
    devices: Registry[Device]
    strategies: Registry[Strategy] = field(default_factory=shipped_strategies)
    manager: pluggy.PluginManager = field(default_factory=_manager)
    metrics: Registry[Metric] = field(default_factory=lambda: Registry("metric", Metric))  # type: ignore[type-abstract]

    @property
    def units(self) -> Units:
        """The units in which budgets limit the metrics of plugins: by id of the metric, the factor of each."""
        return {metric.id: metric.units for metric in self.metrics}

    @property
    def missing(self) -> str:
        """Which plugins are broken or disabled, and why, as sentences for messages; empty where none is."""
        broken = [
            f"The plugin {p.name} is broken (see nagsdk plugins). {p.reason}" for p in self.plugins if p.state == BROKEN
        ]
        return " ".join(
            broken + [f"The plugin {p.name} is disabled ({p.reason})." for p in self.plugins if p.state == DISABLED]
        )

    def backend_of(self, device: Device) -> Backend:
        """The backend that reaches a device.

        Raises:
            DeviceError: No loaded plugin provides it.
        """
        try:
            return self.backends.get(device.backend)
        except UnknownNameError as error:
            broken = "; ".join(f"{p.name}: {p.reason}" for p in self.plugins if p.state != LOADED)
            raise DeviceError(
                f"Device {device.id} needs the backend {device.backend!r}, which no plugin provides.",
                f"Install or mend its plugin (nagsdk plugins shows their state{': ' + broken if broken else ''}).",
            ) from error

    def device(self, query: str) -> Device:
        """The device of an id, an alias, or of whatever else a plugin understands (`nagsdk_resolve_device`).

        Raises:
            UnknownNameError: Nobody knows it.
            DeviceError: A plugin fails over it.
        """
        if query in self.devices:
            return self.devices.get(query)
        complaint: DeviceError | None = None
        plugins = self.manager.get_plugins()
        for name, plugin in self.manager.list_name_plugin():
            # One plugin at a time, so that its failure is known to be its own.
            resolve = self.manager.subset_hook_caller("nagsdk_resolve_device", plugins - {plugin})
            try:
                found = guarded(partial(resolve, query=query), _RESOLVE_S, f"The plugin {name}").value
            except DeviceError as error:
                complaint = complaint or error
                continue
            if isinstance(found, Device):
                return found
            if found is not None:
                complaint = DeviceError(
                    f"The plugin {name} answered {type(found).__name__} to the device {query!r}.",
                    "Its nagsdk_resolve_device must return a Device or None.",
                )
        if complaint is not None:
            raise complaint
        return self.devices.get(query)


@cache
def installed() -> Host:
    """The plugins that are installed here; loaded once per process."""
    return load_all()


# `from nagsdk.plugin import host; host()` stands in the tests of plugins that were made from the template of 0.1.0.
let_call(__name__, "host")
_CHOSEN: ContextVar[Host | None] = ContextVar("nagsdk_host", default=None)


def host() -> Host:
    """The plugins in use: those of the innermost `using`, else those that are installed."""
    return _CHOSEN.get() or installed()


@contextmanager
def using(chosen: Host) -> Iterator[Host]:
    """Uses other plugins than those that are installed, in this thread or task only.

    Args:
        chosen: What `host` returns meanwhile.
    """
    token = _CHOSEN.set(chosen)
    try:
        yield chosen
    finally:
        _CHOSEN.reset(token)


def load_all(*, again: bool = False) -> Host:
    """Loads every plugin.

    Args:
        again: Takes a first look also at plugins that are known to be safe or not.
    """
    manager = _manager()
    merged = Contribution(strategies=shipped_strategies())
    for path in sorted(shipped("devices").glob("*.toml")):
        merged.devices.add(read_device(path))
    seconds: float = config.value("plugin_timeout_s")
    disabled = config.look_up("disable_plugins")
    points = sorted(entry_points(group=GROUP), key=lambda p: (not _ours(p), p.name))
    foreign = [p for p in points if p.dist is not None and not _ours(p) and p.name not in disabled.value]
    unsafe = first_look(foreign, seconds, again=again) if foreign else {}
    statuses = []
    for point in points:
        if point.name in disabled.value:
            statuses.append(_status(point, DISABLED, f"named in {disabled.where}"))
        elif point in unsafe:
            mend = "Mend or remove it, or name it in NAGSDK_DISABLE_PLUGINS; `nagsdk plugins doctor` tries it again."
            statuses.append(_status(point, BROKEN, f"{unsafe[point]} {mend}"))
        else:
            statuses.append(_take(point, seconds, manager, merged))
    absent = f"named in {disabled.where}, but no plugin that is installed has this name"
    statuses += [
        PluginStatus(name, "-", "-", DISABLED, absent)
        for name in set(disabled.value) - {point.name for point in points}
    ]
    loaded = Host(
        tuple(sorted(statuses, key=lambda s: s.name)),
        merged.backends,
        merged.devices,
        merged.strategies,
        manager,
        merged.metrics,
    )
    for registry in merged.registries.values():
        registry.note = loaded.missing
    return loaded


def load(point: EntryPoint, seconds: float) -> Loaded:
    """Imports a plugin and lets it register, apart from all others.

    Raises:
        LateError: It takes longer.
        DeviceError: It raises, was written for another version of the plugin API, or registers what it must not.
    """
    contribution = Contribution()

    def register() -> Any:
        plugin = point.load()
        _check(plugin)
        manager = _manager()
        manager.register(plugin, point.name)
        for hook, registry in contribution.registries.items():
            getattr(manager.hook, hook)(registry=registry)
        for metric in contribution.metrics:
            check_metric(metric)
        return plugin

    answer = guarded(register, seconds, "It")
    return Loaded(answer.value, contribution, answer.printed)


def _take(point: EntryPoint, seconds: float, manager: pluggy.PluginManager, merged: Contribution) -> PluginStatus:
    """Loads one plugin and takes over what it registers."""
    begun = time.monotonic()
    if manager.has_plugin(point.name):
        return _status(point, BROKEN, "Another package brings a plugin of this name.")
    try:
        loaded = load(point, seconds)
        merged.merge(loaded.contribution)
        manager.register(loaded.plugin, point.name)
    except LateError as error:
        if point.dist is not None:
            remember(point, error.message)
        return _status(point, BROKEN, error.message)
    except (NagsdkError, ValueError) as error:
        return _status(point, BROKEN, " ".join(str(error).split()))
    registered = tuple(
        f"{registry.kind} {item.id}" for registry in loaded.contribution.registries.values() for item in registry
    )
    odd = f"It prints while it loads (held back): {loaded.printed!r}." if loaded.printed else ""
    return _status(point, LOADED, odd, registered, time.monotonic() - begun)


def _check(plugin: Any) -> None:
    """Refuses a plugin of another API version, or whose hooks nobody calls."""
    version = getattr(plugin, "nagsdk_api", None)
    if type(version) is not int or version != API_VERSION:
        said = (
            "does not say for which version of the plugin API it was written"
            if version is None
            else f"was written for version {version!r}"
        )
        raise DeviceError(
            f"It {said}; this nagsdk has version {API_VERSION}.",
            f"Install a version of the plugin for it; its authors write `nagsdk_api = {API_VERSION}` in the module once it fits.",
        )
    known = [name for name in vars(hookspecs) if name.startswith("nagsdk_")]
    written = [name for name in dir(plugin) if name.startswith("nagsdk_") and inspect.isroutine(getattr(plugin, name))]
    for name in written:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise DeviceError(
                f"It implements {name}, which is no hook.",
                f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}.",
            )
    unmarked = [name for name in written if not hasattr(getattr(plugin, name), "nagsdk_impl")]
    if unmarked or not written:
        raise DeviceError(
            f"It has no hook that is called{f': {unmarked[0]} is not marked' if unmarked else ''}.",
            "Mark hooks with @hookimpl, from nagsdk.plugin.",
        )


def _ours(point: EntryPoint) -> bool:
    return point.dist is not None and _name_and_version(point.dist)[0] == _OWN


@cache
def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    """Told once for all entry points of a package: each of the two parses the whole of its metadata."""
    return distribution.name, distribution.version


def _status(
    point: EntryPoint, state: str, reason: str = "", registered: tuple[str, ...] = (), seconds: float = 0.0
) -> PluginStatus:
    distribution = "{} {}".format(*_name_and_version(point.dist)) if point.dist else "unknown"
    return PluginStatus(point.name, point.value, distribution, state, reason, registered, seconds)
