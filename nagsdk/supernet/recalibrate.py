"""Batch-normalisation statistics of a subnet, computed anew on its own activations."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def recalibrate(subnet: nn.Module, batches: Iterable[Tensor]) -> int:
    """Replaces the running statistics of every batch normalisation by those of the given images.

    A subnet cut out of a supernet carries the statistics of other subnets, which costs it most of its
    accuracy (Once-for-All, section 4.1; Yu & Huang, 2019).

    Args:
        subnet: Changed in place; left in eval mode.
        batches: Normalised images, float32, each (n, 3, h, w) with n ≥ 2; equal sizes weigh equally.

    Returns:
        The number of images used.
    """
    norms = [m for m in subnet.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [m.momentum for m in norms]
    subnet.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    images = 0
    for batch in batches:
        subnet(batch)
        images += len(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    subnet.eval()
    return images
