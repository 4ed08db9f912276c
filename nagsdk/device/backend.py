"""The contract of a hardware plugin: a `Backend` that exports and opens `Session`s on its devices."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from nagsdk.device.description import Device
from nagsdk.device.finding import Finding
from nagsdk.errors import DeviceError, NagsdkError, UsageError
from nagsdk.events import Listener
from nagsdk.space.layer import KINDS, LayerSpec

if TYPE_CHECKING:
    from nagsdk.graph.ir import Graph

Tensor = NDArray[np.float32]
# Rounding of float32 in another order of summation.
EXACT = 1e-5
# What names, shapes and operators take in an ONNX file beside the numbers, in bytes; read off exported files.
_OVERHEAD = {
    "conv": 122.0,
    "pointwise": 122.0,
    "depthwise": 122.0,
    "linear": 122.0,
    "se": 470.0,
    "add": 0.0,
    "pool": 0.0,
}


@dataclass(frozen=True)
class Presence:
    """What a backend finds out about a device right now.

    Attributes:
        available: Whether it can be measured on.
        reason: Why not, and what to do about it; empty where available.
        properties: Facts worth recording: processor, runtime, versions, providers.
        fingerprint: Identifies this very device, runtime and version: measurements and cost models are
            kept under it.
    """

    available: bool
    reason: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""

    @classmethod
    def of(cls, properties: Mapping[str, str], besides: Collection[str] = ()) -> Presence:
        """That of an available device, whose fingerprint is a hash of its properties.

        Args:
            properties: See above.
            besides: Names of properties that do not tell devices apart.
        """
        identity = {name: value for name, value in properties.items() if name not in besides}
        return cls(True, "", properties, hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16])

    @classmethod
    def refused(cls, error: NagsdkError) -> Presence:
        """That of a device which cannot be measured on, for the reason that an error tells."""
        return cls(False, " ".join(str(error).split()))


@dataclass(frozen=True)
class Burst:
    """Timings of consecutive runs of one network.

    Attributes:
        wall_ms: Wall time of every run.
        cpu_ms: CPU time of every run, where wall / CPU time tells whether the CPU was taken away: with a single thread, and
            not on Windows; empty otherwise.
        properties: What else was seen (temperature, memory), by name with its unit; ``throttled`` is 1 where the device
            slowed itself down, for heat or power.

    Raises:
        DeviceError: A property is no finite number.
    """

    wall_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...] = ()
    properties: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.properties.items():
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise DeviceError(
                    f"The device told {value!r} of {name} while a network ran.",
                    "Mend its plugin: properties are finite numbers.",
                )


class Session(ABC):
    """An open connection to a device on which compiled artifacts are loaded and run.

    A context manager; `close` gives everything back, also after an error.
    """

    @abstractmethod
    def load(self, compiled: Path) -> int:
        """Loads a compiled artifact and returns its handle.

        Raises:
            DeviceError: The runtime refuses it.
        """

    @abstractmethod
    def unload(self, handle: int) -> None:
        """Frees a loaded artifact."""

    @abstractmethod
    def time(self, handle: int, warmup: int, runs: int, timeout_s: float) -> Burst:
        """Times consecutive runs on an input of the artifact's own shape.

        Raises:
            MeasurementError: It did not answer in time, or died. The session may be unusable afterwards.
        """

    @abstractmethod
    def infer(self, handle: int, images: Tensor) -> Tensor:
        """Runs images (n, 3, h, w), one batch of the device after the other, and returns logits (n, classes)."""

    @abstractmethod
    def close(self) -> None:
        """Ends the session; further calls raise."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Backend(ABC):
    """What a hardware plugin provides.

    Attributes:
        id: Name that device descriptions refer to.
        title: For people.
        suffix: File suffix of its artifacts, such as ``.onnx``.
        layout: Order of an input in its artifacts: ``NCHW`` or ``NHWC``.
        precisions: What `Device.precision` may be; the first is the default.
        runs_elsewhere: Whether networks run off this host, so that exports may overlap with timings.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    suffix: ClassVar[str]
    layout: ClassVar[str] = "NCHW"
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    runs_elsewhere: ClassVar[bool] = False

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Honours the name that `runs_elsewhere` had in 0.1.0, when it was called ``apart``."""
        super().__init_subclass__(**arguments)
        if "apart" in vars(cls):
            warnings.warn(f"{cls.__name__}.apart is called runs_elsewhere now.", DeprecationWarning, stacklevel=2)
            if "runs_elsewhere" not in vars(cls):
                cls.runs_elsewhere = vars(cls)["apart"]

    @abstractmethod
    def presence(self, device: Device) -> Presence:
        """Whether the device is there, and what it is. Never raises for an absent device."""

    def supports(self, layer: LayerSpec, device: Device) -> bool:
        """Whether the device runs this layer; choices that need others are masked before generation.

        The default is that it runs all kinds of layers that nagsdk knows.
        """
        return layer.kind in KINDS

    def layer_bytes(self, layer: LayerSpec, device: Device) -> float:
        """What a layer adds to the size of an artifact, roughly; a built artifact is weighed. The default is that of ONNX files."""
        return 4.0 * layer.folded_parameters + layer.by_kind(_OVERHEAD) + 108.0 * (layer.activation != "none")

    def rewrites(self, device: Device) -> Mapping[str, Device]:
        """Ways of writing a graph for the device among which only timings on it can choose.

        Returns:
            Descriptions of the same device by the name of the way, the one to take unmeasured first. The default is
            none: there is one way, or the description says which. Any session of the device runs the files of all.
        """
        return {}

    def simulate(self, layer: LayerSpec, device: Device) -> float | None:
        """Milliseconds that a layer takes by a model of the plugin's own: the prior of the cost model where the device names none.

        Returns:
            None, which is the default, for all layers where there is no such model.
        """
        return None

    def tolerance(self, device: Device) -> float:
        """Largest accepted error of the artifact's logits, as a share of their norm."""
        return EXACT

    @abstractmethod
    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes the artifact.

        Args:
            graph: The lowered network, batch 1.
            path: Where; the caller makes the write atomic.
            device: The target.
            images: Normalised calibration images (n, 3, h, w) for quantising backends, where the bundle has any.
        """

    def inspect(self, artifact: Path) -> Mapping[str, Any]:
        """What stands in an artifact, JSON-ready, for the manifest; nothing unless the backend reads its files."""
        return {}

    def emulate(self, artifact: Path, device: Device, images: Tensor) -> Tensor | None:
        """Logits (n, classes) of an artifact without its device, so that a file is checked although the device is absent.

        Returns:
            None, which is the default, where only the device can run it.
        """
        return None

    def diagnose(self) -> Sequence[Finding]:
        """What `nagsdk doctor` shall say of this machine besides whether devices are there; nothing unless the backend knows more."""
        return ()

    def setup(self, source: Path | None, on_event: Listener) -> Mapping[str, str]:
        """Brings what the backend needs on this machine and no package has.

        Args:
            source: A file to use, or None to download it.
            on_event: Receives progress.

        Returns:
            What was brought, with its hash.

        Raises:
            UsageError: It needs nothing, which is the default.
        """
        raise UsageError(f"{self.title} needs no setup.", "Use it as it is.")

    def compile(self, artifact: Path, device: Device, folder: Path) -> Path:
        """Prepares an artifact for the device, which may take minutes; the result stays in `folder`.

        The default needs no compilation and returns the artifact.
        """
        return artifact

    @abstractmethod
    def open(self, device: Device) -> Session:
        """Opens a fresh session, sharing no state with any other.

        Raises:
            DeviceUnavailableError: The device or its runtime is not there.
        """
