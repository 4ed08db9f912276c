"""Loads the entry points of plugins one by one, so that a broken plugin does not affect the others."""

from __future__ import annotations

import difflib
import inspect
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any

import pluggy

from nagsdk.common import config
from nagsdk.common.foreign_code import blaming, guarded
from nagsdk.cost.metric import Metric
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError, NagsdkError
from nagsdk.families.family import Family
from nagsdk.families.finished import FinishedNetwork
from nagsdk.generator.strategy import Strategy
from nagsdk.plugin import hooks
from nagsdk.plugin.guard import INTERFACES, facts_of, guarded_object, stand_in
from nagsdk.plugin.harmful import known_harm, remember
from nagsdk.plugin.metrics import check_metric, check_units
from nagsdk.plugin.process import EndedError, Processes
from nagsdk.plugin.registry import Registry
from nagsdk.space.layer import LayerSpec

GROUP = "nagsdk"
# Increased when plugins that were written for the previous version would no longer work.
API_VERSION = 1
LOADED, DISABLED, BROKEN = "loaded", "disabled", "broken"
hookimpl = pluggy.HookimplMarker("nagsdk")
_OWN = "nagsdk"
_TRIED_AGAIN = "Fix or remove it, or name it in NAGSDK_DISABLE_PLUGINS; `nagsdk plugins doctor` tries it again."


@dataclass(frozen=True)
class PluginStatus:
    """The result of loading one entry point.

    Attributes:
        name: Name of the entry point.
        module: The module that it loads.
        distribution: The package that provides it, with its version.
        state: ``loaded``, ``disabled`` or ``broken``.
        reason: Why it is not loaded, or a remark about a loaded plugin.
        registered: What it registered, such as ``backend board``.
        seconds: How long loading took.
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
    """What one plugin, or all of them, registered; each hook fills the registry with the same name."""

    backends: Registry[Backend] = field(default_factory=lambda: Registry("backend", Backend))  # type: ignore[type-abstract]
    devices: Registry[Device] = field(default_factory=lambda: Registry("device", Device))
    strategies: Registry[Strategy] = field(default_factory=lambda: Registry("strategy", Strategy))  # type: ignore[type-abstract]
    metrics: Registry[Metric] = field(default_factory=lambda: Registry("metric", Metric))  # type: ignore[type-abstract]
    spaces: Registry[Family] = field(default_factory=lambda: Registry("family of networks", Family))
    networks: Registry[FinishedNetwork] = field(default_factory=lambda: Registry("finished network", FinishedNetwork))

    @property
    def registries(self) -> dict[str, Registry[Any]]:
        """The registries by the name of the hook that fills them."""
        return {f"nagsdk_register_{name}": registry for name, registry in vars(self).items()}

    def merge(self, other: Contribution) -> None:
        """Adds everything that a plugin registered, or nothing.

        Raises:
            DeviceError: A name is already taken.
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
        taken = {name for family in self.spaces for name in family.presets}
        for family in other.spaces:
            if repeated := taken.intersection(family.presets):
                raise DeviceError(
                    f"It registers the search space {min(repeated)!r}, which exists already.", "Give it another name."
                )
        for own, new in pairs:
            for item in new:
                own.add(item)


@dataclass(frozen=True)
class Loaded:
    """A plugin that was loaded and registered without an error.

    Attributes:
        plugin: The module, or another object that implements hooks.
        contribution: What it registered.
        printed: What it wrote to standard output meanwhile.
    """

    plugin: Any
    contribution: Contribution
    printed: str = ""


def hook_manager() -> pluggy.PluginManager:
    """A plugin manager that knows the hooks of `nagsdk.plugin.hooks`."""
    manager = pluggy.PluginManager("nagsdk")
    manager.add_hookspecs(hooks)
    return manager


def load_installed(manager: pluggy.PluginManager, merged: Contribution, *, again: bool = False) -> list[PluginStatus]:
    """Loads all installed plugins; nagsdk's own come first.

    Args:
        manager: Receives the plugins.
        merged: Receives what they register.
        again: Whether plugins that were checked in a subprocess before are checked there again.

    Returns:
        The status of every plugin, and of every name that is disabled but not installed.

    Raises:
        UsageError: A setting cannot be used.
    """
    seconds: float = config.value("plugin_timeout_s")
    disabled = config.look_up("disable_plugins")
    points = sorted(entry_points(group=GROUP), key=lambda p: (not _ours(p), p.name))
    foreign = [p for p in points if not _ours(p) and p.name not in disabled.value]
    harm = {} if again else known_harm(foreign)
    # The processes start side by side, each of which takes a third of a second.
    started = {point: Processes(point, seconds) for point in foreign if point not in harm}
    statuses = []
    for point in points:
        if point.name in disabled.value:
            statuses.append(_status(point, DISABLED, f"named in {disabled.where}"))
        elif point in harm:
            statuses.append(_status(point, BROKEN, f"{harm[point]} {_TRIED_AGAIN}"))
        else:
            statuses.append(_load_into(point, seconds, started.get(point), manager, merged))
    not_installed = f"named in {disabled.where}, but no installed plugin has this name"
    statuses += [
        PluginStatus(name, "-", "-", DISABLED, not_installed)
        for name in set(disabled.value) - {point.name for point in points}
    ]
    return sorted(statuses, key=lambda status: status.name)


def load(point: EntryPoint) -> Loaded:
    """Imports a plugin in this process and lets it register into registries of its own.

    Args:
        point: The entry point of the plugin.

    Raises:
        DeviceError: It raises an error, was written for another version of the plugin API, or registers something
            invalid.
    """
    contribution = Contribution()
    with blaming("It"):
        plugin = point.load()
        _check(plugin)
        manager = hook_manager()
        manager.register(plugin, point.name)
        for hook, registry in contribution.registries.items():
            getattr(manager.hook, hook)(registry=registry)
        for kind, interface in INTERFACES.items():
            for item in getattr(contribution, kind):
                facts_of(item, interface)
        for metric in contribution.metrics:
            check_metric(metric)
    return Loaded(plugin, contribution)


def _load_here(point: EntryPoint, seconds: float) -> Loaded:
    """Loads a plugin of nagsdk itself; its objects are guarded in this process."""
    loaded, guards = guarded(lambda: load(point), seconds, "It"), Contribution()
    for kind, registry in vars(loaded.contribution).items():
        for item in registry:
            interface = INTERFACES.get(kind)
            getattr(guards, kind).add(
                item if interface is None else guarded_object(item, interface, f"The plugin {point.name}")
            )
    return Loaded(loaded.plugin, guards)


def _load_elsewhere(point: EntryPoint, processes: Processes) -> Loaded:
    """Loads a plugin of others in its own process; its objects here pass their calls on to that process."""
    described, guards = processes.register(), Contribution()
    for kind in ("devices", "spaces", "networks"):
        for item in described[kind]:
            getattr(guards, kind).add(item)
    for kind, interface in INTERFACES.items():
        for facts, module, name in described[kind]:
            caller = _Elsewhere(processes, (kind, facts["id"]), facts["time_limits_s"])
            getattr(guards, kind).add(stand_in(interface, facts, caller, partial(_class, module, name, interface)))
    hooks_here = _Resolver(processes) if described["resolves"] else object()
    return Loaded(hooks_here, guards, described["printed"])


class _Elsewhere:
    """Calls a method of an object in the process of its plugin.

    Answers about single layers depend on nothing but the layer and the device, and are asked for again and again, so
    they are kept.
    """

    def __init__(self, processes: Processes, target: tuple[str, str], limits: Mapping[str, float]) -> None:
        self.processes, self.target, self.limits = processes, target, limits
        self._of_layers = lru_cache(maxsize=1 << 16)(self._call)

    def __call__(self, method: str, arguments: Sequence[Any]) -> Any:
        """See `nagsdk.plugin.guard.Caller`."""
        if arguments and isinstance(arguments[0], LayerSpec):
            return self._of_layers(method, *arguments)
        return self._call(method, *arguments)

    def _call(self, method: str, *arguments: Any) -> Any:
        return self.processes.call(self.target, method, arguments, self.limits)


def _class(module: str, name: str, interface: type[Any]) -> type:
    """A class of a plugin if this process has imported it too, as the tests of the plugin do; else its interface."""
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, type) else interface


class _Resolver:
    """Stands for a plugin in another process that resolves devices."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes

    @hookimpl
    def nagsdk_resolve_device(self, query: str) -> Device | None:
        """Asks the plugin."""
        device: Device | None = self.processes.call(("plugin", ""), "nagsdk_resolve_device", (query,))
        return device


def _load_into(
    point: EntryPoint, seconds: float, processes: Processes | None, manager: pluggy.PluginManager, merged: Contribution
) -> PluginStatus:
    """Loads one plugin and adds what it registers to `merged`."""
    begun = time.monotonic()
    reason = ""
    if manager.has_plugin(point.name):
        reason = "Another package provides a plugin with this name."
    try:
        loaded = _load_here(point, seconds) if processes is None else _load_elsewhere(point, processes)
        if not reason:
            merged.merge(loaded.contribution)
            manager.register(loaded.plugin, point.name)
    except EndedError as error:
        reason = _harm(error, seconds)
        remember(point, reason)
        reason = f"{reason} {_TRIED_AGAIN}"
    except (NagsdkError, ValueError) as error:
        reason = " ".join(str(error).split())
    if reason:
        if processes is not None:
            processes.end()
        return _status(point, BROKEN, reason)
    registered = tuple(
        f"{registry.kind} {item.id}" for registry in loaded.contribution.registries.values() for item in registry
    )
    remark = f"It prints while it loads (not shown): {loaded.printed!r}." if loaded.printed else ""
    return _status(point, LOADED, remark, registered, time.monotonic() - begun)


def _harm(error: EndedError, seconds: float) -> str:
    """Why a plugin did not register."""
    if error.late:
        where = f" ({error.where[0]})" if error.where else ""
        return f"It did not register within {seconds:g} s{where}."
    return f"It ended the process that loaded it ({', '.join([error.how.partition(': ')[2], *error.where])})."


def _check(plugin: Any) -> None:
    """Raises an error for a plugin of another API version, or with hooks that would never be called."""
    version = getattr(plugin, "nagsdk_api", None)
    if type(version) is not int or version != API_VERSION:
        problem = (
            "does not say for which version of the plugin API it was written"
            if version is None
            else f"was written for version {version!r} of the plugin API"
        )
        raise DeviceError(
            f"It {problem}; this nagsdk has version {API_VERSION}.",
            "Install a version of the plugin that fits; its authors write "
            f"`nagsdk_api = {API_VERSION}` in the module once it does.",
        )
    known = [name for name in vars(hooks) if name.startswith("nagsdk_")]
    written = [name for name in dir(plugin) if name.startswith("nagsdk_") and inspect.isroutine(getattr(plugin, name))]
    for name in written:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise DeviceError(
                f"It implements {name}, which is not a hook.",
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
    """Name and version of a package, read once for all its entry points: each of the two parses the whole metadata."""
    return distribution.name, distribution.version


def _status(
    point: EntryPoint, state: str, reason: str = "", registered: tuple[str, ...] = (), seconds: float = 0.0
) -> PluginStatus:
    distribution = "{} {}".format(*_name_and_version(point.dist)) if point.dist else "unknown"
    return PluginStatus(point.name, point.value, distribution, state, reason, registered, seconds)
