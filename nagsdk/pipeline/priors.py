"""What a device's description says of its latencies: a shipped prior, or readings of well-known networks and a chip."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from nagsdk.common.folders import shipped
from nagsdk.cost.prior import Prior, read_prior
from nagsdk.device.description import Device, reading_of
from nagsdk.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from nagsdk.cost.pool import Kernels

POOL = "cpu-pool.json"
FLOAT = "fp32"
# Parts of the names of backends, delegates and providers that do not compute on a processor.
_ACCELERATOR = re.compile(r"gpu|npu|tpu|cuda|nnapi|qnn|hexagon|tensorrt|coreml|vulkan", re.IGNORECASE)
# Additional spreads: readings in another number format than float32, or with several threads, fix the scale, but the
# proportions between networks that the pool knows are those of float32 and of one thread.
_OTHER_PRECISION_SPREAD = _SEVERAL_THREADS_SPREAD = 0.15


def described_prior(device: Device, network: str | None = None) -> Prior | None:
    """Returns the prior that a description names or that follows from its readings, for its threads and batch.

    Args:
        device: The description.
        network: A network of the catalogue that the prior is used for; any network if None.

    Returns:
        The prior; None if the description says nothing of latencies in its precision. The key ``precision`` of its
        source tells which precision it is for.

    Raises:
        UnknownNameError: A network, the chip or the kernels are unknown.
    """
    if device.prior is not None:
        prior: Prior | None = read_prior(shipped("devices") / device.prior)
    elif device.kernels:
        prior = _pooled(device, network)
    else:
        return None
    return None if prior is None else prior.for_threads(device.threads).for_batch(device.batch)


def check_processor(device: Device) -> None:
    """Raises an error if a device that is described by readings or a chip computes on something else than a processor.

    Raises:
        UsageError: It computes on a GPU or an NPU; readings of processors would mislead by some 50 %.
    """
    options = dict(device.options)
    places = (device.backend, *(options[key] for key in ("delegate", "provider", "target") if key in options))
    if other := next((place for place in places if _ACCELERATOR.search(place)), None):
        raise UsageError(
            f"{device.id} computes with {other:.80}: GPUs and NPUs are no scaled processors, so that readings "
            "and chips give no prior of them.",
            "Leave readings and chip out, and measure: nagsdk calibrate --device FILE.",
        )


def _pooled(device: Device, network: str | None) -> Prior | None:
    from nagsdk.cost.chips import Core, nearest
    from nagsdk.cost.features import network_features
    from nagsdk.networks.catalogue import layers_of

    check_processor(device)
    kernels = kernels_of(device.kernels)
    core = Core.parse(device.chip, kernels.chips) if device.chip else None
    chip, scale = nearest(core, kernels) if core else (None, None)
    precision = device.precision or FLOAT
    given: dict[str, list[tuple[str, float]]] = {}
    for reading, ms in device.readings:
        name, of = reading_of(reading)
        given.setdefault(of, []).append((name, ms))
    own = precision if precision in given else FLOAT
    read = [(name, network_features(layers_of(name)), ms) for name, ms in given.get(own, [])]
    if not read and (scale is None or given):
        return None
    target = None if network is None else (network, network_features(layers_of(network)))
    # Readings tell the scale better than a name does; the proportions of another design are no better than any.
    prior = (
        kernels.prior(read, chip if core and chip == core.name else None, network=target)
        if read
        else kernels.prior([], chip, scale, target)
    )
    if read and device.reading_threads > 1:
        title = f"{prior.source['title']} and {device.reading_threads} threads"
        spread = math.hypot(prior.spread, _SEVERAL_THREADS_SPREAD)
        prior = replace(prior, threads=device.reading_threads, spread=spread, source={**prior.source, "title": title})
    if own == precision != FLOAT:
        title = f"{prior.source['title']} in {precision}"
        spread = math.hypot(prior.spread, _OTHER_PRECISION_SPREAD)
        prior = replace(prior, spread=spread, source={**prior.source, "title": title})
    elif own != precision and precision in kernels.precisions:
        prior, own = kernels.in_precision(prior, precision), precision
    return replace(prior, source={**prior.source, "precision": own})


def kernels_of(name: str) -> Kernels:
    """Returns what processors with the same kernels have in common.

    Raises:
        UnknownNameError: The pool has no such kernels.
    """
    from nagsdk.cost.pool import read_pool

    pool = read_pool(shipped("devices") / POOL)
    if name not in pool:
        raise UnknownNameError(f"No processors are known with the kernels {name!r:.80}.", f"Use {' or '.join(pool)}.")
    return pool[name]
