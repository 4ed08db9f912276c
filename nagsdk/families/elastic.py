"""Elastic layers: they store full-size weights, and a forward pass uses a slice of them (Once-for-All, section 3)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from nagsdk.families.depthwise import SmallDepthwise
from nagsdk.space.layer import same_sides


def convolved(x: Tensor, weight: Tensor, stride: int, same: bool, groups: int = 1) -> Tensor:
    """Convolves images with zeros around them.

    Args:
        x: Images, shape (n, c, h, w).
        weight: Odd kernels, shape (out, c / groups, k, k).
        stride: Stride in both directions.
        same: Whether the zeros are those of `same_sides` instead of k // 2 on every side.
        groups: Groups of channels.
    """
    kernel = weight.shape[-1]
    if same and stride > 1:
        above, left = (same_sides(size, kernel, stride) for size in x.shape[2:])
        x, padding = functional.pad(x, (*left, *above)), 0
    else:
        padding = kernel // 2
    if groups == x.shape[1] and min(x.shape[2:]) < kernel and x.device.type == "cpu" and weight.requires_grad:
        convolution: Tensor = SmallDepthwise.apply(x, weight, stride, padding)  # type: ignore[no-untyped-call]
        return convolution
    return functional.conv2d(x, weight, stride=stride, padding=padding, groups=groups)


class ElasticConv(nn.Module):
    """A convolution that uses only its first output channels and its first input channels."""

    def __init__(self, into: int, out: int, kernel: int = 1, stride: int = 1, same: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, into, kernel, kernel))
        self.stride, self.same = stride, same
        nn.init.kaiming_normal_(self.weight, mode="fan_out")

    def forward(self, x: Tensor, out: int | None = None) -> Tensor:
        """Convolves x (n, into, h, w) to `out` channels; None means all."""
        weight = self.weight[:out, : x.shape[1]]
        if weight.shape[-1] == 1 and x.is_contiguous(memory_format=torch.channels_last):
            # A 1x1 convolution is a matrix product; its backward pass is faster on CPUs, most of all for small batches.
            return functional.linear(x.permute(0, 2, 3, 1), weight.flatten(1)).permute(0, 3, 1, 2)
        return convolved(x, weight, self.stride, self.same)


class ElasticDepthwise(nn.Module):
    """A depthwise convolution whose small kernels are learned transformations of the centre of the larger kernels."""

    def __init__(self, channels: int, kernels: tuple[int, ...], stride: int, same: bool = False) -> None:
        super().__init__()
        self.same = same
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
        return convolved(x, self.kernel_weight(channels, kernel), self.stride, self.same, channels)


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
