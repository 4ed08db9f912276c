"""The loss of subnets against the largest network of their supernet, on images that need no labels."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nagsdk.families.protocol import Supernet
from nagsdk.space.space import Codes, extremes

_IMAGES = 256


class OwnLoss:
    """What the sandwich rule trains subnets for: the cross-entropy to the outputs of the largest network.

    Batch normalisation uses the statistics of the images, so that no subnet has to be recalibrated.

    Args:
        supernet: The supernet, which stays as it is.
        images: Maps a resolution to normalised images, the same ones at every resolution.
    """

    def __init__(self, supernet: Supernet, images: Callable[[int], NDArray[np.float32]]) -> None:
        self._supernet, self._images = copy.deepcopy(supernet), images
        self._known: dict[int, Tensor] = {}
        for module in self._supernet.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train()
        self._teacher = self._outputs(extremes(supernet.space)[1].tolist()).softmax(1)

    @torch.no_grad()
    def __call__(self, codes: Codes) -> NDArray[np.float64]:
        """The losses of architectures of shape (n, decisions), shape (n,)."""
        losses = [float(functional.cross_entropy(self._outputs(code), self._teacher)) for code in codes.tolist()]
        return np.array(losses)

    @torch.no_grad()
    def _outputs(self, code: list[int]) -> Tensor:
        if code[0] not in self._known:
            images = torch.from_numpy(self._images(self._supernet.space.resolutions[code[0]])[:_IMAGES])
            self._known[code[0]] = images.contiguous(memory_format=torch.channels_last)
        logits: Tensor = self._supernet(self._known[code[0]], code)
        return logits.float()
