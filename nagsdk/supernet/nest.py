"""Lets the networks of a supernet start as the smallest one, so that what it learns alone is what all know."""

from __future__ import annotations

import copy

import torch
from torch import nn

from nagsdk.families.protocol import Supernet
from nagsdk.families.torch_scope import seeded
from nagsdk.space.space import extremes

_IMAGES = 16


def nest(supernet: Supernet) -> None:
    """Zeroes the weights by which what only larger networks have would change what the smallest one computes, in place.

    These are, in every tensor of weights, those that the smallest network leaves out of the rows (output channels) that
    it uses: columns of further input channels, and the rims of larger kernels. Layers that it does not use at all stay
    as they are: where residual branches start at zero, they change nothing. So larger networks compute the same as the
    smallest one at equal resolution, and keep what it learns, as with the function-preserving transformations of
    Net2Net (Chen et al., 2016); the zeroed weights learn as soon as larger networks are trained.

    What the smallest network uses is what its outputs have gradients for, so this holds for every family whose smaller
    networks use parts of the weights of larger ones.

    Args:
        supernet: Supernet with random weights, on any torch device.
    """
    probe = copy.deepcopy(supernet).train()
    code = extremes(supernet.space)[0].tolist()
    code[0] = len(supernet.space.resolutions) - 1  # small images do not reach the rims of kernels
    with seeded(0):
        for parameter in probe.parameters():
            if not parameter.any():  # a branch that starts at zero hides what is inside
                nn.init.normal_(parameter, std=0.1)
        side = supernet.space.resolutions[-1]
        logits = probe(torch.randn(_IMAGES, 3, side, side).to(next(probe.parameters()).device), code)
        torch.autograd.backward((logits * torch.randn(logits.shape).to(logits.device)).sum())
    with torch.no_grad():
        for parameter, probed in zip(supernet.parameters(), probe.parameters(), strict=True):
            if probed.grad is None or parameter.ndim < 2:
                continue
            used = probed.grad != 0
            rows = used.flatten(1).any(1)
            parameter[rows] *= used[rows]
