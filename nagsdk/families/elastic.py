"""Elastic layers: they store full-size weights, and a forward pass uses a slice of them (Once-for-All, section 3)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class ElasticConv(nn.Module):
    """A convolution that uses only its first output channels and its first input channels."""

    def __init__(self, into: int, out: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, into, kernel, kernel))
        self.stride = stride
        nn.init.kaiming_normal_(self.weight, mode="fan_out")

    def forward(self, x: Tensor, out: int | None = None) -> Tensor:
        """Convolves x (n, into, h, w) to `out` channels; None means all."""
        weight = self.weight[:out, : x.shape[1]]
        if weight.shape[-1] == 1 and x.is_contiguous(memory_format=torch.channels_last):
            # A 1x1 convolution is a matrix product; its backward pass is faster on CPUs, most of all for small batches.
            return functional.linear(x.permute(0, 2, 3, 1), weight.flatten(1)).permute(0, 3, 1, 2)
        return functional.conv2d(x, weight, stride=self.stride, padding=weight.shape[-1] // 2)


class ElasticDepthwise(nn.Module):
    """A depthwise convolution whose small kernels are learned transformations of the centre of the larger kernels."""

    def __init__(self, channels: int, kernels: tuple[int, ...], stride: int) -> None:
        super().__init__()
        self.kernels = sorted(kernels, reverse=True)
        largest = self.kernels[0]
        self.weight = nn.Parameter(torch.empty(channels, 1, largest, largest))
        self.stride = stride
        self.transforms = nn.ParameterDict(
            {f"{a}to{b}": nn.Parameter(torch.eye(b * b)) for a, b in pairwise(self.kernels)}
        )
        nn.init.kaiming_normal_(self.weight, mode="fan_in")

    def kernel_weight(self, channels: int, kernel: int) -> Tensor:
        """The weight of an active kernel, shape (channels, 1, kernel, kernel)."""
        weight = self.weight[:channels]
        for larger, smaller in pairwise(self.kernels):
            if larger == kernel:
                break
            edge = (larger - smaller) // 2
            centre = weight[:, :, edge : edge + smaller, edge : edge + smaller].reshape(channels, 1, -1)
            weight = functional.linear(centre, self.transforms[f"{larger}to{smaller}"]).view(
                channels, 1, smaller, smaller
            )
        return weight

    def forward(self, x: Tensor, kernel: int) -> Tensor:
        """Convolves x (n, c, h, w) with the active kernel."""
        channels = x.shape[1]
        return functional.conv2d(
            x, self.kernel_weight(channels, kernel), stride=self.stride, padding=kernel // 2, groups=channels
        )


class ElasticBatchNorm(nn.BatchNorm2d):
    """Batch normalisation of the first channels; only the running statistics of these channels are updated."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalises x (n, c, h, w), c at most the number of features."""
        c = x.shape[1]
        assert self.running_mean is not None and self.running_var is not None
        return functional.batch_norm(
            x,
            self.running_mean[:c],
            self.running_var[:c],
            self.weight[:c],
            self.bias[:c],
            self.training,
            self.momentum or 0.0,
            self.eps,
        )
