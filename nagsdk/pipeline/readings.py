"""Devices that are known by published or own latencies of well-known networks."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nagsdk.common.files import check_file, write_atomically
from nagsdk.common.folders import shipped
from nagsdk.common.quantiles import normal_quantile
from nagsdk.cost.pool import Kernels, features_of, read_pool
from nagsdk.cost.prior import Prior
from nagsdk.cost.table import Floats
from nagsdk.device.description import Device, Overrides, check_device
from nagsdk.errors import DeviceUnavailableError, OutputError, UnknownNameError, UsageError
from nagsdk.networks.catalogue import NETWORKS, layers_of
from nagsdk.pipeline.target import reach
from nagsdk.ranges import CONFIDENCE, READING_MS

POOL = "cpu-pool.json"
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


def kernels_of(name: str) -> Kernels:
    """Returns what processors with the same kernels have in common.

    Raises:
        UnknownNameError: The pool has no such kernels.
    """
    pool = read_pool(shipped("devices") / POOL)
    if name not in pool:
        raise UnknownNameError(f"No processors are known with the kernels {name!r:.80}.", f"Use {' or '.join(pool)}.")
    return pool[name]


def _given(device: Device) -> list[tuple[str, Floats, float]]:
    return [(name, features_of(layers_of(name)), ms) for name, ms in device.readings]


def prior_of_readings(device: Device) -> Prior:
    """Returns the prior of a device that is described by readings, for its threads and batch.

    Raises:
        UnknownNameError: A network or the kernels are unknown.
    """
    prior = kernels_of(device.kernels).prior(_given(device))
    return prior.for_threads(device.threads).for_batch(device.batch)


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
    kernels_of(kernels).scale((network, features_of(layers_of(network)), ms) for network, ms in checked.items())
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
    features = features_of(layers_of(one.network))
    if device.readings:
        kernels, prior = kernels_of(device.kernels), prior_of_readings(device)
        known = one.network in kernels.networks
        ratio = kernels.networks.get(one.network, 1.0)
        spread = prior.spread if not known else max(prior.spread - kernels.spread + kernels.known_spread, 0.0)
    elif device.prior is not None:
        from nagsdk.cost.prior import read_prior

        prior = read_prior(shipped("devices") / device.prior).for_threads(device.threads).for_batch(device.batch)
        ratio, spread = 1.0, prior.spread
    else:
        near = difflib.get_close_matches(device.id, ["pixel", "cpu"], n=1)
        raise DeviceUnavailableError(
            f"Nothing is known about the latencies of {device.id}.",
            f"Give a device with a prior{f', such as {near[0]}' if near else ''}, or describe it by a reading: "
            "nagsdk devices add NAME --reading mobilenet_v3_large=7.7ms.",
        )
    latency = float(features @ prior.weights) * ratio
    if dict(device.readings).get(one.network) is not None and device.threads == device.batch == 1:
        latency = dict(device.readings)[one.network]
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
