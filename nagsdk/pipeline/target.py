"""The target of a verb: one bundle on one device, with the settings that all verbs share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.common.cores import overcommitted
from nagsdk.common.folders import cache_folder
from nagsdk.device.backend import Backend, Tensor
from nagsdk.device.description import Device, Overrides
from nagsdk.device.presence import presence_of
from nagsdk.errors import DeviceUnavailableError, UsageError
from nagsdk.events import Listener, Notice, ignore
from nagsdk.graph.numbers import UINT8
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.lab.lookup import lab_of
from nagsdk.measuring.key import MeasurementKey
from nagsdk.measuring.protocol import ESTIMATE_PROTOCOL, Protocol
from nagsdk.measuring.rewrites import read_choice
from nagsdk.pipeline.choices import Precisions, Threads, arms_of, loss_of, named
from nagsdk.pipeline.limits import Costs
from nagsdk.pipeline.reach import described
from nagsdk.plugin.host import Host, host
from nagsdk.predictor.losses import Loss

if TYPE_CHECKING:
    from nagsdk.measuring.store import Store

# For so long after a target was made, its first verb does not ask the device again.
_FRESH_S = 5.0
T = TypeVar("T")
# How verdicts and profiles are timed.
PROTOCOL = Protocol()
# A short measurement of the device's pace before anything is generated.
GLANCE = Protocol(rounds=8, width=1.0, most_rounds=8, spread_s=1.0, patience_s=1.0)


class TargetSettings(TypedDict, total=False):
    """The keyword arguments of `Target`, for verbs that are called with a device's id instead of a target."""

    bundle: str | Path | Bundle
    threads: Threads
    batch: int | None
    precision: Precisions
    serial: str | None
    io: str | None
    lab: str | None
    store: str | Path | None
    on_event: Listener


class Target:
    """One bundle on one device: where architectures come from and where they run.

    Every verb takes a target first: ``target = nagsdk.Target("cpu", bundle="imagenet", threads=4)``, then
    ``nagsdk.deploy(target, "20ms")``. What one verb finds out about the device stays in the target for the next verb.
    A target can be sent to another process; it opens bundle and device again there, and has no `on_event`.

    Args:
        device: Id or alias of a device (`nagsdk devices` lists them), a file that describes one (``.toml``), or a
            `Device`.
        bundle: Name of a shipped bundle, the folder of a bundle, or a `Bundle`.
        threads: Threads of one inference; the device's default if None. With several, such as ``(1, 2)``, or ``"any"``,
            `deploy`, `generate` and `frontier` choose one of them.
        batch: Images of one inference; the device's default if None.
        precision: Number format of weights and arithmetic, such as ``"fp16"``; the device's default if None. With
            several, such as ``("fp32", "int8")``, or ``"any"``, the same verbs choose one of them.
        serial: Which of several attached phones is meant, or ``"host:port"`` of a phone that listens on the network.
        io: Numbers of input and output of an integer file: ``"float"``, ``"int8"`` or ``"uint8"``, which takes pixels
            as cameras give them; the device's default if None.
        lab: Address of a lab whose device is meant, such as ``"tls://lab-server:8786"``, or ``"local"``; a device of
            this machine if None.
        store: File or address of the database for readings; the setting ``store`` if None.
        on_event: Called with every progress event; see `nagsdk.events`.
        backend: The backend of the device; the one that the device's description names if None.

    Attributes:
        bundle: The bundle.
        device: The description of the device with these settings.
        named: The name or file with which the device was given.
        backend: The backend of the device.
        presence: Whether the device is available, and its properties.
        arms: Targets for all precisions and numbers of threads between which shall be chosen, this one first.
        left_out: Precisions and numbers of threads that were asked for and are not among them, with the reasons.
        costs: What architectures cost on the device, as tables and limits.
        rewrite: The rewrite of graphs that was measured to be the fastest; None if none was measured.
        protocol: How verdicts and profiles are timed.
        glance: How the device is timed before anything is generated.

    Raises:
        UnknownNameError: There is no such device or bundle.
        UsageError: The backend does not offer the precision, or an argument has the wrong type.
        DeviceError: No plugin provides the device's backend.
    """

    def __init__(
        self,
        device: str | Path | Device,
        bundle: str | Path | Bundle = "glyphs",
        *,
        threads: Threads = None,
        batch: int | None = None,
        precision: Precisions = None,
        serial: str | None = None,
        io: str | None = None,
        lab: str | None = None,
        store: str | Path | None = None,
        on_event: Listener = ignore,
        backend: Backend | None = None,
    ) -> None:
        self.bundle = load_bundle(bundle, on_event)
        self.named = device.id if isinstance(device, Device) else str(device)
        self.backend, plain = described(device, backend, lab, on_event)
        (first, *others), self.left_out = arms_of(
            plain,
            self.backend,
            self.bundle,
            Overrides(None, batch, None, serial, io),
            threads,
            precision,
            _all_precisions,
        )
        self.overrides, self.device, self.presence = first.overrides, first.device, first.presence
        self._asked: dict[str, Any] = {"threads": threads, "batch": batch, "precision": precision, "serial": serial}
        self._asked |= {"io": io, "lab": lab, "store": store}
        if store is not None:
            from nagsdk.measuring.store_place import checked_place

            checked_place(store)
        self._given, self._given_backend = device, backend
        self.costs = Costs(self.bundle, self.backend, self.device, lambda: self.host)
        self.on_event = on_event
        self.cache = cache_folder()
        self.protocol, self.glance = (ESTIMATE_PROTOCOL,) * 2 if self.backend.estimated_by else (PROTOCOL, GLANCE)
        self._kept: dict[str, Any] = {}
        self._fresh_until = monotonic() + _FRESH_S
        self._described = self.device
        self.rewrites = self.backend.rewrites(self.device)
        self._choose_rewrite()
        if self.crowded:
            on_event(Notice(self.crowded, warning=True))
        for arm in self.left_out:
            on_event(Notice(f"{arm.name} is left out: {arm.why.rstrip('.')}.", warning=True))
        # In a lab, all arms use the same place.
        given, shared = (device, backend) if lab is None else (plain, self.backend)
        self._others = [
            Target(given, self.bundle, **asdict(one.overrides), store=store, on_event=on_event, backend=shared)
            for one in others
        ]

    @property
    def arms(self) -> tuple[Target, ...]:
        """Targets for all precisions and numbers of threads between which shall be chosen, this one first."""
        return (self, *self._others)

    @property
    def arm(self) -> str:
        """Precision and number of threads as text."""
        return named(self.device)

    @property
    def crowded(self) -> str:
        """Why the threads of an inference cannot all run at the same time on this machine; empty if they can."""
        here = self.presence.available and not self.backend.runs_elsewhere
        return overcommitted(self.device.threads) if here else ""

    @property
    def preprocessing(self) -> Preprocessing:
        """How images become inputs of the model file: files that are fed with pixels normalise them themselves."""
        usual = self.bundle.preprocessing
        return usual.of_pixels if self.device.io == UINT8 else usual

    def fed(self, inputs: Tensor) -> Tensor:
        """What the model file is fed with in place of normalised inputs (n, 3, h, w)."""
        return self.bundle.preprocessing.pixels(inputs) if self.device.io == UINT8 else inputs

    @property
    def known_loss(self) -> Loss | None:
        """What is known about the accuracy that networks lose by the precision; None if nothing is."""
        return loss_of(self.bundle, self.backend, self.device)

    @property
    def loss(self) -> float:
        """Points of top-1 that networks are expected to lose by the precision."""
        return 0.0 if (known := self.known_loss) is None else known.mean

    def _choose_rewrite(self) -> None:
        self.rewrite_file = (
            self.cache / "rewrites" / f"{MeasurementKey.of(self.device, self.presence, self.protocol).hash}.json"
        )
        self.rewrite = read_choice(self.rewrite_file, self.rewrites) if self.presence.available else None
        if self.rewrite is not None:
            self.write_as(self.rewrite.name)

    def __repr__(self) -> str:
        threads, precisions = (
            tuple(dict.fromkeys(getattr(arm.device, name) for arm in self.arms)) for name in ("threads", "precision")
        )
        return (
            f"Target({self.device.id!r}, bundle={self.bundle.name!r}, "
            f"threads={threads if threads[1:] else threads[0]}, batch={self.device.batch}, "
            f"precision={precisions if precisions[1:] else precisions[0]!r})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens bundle and device itself. What receives events belongs to this process.
        settings: dict[str, Any] = self._asked | {"backend": self._given_backend}
        return partial(Target, self._given, self.bundle.folder, **settings), ()

    @cached_property
    def host(self) -> Host:
        """The plugins in use; loading them takes a while, and not every verb needs them."""
        return host()

    @cached_property
    def store(self) -> Store:
        """Measurements of earlier runs."""
        from nagsdk.measuring.store_place import store_here

        return store_here(self._asked["store"])

    def keep(self, name: str, make: Callable[[], T]) -> T:
        """A value that is made once for this target and then kept.

        Args:
            name: Name of the value.
            make: Makes the value; called only if it was not made before.
        """
        if name not in self._kept:
            self._kept[name] = make()
        kept: T = self._kept[name]
        return kept

    def forget(self, name: str) -> None:
        """Makes `keep` make a value again."""
        self._kept.pop(name, None)

    def begin(self) -> None:
        """Called when a verb begins: the device may have come, gone or changed since the verb before."""
        for other in self._others:
            other.begin()
        fresh, self._fresh_until = monotonic() < self._fresh_until, 0.0
        if fresh:  # the target was made for this verb
            return
        now = presence_of(self.backend, self.device)
        if now != self.presence:
            self.device, self.presence = self._described, now
            self.costs = Costs(self.bundle, self.backend, self.device, lambda: self.host)
            self.forget("compiled reference")
            self._choose_rewrite()

    def require_presence(self) -> None:
        """Raises an error if the device is unavailable.

        Raises:
            DeviceUnavailableError: The device is unavailable; the error gives the reason.
        """
        if not self.presence.available:
            raise DeviceUnavailableError(f"Device {self.device.id} is not available.", self.presence.reason)

    def locked(self) -> AbstractContextManager[object]:
        """Locks the device, so that no other process of this user, or other client of its lab, uses it meanwhile."""
        from nagsdk.device.lock import device_lock

        if (lab := lab_of(self.backend)) is not None:
            return lab.reserved(self.on_event)
        return device_lock(self.cache / "locks", self.presence.fingerprint, self.on_event)

    def write_as(self, rewrite: str | None) -> None:
        """Uses one of the backend's rewrites for all graphs from now on.

        Args:
            rewrite: Name of the rewrite; if None, the backend's default, which is used when nothing was measured.
        """
        device = self.rewrites.get(rewrite or next(iter(self.rewrites), ""))
        if device is None:  # the device's description fixes the rewrite
            return
        self.device = device
        self.costs = Costs(self.bundle, self.backend, device, lambda: self.host)
        self.presence = presence_of(self.backend, self.device)
        self.forget("compiled reference")


def check_settings(settings: TargetSettings) -> None:
    """Raises a UsageError if an argument is none of `Target`, where no target is made."""
    known = TargetSettings.__annotations__
    if unknown := [name for name in settings if name not in known]:
        raise UsageError(f"There is no setting {' or '.join(unknown)}.", f"Known: {', '.join(known)}.")


def target_of(
    target: str | Path | Device | Target, settings: TargetSettings, arms: bool = False, timed: bool = True
) -> Target:
    """The target that a verb was called with.

    Args:
        target: A target, or the device of one.
        settings: The other arguments of `Target`; only allowed with the id of a device.
        arms: Whether the verb chooses between several precisions and numbers of threads.
        timed: Whether latencies matter to the verb.

    Raises:
        UsageError: Both a target and settings were given, but a target has its own settings; or the target leaves a
            choice that the verb does not make.
        NagsdkError: See `Target`.
    """
    if not isinstance(target, Target):
        target, settings = Target(target, **settings), {}
    if settings:
        raise UsageError(
            f"A Target was given together with {', '.join(settings)}.",
            f"Give {', '.join(settings)} to nagsdk.Target, together with the device.",
        )
    if len(target.arms) > 1 and not arms:
        raise UsageError(
            f"One precision and one number of threads are needed here, not a choice between {_listed(target.arms)}.",
            "Name one of them; only deploy, generate and frontier choose, and not for a finished model.",
        )
    if len({arm.device.threads for arm in target.arms}) > 1 and not timed:
        raise UsageError(
            "Numbers of threads differ in latency only, and no latency is asked for.",
            "Limit the latency, such as 80ms, or name one number of threads.",
        )
    target.begin()
    return target


def _listed(arms: Sequence[Target]) -> str:
    return " and ".join(arm.arm for arm in arms)


def _all_precisions() -> set[str]:
    return {precision for backend in host().backends for precision in backend.precisions}
