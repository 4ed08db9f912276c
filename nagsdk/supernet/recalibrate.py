"""Recomputes the batch normalisation statistics of a subnet from its own activations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from nagsdk.errors import DamagedBundleError
from nagsdk.families.protocol import Subnet, Supernet
from nagsdk.space.space import extremes

# More images at once would need gigabytes of memory at 224 px; fewer would make the statistics noisier.
_PORTION = 128


@torch.no_grad()
def recalibrate(subnet: nn.Module, images: Tensor) -> None:
    """Replaces the running statistics of every batch normalisation by those of the given images.

    A subnet cut out of a supernet has the statistics of other subnets and loses most of its accuracy by that
    (Once-for-All, section 4.1; Yu & Huang, 2019). Every image has the same weight. Images are shuffled, because they
    often come sorted by class, and a portion of few classes has other statistics than all images together.

    Args:
        subnet: Network to change in place; it ends in eval mode, with its weights channels last in memory.
        images: Normalised images, float32, shape (n, 3, h, w), n ≥ 1. They may be on another device than the network.
    """
    # Equal bits wherever the same images are used: other memory formats are summed in another order.
    subnet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    device = next(subnet.parameters(), torch.empty(0)).device
    norms = [m for m in subnet.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [m.momentum for m in norms]
    subnet.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(images)))
    seen = 0
    for rows in order.tensor_split(math.ceil(len(images) / _PORTION)):
        seen += len(rows)
        for norm in norms:
            norm.momentum = len(rows) / seen
        subnet(images[rows].to(device).contiguous(memory_format=torch.channels_last))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    subnet.eval()


def teacher_of(supernet: Supernet, recalibration: Tensor) -> Subnet:
    """Cuts out the largest network as it is now, in eval mode, with recalibrated batch normalisation.

    Args:
        supernet: Source of the weights.
        recalibration: Normalised images at the highest resolution; see `recalibrate`.
    """
    where = next(supernet.parameters()).device
    teacher = supernet.extract(supernet.space.decode(extremes(supernet.space))[1]).to(where)
    recalibrate(teacher, recalibration)
    return teacher.requires_grad_(False)


def statistics(subnet: nn.Module) -> dict[str, bytes]:
    """Returns the statistics of every batch normalisation layer by name.

    Each entry is float32, little endian: first all means, then all variances.
    """
    return {
        name: np.stack([mean.numpy(), variance.numpy()]).astype("<f4").tobytes()
        for name, mean, variance in _norms(subnet)
    }


def restore_statistics(subnet: nn.Module, kept: Mapping[str, bytes]) -> None:
    """Restores statistics that `statistics` returned, bit for bit.

    Args:
        subnet: Network to change in place.
        kept: Statistics of a subnet of the same architecture.

    Raises:
        DamagedBundleError: The statistics belong to another architecture.
    """
    norms = list(_norms(subnet))
    if {name: 8 * len(mean) for name, mean, _ in norms} != {name: len(content) for name, content in kept.items()}:
        raise DamagedBundleError(
            "The batch normalisation statistics do not fit the architecture.", "Build again without --locked."
        )
    for name, mean, variance in norms:
        both = torch.from_numpy(np.frombuffer(kept[name], "<f4").reshape(2, -1).astype(np.float32))
        mean.copy_(both[0])
        variance.copy_(both[1])


def _norms(subnet: nn.Module) -> Iterable[tuple[str, Tensor, Tensor]]:
    for name, module in subnet.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            yield name, module.running_mean, module.running_var
