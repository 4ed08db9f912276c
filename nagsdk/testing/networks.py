"""Small networks with random weights, for tests."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nagsdk.families import testing_space
from nagsdk.families.protocol import Subnet
from nagsdk.families.space import NetworkSpace
from nagsdk.space.architecture import Architecture
from nagsdk.supernet.recalibrate import recalibrate


def small_space() -> NetworkSpace:
    """Returns a search space with every kind of layer whose networks are exported and run in milliseconds."""
    return testing_space()


@torch.no_grad()
def random_subnet(space: NetworkSpace, architecture: Architecture, seed: int = 0) -> Subnet:
    """Returns a subnet in eval mode with random weights, whose batch normalisation always has an effect.

    Its statistics are those of random images, so that activations stay near 1. If activations exploded, hard sigmoids
    would amplify every rounding error, and no two runtimes would agree.
    """
    generator = torch.Generator().manual_seed(seed)
    subnet = space.build(architecture)
    for module in subnet.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm)) and module.weight is not None:
            for tensor, low, high in ((module.weight, 0.5, 1.5), (module.bias, -0.3, 0.3)):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            scale = (2 / module.weight[0].numel()) ** 0.5
            module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * scale)
            if module.bias is not None:
                module.bias.copy_(torch.randn(module.bias.shape, generator=generator) * 0.1)
    recalibrate(subnet, torch.from_numpy(random_images(4, architecture.resolution, seed)))
    return subnet


def random_images(count: int, resolution: int, seed: int = 0) -> NDArray[np.float32]:
    """Returns standard normal images, float32, shape (count, 3, resolution, resolution)."""
    return np.random.default_rng(seed).standard_normal((count, 3, resolution, resolution), dtype=np.float32)
