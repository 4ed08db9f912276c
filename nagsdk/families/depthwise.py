"""Depthwise convolutions of images smaller than their kernels, whose gradients oneDNN computes slowly."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class SmallDepthwise(torch.autograd.Function):
    """A depthwise convolution that sums the gradient of its weight position by position of the kernel.

    For images narrower than the kernel, oneDNN has only its reference code for this gradient, which takes most of the
    time of a step: networks for small images end at 2x2 or 4x4 with hundreds of channels (benchmarks/depthwise.py).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        """Convolves x (n, c, h, w) by weight (c, 1, k, k) with zeros around."""
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(x, weight, stride=stride, padding=padding, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Returns the gradients of x and weight."""
        x, weight = ctx.saved_tensors
        stride, padding = ctx.stride, ctx.padding
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            # torch.nn.grad.conv2d_input would lose the order of channels last, and slow all that follows down.
            strides, sides, no_bias = [stride] * 2, [padding] * 2, None
            of_x, _, _ = torch.ops.aten.convolution_backward(
                gradient, x, weight, no_bias, strides, sides, [1, 1], False, [0, 0], x.shape[1], [True, False, False]
            )
        if ctx.needs_input_grad[1]:
            # Channels last: each product is of whole rows in memory.
            around = functional.pad(x, (padding,) * 4).permute(0, 2, 3, 1)
            rows = gradient.permute(0, 2, 3, 1).contiguous()
            height, width = (stride * (side - 1) + 1 for side in rows.shape[1:3])
            kernel = range(weight.shape[-1])
            sums = [
                (around[:, i : i + height : stride, j : j + width : stride] * rows).sum((0, 1, 2))
                for i in kernel
                for j in kernel
            ]
            of_weight = torch.stack(sums, 1).view_as(weight)
        return of_x, of_weight, None, None
