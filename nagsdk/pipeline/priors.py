"""What a device's description says of its latencies: a shipped prior, or readings of well-known networks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nagsdk.common.folders import shipped
from nagsdk.cost.prior import Prior, read_prior
from nagsdk.device.description import Device
from nagsdk.errors import UnknownNameError

if TYPE_CHECKING:
    from nagsdk.cost.pool import Kernels

POOL = "cpu-pool.json"


def described_prior(device: Device) -> Prior | None:
    """Returns the prior that a description names or that follows from its readings, for its threads and batch.

    Raises:
        UnknownNameError: A network or the kernels are unknown.
    """
    if device.prior is not None:
        prior = read_prior(shipped("devices") / device.prior)
    elif device.readings:
        prior = prior_by(kernels_of(device.kernels), device.readings)
    else:
        return None
    return prior.for_threads(device.threads).for_batch(device.batch)


def prior_by(kernels: Kernels, readings: Iterable[tuple[str, float]]) -> Prior:
    """Returns the prior of a processor, for one thread and one image.

    Args:
        kernels: What it runs.
        readings: Networks of the catalogue and their latencies in milliseconds.

    Raises:
        UnknownNameError: A network is unknown.
        UsageError: There is no reading.
    """
    from nagsdk.cost.features import network_features
    from nagsdk.networks.catalogue import layers_of

    return kernels.prior((name, network_features(layers_of(name)), ms) for name, ms in readings)


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
