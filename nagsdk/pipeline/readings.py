"""Devices that are known by published or own latencies of well-known networks."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nagsdk.common.files import check_file, write_atomically
from nagsdk.common.quantiles import normal_quantile
from nagsdk.cost.features import network_features
from nagsdk.device.description import Device, Overrides, check_device
from nagsdk.errors import DeviceUnavailableError, OutputError, UsageError
from nagsdk.networks.catalogue import NETWORKS, layers_of
from nagsdk.pipeline.priors import described_prior, kernels_of, prior_by
from nagsdk.pipeline.target import reach
from nagsdk.ranges import CONFIDENCE, READING_MS

# The kernels that the shipped backends for phones and for LiteRT on this machine run.
DEFAULT_KERNELS = "xnnpack"


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
    readings: Mapping[str, float],
    *,
    like: str = "android",
    kernels: str = DEFAULT_KERNELS,
    title: str | None = None,
    output: str | Path | None = None,
) -> Device:
    """Writes the description of a device of which only latencies of well-known networks are known.

    Args:
        name: Id of the device.
        readings: Milliseconds of networks of the catalogue, by name, in float32 with one image and one thread.
        like: Id or file of a device whose backend and options the new one has.
        kernels: Kernels that the readings are of: ``xnnpack`` (TFLite since 2020, LiteRT) or ``ncnn``.
        title: Name for people; `name` by default.
        output: File to write; ``NAME.toml`` in the current folder by default. An existing one is not replaced.

    Returns:
        The device.

    Raises:
        UnknownNameError: A network, the kernels or `like` is unknown.
        UsageError: A number is out of its range, or there is no reading.
        OutputError: The file exists, or cannot be written.
    """
    checked = {network: float(READING_MS.check(ms)) for network, ms in readings.items()}
    prior_by(kernels_of(kernels), checked.items())  # names what is unknown before anything is written
    path = Path(output) if output is not None else Path(f"{name}.toml")
    if path.exists():
        raise OutputError(f"{path} exists.", "Give another name, or remove the file.")
    check_file(path)
    _, model, _ = reach(like, Overrides())
    listed = ", ".join(f"{network} {ms:g} ms" for network, ms in checked.items())
    device = Device(
        name,
        title or name,
        model.backend,
        kernels=kernels,
        readings=tuple(sorted(checked.items())),
        # Options that tell one phone from others say nothing about a new one.
        options=tuple((key, value) for key, value in model.options if key not in ("model", "serial")),
        caveat=f"The latencies rest on readings with {kernels} kernels ({listed}), scaled from other processors; "
        "nothing was measured on this device.",
    )
    try:
        check_device(device)
    except ValueError as error:
        raise UsageError(f"The device cannot be described: {error}.", "Change the name or the title.") from error
    write_atomically(path, _toml(device).encode())
    return device


def _toml(device: Device) -> str:
    """The content of a description; strings of JSON are strings of TOML."""
    lines = [
        f"# Written on {datetime.now(UTC).date().isoformat()}; `nagsdk calibrate` goes on from here.",
        *(f"{name} = {json.dumps(getattr(device, name))}" for name in ("id", "title", "backend", "kernels", "caveat")),
        "",
        "# Milliseconds in float32, one image, one thread.",
        "[readings]",
        *(f"{network} = {ms!r}" for network, ms in device.readings),
    ]
    if device.options:
        lines += ["", "[options]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in device.options)]
    return "\n".join(lines) + "\n"


def predict_networks(
    networks: list[str],
    device: str | Path | Device | None = None,
    *,
    confidence: float = 0.9,
    overrides: Overrides | None = None,
) -> list[NetworkPrediction]:
    """Predicts what networks of the catalogue take on a device that has a prior.

    Args:
        networks: Names in the catalogue.
        device: A device, its id or its file; None for sizes only.
        confidence: Confidence of the upper bound.
        overrides: Settings that replace the device's.

    Raises:
        UnknownNameError: A network or the device is unknown.
        DeviceUnavailableError: Nothing is known about the device's latencies.
    """
    CONFIDENCE.check(confidence)
    plain = [_sized(name) for name in networks]
    if device is None:
        return plain
    _, found, _ = reach(device, overrides or Overrides())
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
    prior = described_prior(device)
    if prior is None:
        raise DeviceUnavailableError(
            f"Nothing is known about the latencies of {device.id}.",
            "Give a device with a prior, or describe it by a reading: "
            "nagsdk devices add NAME --reading mobilenet_v3_large=7.7ms.",
        )
    latency, spread = float(network_features(layers_of(one.network)) @ prior.weights), prior.spread
    if device.readings:
        kernels = kernels_of(device.kernels)
        if one.network in kernels.networks:
            latency *= kernels.networks[one.network]
            spread = max(spread - kernels.spread + kernels.known_spread, 0.0)
        if device.threads == device.batch == 1:
            latency = dict(device.readings).get(one.network, latency)
    scatter = math.hypot(spread, prior.jitter.sessions)
    return NetworkPrediction(
        **{
            **vars(one),
            "device": device.id,
            "latency_ms": latency,
            "latency_upper_ms": latency * math.exp(normal_quantile(confidence) * scatter),
            "confidence": confidence,
            "rests_on": prior.source["title"],
        }
    )
