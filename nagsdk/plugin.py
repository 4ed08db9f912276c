"""The plugin host: entry points are loaded one by one, so that a broken one breaks no other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, Protocol, TypeVar

import pluggy

from nagsdk import hookspecs
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device, read_device
from nagsdk.errors import DeviceError, NagsdkError, UnknownNameError
from nagsdk.generator.searches import STRATEGIES
from nagsdk.generator.strategy import Strategy
from nagsdk.resources import shipped

GROUP = "nagsdk"
hookimpl = pluggy.HookimplMarker("nagsdk")


class _Named(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=_Named)


class Registry(Generic[T]):
    """Objects of one type by id; a second object of the same id is refused.

    Args:
        kind: What it holds, for messages.
        accepts: The type that `add` insists on.
    """

    def __init__(self, kind: str, accepts: type[T]) -> None:
        self._kind = kind
        self._accepts = accepts
        self._items: dict[str, T] = {}

    def add(self, item: T) -> None:
        """Registers an object.

        Raises:
            DeviceError: It has the wrong type, or its id is taken.
        """
        if not isinstance(item, self._accepts):
            raise DeviceError(
                f"A plugin registered {type(item).__name__} as a {self._kind}.", f"Register instances of {self._accepts.__name__}."
            )
        if item.id in self._items:
            raise DeviceError(f"Two plugins register the {self._kind} {item.id!r}.", "Disable one of them with NAGSDK_DISABLE_PLUGINS.")
        self._items[item.id] = item

    def __iter__(self) -> Iterator[T]:
        return iter(self._items.values())

    def get(self, name: str) -> T:
        """Looks up an object by id or alias.

        Raises:
            UnknownNameError: With the nearest known names.
        """
        for item in self:
            if name.lower() in (item.id, *getattr(item, "aliases", ())):
                return item
        known = [n for item in self for n in (item.id, *getattr(item, "aliases", ()))]
        raise UnknownNameError.among(self._kind, name, known)


@dataclass(frozen=True)
class PluginStatus:
    """What became of one entry point.

    Attributes:
        name: Of the entry point.
        module: What it loads.
        distribution: The package that brings it, with its version.
        state: ``loaded``, ``disabled`` or ``broken``.
        reason: Why it is not loaded.
    """

    name: str
    module: str
    distribution: str
    state: str
    reason: str = ""


def shipped_strategies() -> Registry[Strategy]:
    """The strategies that come with nagsdk."""
    registry = Registry("strategy", Strategy)  # type: ignore[type-abstract]
    for strategy in STRATEGIES:
        registry.add(strategy)
    return registry


@dataclass(frozen=True)
class Host:
    """All plugins and what they registered."""

    plugins: tuple[PluginStatus, ...]
    backends: Registry[Backend]
    devices: Registry[Device]
    strategies: Registry[Strategy] = field(default_factory=shipped_strategies)

    def backend_of(self, device: Device) -> Backend:
        """The backend that reaches a device.

        Raises:
            DeviceError: No loaded plugin provides it.
        """
        try:
            return self.backends.get(device.backend)
        except UnknownNameError as error:
            broken = "; ".join(f"{p.name}: {p.reason}" for p in self.plugins if p.state != "loaded")
            raise DeviceError(
                f"Device {device.id} needs the backend {device.backend!r}, which no plugin provides.",
                f"Install or mend its plugin (nagsdk plugins shows their state{': ' + broken if broken else ''}).",
            ) from error


@cache
def host() -> Host:
    """Loads every plugin once per process."""
    manager = pluggy.PluginManager("nagsdk")
    manager.add_hookspecs(hookspecs)
    backends = Registry("backend", Backend)  # type: ignore[type-abstract]
    devices: Registry[Device] = Registry("device", Device)
    for path in sorted(shipped("devices").glob("*.toml")):
        devices.add(read_device(path))
    strategies = shipped_strategies()
    disabled = {name.strip() for name in os.environ.get("NAGSDK_DISABLE_PLUGINS", "").split(",") if name.strip()}
    statuses = []
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        distribution = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"

        def status(state: str, reason: str = "", point: EntryPoint = point, distribution: str = distribution) -> PluginStatus:
            return PluginStatus(point.name, point.value, distribution, state, reason)

        if point.name in disabled:
            statuses.append(status("disabled", "named in NAGSDK_DISABLE_PLUGINS"))
            continue
        try:
            plugin = point.load()
            manager.register(plugin, point.name)
            _register(manager, plugin, "nagsdk_register_backends", backends)
            _register(manager, plugin, "nagsdk_register_devices", devices)
            _register(manager, plugin, "nagsdk_register_strategies", strategies)
        except NagsdkError as error:
            statuses.append(status("broken", str(error)))
        except Exception as error:  # whatever a foreign module raises must not take the host down
            statuses.append(status("broken", f"{type(error).__name__}: {error}"))
        else:
            statuses.append(status("loaded"))
    return Host(tuple(statuses), backends, devices, strategies)


def _register(manager: pluggy.PluginManager, plugin: object, hook: str, registry: Registry[T]) -> None:
    # One plugin at a time, so that its failure is known to be its own.
    others = [p for p in manager.get_plugins() if p is not plugin]
    caller: Callable[..., object] = manager.subset_hook_caller(hook, others)
    caller(registry=registry)
