"""Devices that are known by published or own latencies of well-known networks."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nagsdk.common.files import check_file, write_atomically
from nagsdk.common.quantiles import normal_quantile
from nagsdk.cost.chips import Core, require_scale
from nagsdk.cost.features import FEATURES, network_features
from nagsdk.device.description import Device, Overrides, check_device, reading_of
from nagsdk.errors import DeviceUnavailableError, OutputError, UsageError
from nagsdk.networks.catalogue import NETWORKS, layers_of
from nagsdk.pipeline.priors import FLOAT, described_prior, kernels_of
from nagsdk.pipeline.reach import described, reach
from nagsdk.ranges import CONFIDENCE, READING_MS, THREADS

# The kernels that the shipped backends for phones and for LiteRT on this machine run.
DEFAULT_KERNELS = "xnnpack"
_XNNPACK_BACKENDS = ("android", "litert")
_WRITTEN = ("id", "title", "backend", "threads", "kernels", "reading_threads", "chip", "caveat")


@dataclass(frozen=True)
class NetworkPrediction:
    """What a network of the catalogue takes on a device.

    Attributes:
        network: Name in the catalogue.
        title: Usual name.
        source: Where the network was published.
        size: Height and width of its input, in pixels.
        macs: Multiply-accumulates of one inference.
        parameters: Number of parameters.
        device: Id of the device; None without one.
        latency_ms: Predicted median in milliseconds; None without a device.
        latency_upper_ms: Upper bound of the median at `confidence`.
        confidence: Probability that the bound holds.
        rests_on: What the prediction rests on.
    """

    network: str
    title: str
    source: str
    size: int
    macs: int
    parameters: int
    device: str | None = None
    latency_ms: float | None = None
    latency_upper_ms: float | None = None
    confidence: float | None = None
    rests_on: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields, JSON-ready."""
        return dict(vars(self))


def add_device(
    name: str,
    readings: Mapping[str, float] | None = None,
    *,
    chip: str | None = None,
    like: str = "android",
    kernels: str = DEFAULT_KERNELS,
    reading_threads: int = 1,
    title: str | None = None,
    output: str | Path | None = None,
) -> Device:
    """Writes the description of a device of which only latencies of well-known networks, or only the chip, are known.

    Args:
        name: Id of the device.
        readings: Milliseconds of networks of the catalogue, by name, with one image; in float32, or in the precision
            that the name ends in, as in ``mobilenet_v2@int8``.
        chip: Core and frequency of the processor, such as ``Cortex-A78 2.4 GHz``. Without readings, the speed follows
            from it, which is a wide estimate; with readings, the frequency may be missing.
        like: Id or file of a device whose backend and options the new one has.
        kernels: Kernels that the readings are of: ``xnnpack`` (TFLite since 2020, LiteRT), ``tflite-2019`` or ``ncnn``.
        reading_threads: Number of threads of the readings, and of inferences on the device.
        title: Name for people; `name` by default.
        output: File to write; ``NAME.toml`` in the current folder by default. An existing one is not replaced.

    Returns:
        The device.

    Raises:
        UnknownNameError: A network, the chip, the kernels or `like` is unknown.
        UsageError: A number is out of its range, there is neither a reading nor a chip, or nothing is known of the
            speed of the chip.
        OutputError: The file exists, or cannot be written.
    """
    path = Path(output) if output is not None else Path(f"{name}.toml")
    if path.exists():
        raise OutputError(f"{path} exists.", "Give another name, or remove the file.")
    check_file(path)
    device = described_device(
        name, readings, chip=chip, like=like, kernels=kernels, reading_threads=reading_threads, title=title
    )
    write_atomically(path, _toml(device).encode())
    return device


def described_device(
    name: str,
    readings: Mapping[str, float] | None = None,
    *,
    chip: str | None = None,
    like: str = "android",
    kernels: str = DEFAULT_KERNELS,
    reading_threads: int = 1,
    title: str | None = None,
) -> Device:
    """Describes a device by readings or its chip; see `add_device`, which also writes the description.

    Raises:
        UnknownNameError: See `add_device`.
        UsageError: See `add_device`.
    """
    checked = {network: float(READING_MS.check(ms)) for network, ms in (readings or {}).items()}
    core = None if chip is None else _core(chip, kernels, with_readings=bool(checked))
    backend, model = described(like)
    for reading in checked:
        Overrides(precision=reading_of(reading)[1]).on(model, backend.precisions)  # refuses an unknown precision
    known = [f"readings with {kernels} kernels ({_listed(checked, reading_threads)})"] if checked else []
    known += [f"the name of its chip ({core}), with {kernels} kernels"] if core else []
    device = Device(
        name,
        title or name,
        model.backend,
        threads=THREADS.check(reading_threads),
        kernels=kernels,
        readings=tuple(sorted(checked.items())),
        reading_threads=reading_threads,
        chip=str(core) if core else "",
        # Options that tell one phone from others say nothing about a new one.
        options=tuple((key, value) for key, value in model.options if key not in ("model", "serial")),
        caveat=f"The latencies rest on {' and '.join(known)}, scaled from other processors; "
        f"nothing was measured on this device.{_other_kernels(model, kernels)}",
    )
    for reading in checked or ("",):  # names what is unknown before anything is written
        precision = reading_of(reading)[1]
        if described_prior(replace(device, precision="" if precision == FLOAT else precision)) is None:
            raise UsageError(
                "A device needs at least one reading, or a chip whose speed is known.",
                "Give one: --reading mobilenet_v3_large=7.7ms, or --chip 'Cortex-A76 2.4 GHz'.",
            )
    try:
        check_device(device)
    except ValueError as error:
        raise UsageError(f"The device cannot be described: {error}.", "Change the name or the title.") from error
    return device


def _core(chip: str, kernels: str, *, with_readings: bool) -> Core:
    """Reads the name of a chip; without readings it must tell the speed."""
    found = kernels_of(kernels)
    core = Core.parse(chip, found.chips)
    if not with_readings:
        require_scale(core, found, kernels)
    return core


def _other_kernels(model: Device, kernels: str) -> str:
    """A sentence for devices whose backend runs other kernels than those that the readings are of."""
    if kernels == DEFAULT_KERNELS and model.backend in _XNNPACK_BACKENDS:
        return ""
    return f" Models run with the kernels of the backend {model.backend}, whose latencies may differ from {kernels}."


def _listed(readings: Mapping[str, float], threads: int) -> str:
    each = ", ".join(f"{network} {ms:g} ms" for network, ms in readings.items())
    return f"{each}; {threads} threads" if threads > 1 else each


def _toml(device: Device) -> str:
    """The content of a description; strings of JSON are strings of TOML."""
    lines = [
        f"# Written on {datetime.now(UTC).date().isoformat()}; `nagsdk calibrate` goes on from here.",
        *(f"{name} = {json.dumps(getattr(device, name))}" for name in _WRITTEN if getattr(device, name)),
    ]
    if device.readings:
        lines += ["", "# Milliseconds with one image.", "[readings]"]
        lines += [f"{json.dumps(network)} = {ms!r}" for network, ms in device.readings]
    if device.options:
        lines += ["", "[options]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in device.options)]
    return "\n".join(lines) + "\n"


def predict_networks(
    networks: list[str], device: str | Path | Device | None = None, *, confidence: float = 0.9
) -> list[NetworkPrediction]:
    """Predicts what networks of the catalogue take on a device that has a prior.

    Args:
        networks: Names in the catalogue.
        device: A device, its id or its file; None for sizes only.
        confidence: Confidence of the upper bound.

    Returns:
        One prediction for each; without a latency where the network needs work whose price on this device nobody
        measured, which `rests_on` says.

    Raises:
        UnknownNameError: A network or the device is unknown.
        DeviceUnavailableError: Nothing is known about the device's latencies.
    """
    CONFIDENCE.check(confidence)
    plain = [_sized(name) for name in networks]
    if device is None:
        return plain
    _, found, _ = reach(device, Overrides())
    return [_priced(one, found, confidence) for one in plain]


def _sized(name: str) -> NetworkPrediction:
    layers, published = layers_of(name), NETWORKS[name]
    return NetworkPrediction(
        name,
        published.title,
        published.source,
        published.size,
        sum(layer.macs for layer in layers),
        sum(layer.parameters for layer in layers),
    )


def _priced(one: NetworkPrediction, device: Device, confidence: float) -> NetworkPrediction:
    prior = described_prior(device, one.network)
    if prior is None:
        raise DeviceUnavailableError(
            f"Nothing is known about the latencies of {device.id}.",
            "Give a device with a prior, or describe it by a reading: "
            "nagsdk devices add NAME --reading mobilenet_v3_large=7.7ms.",
        )
    features = network_features(layers_of(one.network))
    unknown = [name for name, amount in zip(FEATURES, features, strict=True) if amount and name in prior.unknown]
    if unknown:
        reason = f"nothing for {one.title}, since the price of {', '.join(unknown)} on {device.id} is not known"
        return replace(one, device=device.id, rests_on=reason)
    latency = float(features @ prior.weights)
    margin = normal_quantile(confidence) * math.hypot(prior.spread, prior.jitter.sessions)
    return replace(
        one,
        device=device.id,
        latency_ms=latency,
        latency_upper_ms=latency * math.exp(margin),
        confidence=confidence,
        rests_on=prior.source["title"],
    )
