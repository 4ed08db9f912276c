"""The interface of a hardware plugin: a `Backend` exports networks and opens `Session`s on its devices."""

from __future__ import annotations

import hashlib
import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from nagsdk.device.burst import Burst as Burst
from nagsdk.device.burst import Rounds
from nagsdk.device.description import Device
from nagsdk.device.finding import Finding
from nagsdk.device.layer_times import LayerTime
from nagsdk.device.meter import Meter
from nagsdk.errors import DeviceError, NagsdkError, UsageError
from nagsdk.events import Listener
from nagsdk.space.layer import KINDS, LayerSpec

if TYPE_CHECKING:
    from nagsdk.graph.ir import Graph
    from nagsdk.graph.schemes import Scheme

Tensor = NDArray[np.float32]
# Error that float32 rounding makes when sums are computed in another order.
EXACT = 1e-5
# Bytes that names, shapes and operators take in an ONNX file besides the weights; read off exported files.
_OVERHEAD = {
    **dict.fromkeys(("conv", "pointwise", "depthwise", "linear"), 122.0),
    **dict.fromkeys(("add", "pool", "maxpool", "avgpool"), 0.0),
    "se": 470.0,
    "norm": 150.0,
    "attention": 1000.0,
}


@dataclass(frozen=True)
class Presence:
    """State of a device at this moment, as its backend reports it.

    Attributes:
        available: Whether networks can be measured on the device.
        reason: Why it is not available, and what to do about it; empty if it is available.
        properties: Facts worth recording: processor, runtime, versions, providers.
        fingerprint: Identifies this device together with its runtime and version; measurements and cost models are
            stored under it.
    """

    available: bool
    reason: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""

    @classmethod
    def of(cls, properties: Mapping[str, str], besides: Collection[str] = ()) -> Presence:
        """Returns the presence of an available device, with a hash of its properties as fingerprint.

        Args:
            properties: Facts worth recording.
            besides: Names of properties that do not distinguish devices; they are left out of the hash.
        """
        identity = {name: value for name, value in properties.items() if name not in besides}
        return cls(True, "", properties, hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16])

    @classmethod
    def refused(cls, error: NagsdkError) -> Presence:
        """Returns the presence of a device that is not available, with the text of an error as the reason."""
        return cls(False, " ".join(str(error).split()))


class Session(Rounds):
    """An open connection to a device, on which compiled artifacts are loaded and run.

    It is a context manager; `close` releases everything, also after an error.
    """

    @abstractmethod
    def load(self, compiled: Path) -> int:
        """Loads a compiled artifact and returns its handle.

        Raises:
            DeviceError: The runtime refuses the artifact.
        """

    @abstractmethod
    def unload(self, handle: int) -> None:
        """Frees a loaded artifact."""

    @abstractmethod
    def time(self, handle: int, warmup: int, runs: int, timeout_s: float) -> Burst:
        """Times consecutive runs on one input of the shape that the artifact expects.

        Raises:
            MeasurementError: The device did not answer in time, or the runtime crashed. The session may be unusable
                afterwards.
        """

    def sustain(self) -> None:
        """Called once before a continuous load: from now on, `time` must not wait for the device to cool down.

        A session that can tell a cap on the frequency that belongs to its device from throttling finds out now, while
        the device is cool, and reports it as `frequency_cap`.
        """

    def meter(self) -> Meter:
        """Returns what the device's meters of energy show now.

        Raises:
            DeviceError: The device does not tell how much energy it uses, which is the default, or not at the moment.
        """
        raise DeviceError(
            "The device does not tell how much energy it uses.", "Limit the latency, which energy goes with, instead."
        )

    def layer_times(self, compiled: Path, runs: int, timeout_s: float) -> Sequence[LayerTime]:
        """Returns the times of the operators of a compiled artifact, in the order in which they run.

        Args:
            compiled: The artifact; it need not be loaded.
            runs: Number of inferences over which the median is taken.
            timeout_s: Seconds that all of it may take.

        Raises:
            DeviceError: The runtime does not tell them, which is the default.
        """
        raise DeviceError(
            "The runtime does not tell how long single operators take.", "The latency of the whole network is measured."
        )

    @abstractmethod
    def infer(self, handle: int, images: Tensor) -> Tensor:
        """Runs images (n, 3, h, w) in batches of the device's batch size and returns logits (n, classes)."""

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
    """Interface that a hardware plugin implements.

    Attributes:
        id: Name that device descriptions refer to.
        title: Name for people.
        suffix: File suffix of its artifacts, such as ``.onnx``.
        compiled_suffix: Suffix of the files that `compile` writes; empty if it writes none.
        layout: Order of the dimensions of an input in its artifacts: ``NCHW`` or ``NHWC``.
        precisions: Precisions that it offers; the first is the default.
        integer_precisions: Those of them in which `quantised` makes integers of a network.
        ios: Numbers of input and output that `export` writes (``float``, ``int8``, ``uint8``), by precision, the
            default first; precisions that are missing have float only.
        runs_elsewhere: Whether networks run off this host, so that exports may overlap with timings.
        estimated_by: Name of the program whose estimates its sessions return in place of timings, since nothing runs;
            empty if networks are really timed.
        time_limits_s: Seconds that methods of the backend and of its sessions may take, by name, where the default
            limits are too short; ``time`` gets the timeout of the burst in addition.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    suffix: ClassVar[str]
    compiled_suffix: ClassVar[str] = ""
    layout: ClassVar[str] = "NCHW"
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    integer_precisions: ClassVar[tuple[str, ...]] = ()
    ios: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    runs_elsewhere: ClassVar[bool] = False
    estimated_by: ClassVar[str] = ""
    time_limits_s: ClassVar[Mapping[str, float]] = {}

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Accepts ``apart``, the name that `runs_elsewhere` had in 0.1.0."""
        super().__init_subclass__(**arguments)
        if "apart" in vars(cls):
            warnings.warn(
                f"{cls.__name__}.apart is deprecated: rename it to runs_elsewhere.", DeprecationWarning, stacklevel=2
            )
            if "runs_elsewhere" not in vars(cls):
                cls.runs_elsewhere = vars(cls)["apart"]

    @abstractmethod
    def presence(self, device: Device) -> Presence:
        """Reports whether the device is available, and its properties. Never raises for an absent device."""

    def supports(self, layer: LayerSpec, device: Device) -> bool:
        """Returns whether the device can run this layer.

        Choices that need an unsupported layer are excluded before an architecture is generated. By default, all
        kinds of layers that nagsdk knows are supported, in integers those that have an integer form.
        """
        integer = (device.precision or self.precisions[0]) in self.integer_precisions
        return layer.kind in KINDS and not (integer and layer.float_only)

    def layer_bytes(self, layer: LayerSpec, device: Device) -> float:
        """Estimates how many bytes a layer adds to an artifact; the default describes ONNX files.

        The estimate is for choosing an architecture. The size of a built artifact is that of the file itself.
        """
        return 4.0 * layer.folded_parameters + layer.by_kind(_OVERHEAD) + 108.0 * (layer.activation != "none")

    def rewrites(self, device: Device) -> Mapping[str, Device]:
        """Returns the rewrites of a graph between which only timings on the device can decide.

        Returns:
            A description of the same device for each rewrite, by the name of the rewrite; the first one is used as
            long as nothing was measured. Empty by default: there is only one way, or the description says which one
            to use. Every session of the device must run the files of all rewrites.
        """
        return {}

    def simulate(self, layer: LayerSpec, device: Device) -> float | None:
        """Predicts the milliseconds that a layer takes, by a model that the plugin brings.

        The cost model uses it as its prior if the device description names none.

        Returns:
            The latency, or None for every layer if the plugin brings no such model, which is the default.
        """
        return None

    def tolerance(self, device: Device) -> float:
        """Returns the largest accepted error of the artifact's logits, as a share of their norm."""
        return EXACT

    def check_export(self, device: Device) -> None:  # noqa: B027 - most backends need no package
        """Raises an error before long work starts if `export` lacks a package; by default it needs none.

        Raises:
            DeviceUnavailableError: A package is missing; the error names the command that installs it.
        """

    def scheme(self, device: Device) -> Scheme | None:
        """Returns how `quantised` makes integers of networks for a device.

        It is called for the precisions of `integer_precisions` only. Predictions take off what networks lose by this
        scheme.

        Returns:
            The scheme; None, which is the default, if there is none, or `quantised` works in a way of its own: then
            predictions take off the most that is known to be lost by any scheme.
        """
        return None

    def quantised(
        self, graph: Graph, device: Device, images: Tensor | None = None, kept: Mapping[str, bytes] | None = None
    ) -> Graph:
        """Returns the network in the integers in which `export` writes it.

        It is called for the precisions of `integer_precisions` only.

        Args:
            graph: The lowered network.
            device: The device to export for.
            images: Normalised images (n, 3, h, w) to take the ranges of tensors from; if None, they are made up.
            kept: Statistics of an earlier call, which are used instead of images; see `nagsdk.graph.ranges.Ranges`.

        Returns:
            An `IntegerGraph`, which can be simulated, by default that of `scheme`; or the network itself if there is
            no scheme.
        """
        scheme = self.scheme(device)
        return graph if scheme is None else scheme.quantised(graph, images, kept)

    @abstractmethod
    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes the artifact.

        Args:
            graph: The lowered network, batch 1; for integers it may have been through `quantised` already.
            path: File to write; the caller makes the write atomic.
            device: The device to export for.
            images: Normalised calibration images (n, 3, h, w) for backends that quantise; None if the bundle has none.
        """

    def inspect(self, artifact: Path) -> Mapping[str, Any]:
        """Describes the content of an artifact for the manifest, JSON-ready; empty by default."""
        return {}

    def emulate(self, artifact: Path, device: Device, images: Tensor) -> Tensor | None:
        """Runs an artifact without its device, so that a file can be checked while the device is absent.

        Returns:
            Logits (n, classes), or None, which is the default, if only the device can run the artifact.
        """
        return None

    def diagnose(self) -> Sequence[Finding]:
        """Returns what `nagsdk doctor` shall report about this machine besides the devices; nothing by default."""
        return ()

    def setup(self, source: Path | None, on_event: Listener) -> Mapping[str, str]:
        """Installs what the backend needs on this machine and no package provides.

        Args:
            source: A file to use, or None to download it.
            on_event: Receives the progress.

        Returns:
            Facts about what was installed, such as its hash.

        Raises:
            UsageError: The backend needs no setup, which is the default.
        """
        raise UsageError(f"{self.title} needs no setup.", "Use it as it is.")

    def compile(self, artifact: Path, device: Device, folder: Path) -> Path:
        """Compiles an artifact for the device, which may take minutes, and writes the result into `folder`.

        By default nothing is compiled, and the artifact itself is returned. What is written has the name of the
        artifact with `compiled_suffix` in place of `suffix`.
        """
        return artifact

    @abstractmethod
    def open(self, device: Device) -> Session:
        """Opens a fresh session that shares no state with any other.

        Raises:
            DeviceUnavailableError: The device or its runtime is not available.
        """
