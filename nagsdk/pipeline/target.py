"""The target of a verb: one bundle on one device, with the settings that all verbs share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.common.folders import cache_folder
from nagsdk.device.backend import Backend, Presence
from nagsdk.device.description import Device, Overrides, read_device
from nagsdk.device.presence import presence_of
from nagsdk.errors import DeviceUnavailableError, UsageError
from nagsdk.events import Listener, ignore
from nagsdk.measuring.key import MeasurementKey
from nagsdk.measuring.protocol import Protocol
from nagsdk.measuring.rewrites import read_choice
from nagsdk.pipeline.limits import Costs
from nagsdk.plugin.host import Host, host

if TYPE_CHECKING:
    from nagsdk.measuring.store import Store

T = TypeVar("T")
# How verdicts and profiles are timed.
PROTOCOL = Protocol()
# A short look at the device before anything is generated.
GLANCE = Protocol(rounds=8, width=1.0, most_rounds=8, spread_s=1.0, patience_s=1.0)


class TargetSettings(TypedDict, total=False):
    """The keyword arguments of `Target`, for verbs that are called with the id of a device instead of a target."""

    bundle: str | Path | Bundle
    threads: int | None
    batch: int | None
    precision: str | None
    serial: str | None
    on_event: Listener


class Target:
    """One bundle on one device: what architectures are taken from, and where they run.

    Every verb takes a target first: ``target = nagsdk.Target("cpu", bundle="imagenet", threads=4)``, then
    ``nagsdk.deploy(target, "20ms")``. What a verb finds out about the device is kept in the target for the next one.

    Args:
        device: Id or alias of a device (`nagsdk devices` lists them), the file of a description (``.toml``), or a `Device`.
        bundle: Name of a shipped bundle, the folder of a bundle, or a `Bundle`.
        threads: Threads of one inference; the device's own where None.
        batch: Images of one inference; the device's own where None.
        precision: Of weights and arithmetic, such as ``"fp16"``; the device's own where None.
        serial: Which of several attached phones is meant, or ``"host:port"`` of one that listens there.
        on_event: Called with every event of progress; see `nagsdk.events`.
        backend: Reaches the device; the backend that the device names where None.

    Attributes:
        bundle: The bundle.
        device: The description of the device with these settings.
        backend: What reaches it.
        presence: Whether the device is here, and its properties.
        costs: What architectures cost on it, as tables and limits.
        host: The plugins in use.
        rewrite: Which of the backend's ways of writing graphs was measured to be the fastest; None where none was.
        protocol: How verdicts and profiles are timed.
        glance: How the device is timed before anything is generated.

    Raises:
        UnknownNameError: There is no such device or bundle.
        UsageError: The backend does not know the precision.
        DeviceError: No plugin reaches the device.
    """

    def __init__(
        self,
        device: str | Device,
        bundle: str | Path | Bundle = "glyphs",
        *,
        threads: int | None = None,
        batch: int | None = None,
        precision: str | None = None,
        serial: str | None = None,
        on_event: Listener = ignore,
        backend: Backend | None = None,
    ) -> None:
        self.host = host()
        self.bundle = load_bundle(bundle)
        self.overrides = Overrides(threads, batch, precision, serial)
        self.backend, self.device, self.presence = reach(device, self.overrides, self.host, backend)
        self.costs = Costs(self.bundle, self.backend, self.device, self.host)
        self.on_event = on_event
        self.cache = cache_folder()
        self.protocol, self.glance = PROTOCOL, GLANCE
        self._kept: dict[str, Any] = {}
        self.rewrites = self.backend.rewrites(self.device)
        self.rewrite_file = (
            self.cache / "rewrites" / f"{MeasurementKey.of(self.device, self.presence, self.protocol).hash}.json"
        )
        self.rewrite = read_choice(self.rewrite_file, self.rewrites) if self.presence.available else None
        if self.rewrite is not None:
            self.write_as(self.rewrite.name)

    def __repr__(self) -> str:
        return (
            f"Target({self.device.id!r}, bundle={self.bundle.name!r}, threads={self.device.threads}, batch={self.device.batch}, "
            f"precision={self.device.precision!r})"
        )

    @cached_property
    def store(self) -> Store:
        """Measurements of earlier runs."""
        from nagsdk.measuring.store import STORE, Store

        return Store(self.cache / STORE)

    def keep(self, name: str, make: Callable[[], T]) -> T:
        """A value that is made once for this target.

        Args:
            name: Of the value.
            make: Makes it where it is not there yet.
        """
        if name not in self._kept:
            self._kept[name] = make()
        kept: T = self._kept[name]
        return kept

    def forget(self, name: str) -> None:
        """Lets `keep` make a value again."""
        self._kept.pop(name, None)

    def require_presence(self) -> None:
        """Refuses to go on without the device.

        Raises:
            DeviceUnavailableError: With the reason.
        """
        if not self.presence.available:
            raise DeviceUnavailableError(f"Device {self.device.id} is not available.", self.presence.reason)

    def locked(self) -> AbstractContextManager[None]:
        """Holds the device, so that no other process of this user measures on it meanwhile."""
        from nagsdk.device.lock import device_lock

        return device_lock(self.cache / "locks", self.presence.fingerprint, self.on_event)

    def write_as(self, rewrite: str | None) -> None:
        """Writes graphs from now on in one of the backend's ways.

        Args:
            rewrite: Name of the way; the one to take where nothing was measured where None.
        """
        device = self.rewrites.get(rewrite or next(iter(self.rewrites), ""))
        if device is None:  # the description says which
            return
        self.device = device
        self.costs = Costs(self.bundle, self.backend, device, self.host)
        self.presence = presence_of(self.backend, self.device)
        self.forget("compiled reference")


def target_of(target: str | Target, settings: TargetSettings) -> Target:
    """The target that a verb was called with.

    Args:
        target: A target, or the id of a device.
        settings: The other arguments of `Target`; only with the id of a device.

    Raises:
        UsageError: A target came with settings, which it has already.
        NagsdkError: See `Target`.
    """
    if not isinstance(target, Target):
        return Target(target, **settings)
    if settings:
        raise UsageError(
            f"A Target was given together with {', '.join(settings)}.",
            f"Give {', '.join(settings)} to nagsdk.Target, where the device is.",
        )
    return target


def reach(
    device: str | Device, overrides: Overrides, plugins: Host, backend: Backend | None = None
) -> tuple[Backend, Device, Presence]:
    """A device, what reaches it, and whether it is here; no bundle is needed.

    Args:
        device: See `Target`.
        overrides: Settings that differ from the device's own.
        plugins: Where to look for the device and its backend.
        backend: See `Target`.

    Raises:
        NagsdkError: See `Target`.
    """
    if not isinstance(device, Device):
        device = read_device(Path(device)) if device.endswith(".toml") else plugins.device(device)
    backend = backend or plugins.backend_of(device)
    device = overrides.on(device, backend.precisions)
    return backend, device, presence_of(backend, device)
