"""Copies slices of elastic layers into the layers of a stand-alone subnet."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from nagsdk.families.elastic import ElasticDepthwise
from nagsdk.families.mobilenet_v3.block import ElasticBlock
from nagsdk.families.mobilenet_v3.subnet import Block, ConvUnit, SqueezeExcite
from nagsdk.families.widths import make_divisible


def copy_block(target: Block, source: ElasticBlock, kernel: int, expansion: int) -> None:
    """Fills a block with the slice of an elastic block that has this kernel and expansion."""
    middle = make_divisible(source.shape.in_channels * expansion)
    copy_unit(target.expand, source.expand.weight, source.expand_bn)
    copy_unit(target.depthwise, _kernel_weight(source.depthwise, middle, kernel), source.depthwise_bn)
    if source.se is not None:
        assert isinstance(target.se, SqueezeExcite)
        for to, elastic in ((target.se.reduce, source.se.reduce), (target.se.expand, source.se.expand)):
            assert to.bias is not None and elastic.bias is not None
            to.weight.copy_(elastic.weight[: to.out_channels, : to.in_channels])
            to.bias.copy_(elastic.bias[: to.out_channels])
    copy_unit(target.project, source.project.weight, source.project_bn)


def _kernel_weight(depthwise: ElasticDepthwise, channels: int, kernel: int) -> Tensor:
    """Computes `ElasticDepthwise.kernel_weight` in float64, rounded once, with the same bits on every machine.

    A matrix product adds its terms in an order that depends on the vector width and the threads of its library, so the
    terms are added element-wise here, one tap after the other.
    """
    weight = depthwise.weight[:channels, 0].double().cpu().numpy()
    for larger, smaller in pairwise(depthwise.kernels):
        if larger == kernel:
            break
        edge = (larger - smaller) // 2
        centre = weight[:, edge : edge + smaller, edge : edge + smaller].reshape(channels, -1)
        transform = depthwise.transforms[f"{larger}to{smaller}"].double().cpu().numpy()
        total = np.zeros_like(centre)
        for tap in range(smaller**2):
            total += centre[:, tap, None] * transform[:, tap]
        weight = total.reshape(channels, smaller, smaller)
    return torch.from_numpy(weight.astype(np.float32)[:, None])


def copy_unit(unit: ConvUnit, weight: Tensor, bn: nn.BatchNorm2d | None) -> None:
    """Fills a unit with the first channels of a convolution and of its batch normalisation."""
    out, into = unit.conv.weight.shape[:2]
    unit.conv.weight.copy_(weight[:out, :into])
    if bn is not None:
        assert (
            isinstance(unit.bn, nn.BatchNorm2d) and unit.bn.running_mean is not None and unit.bn.running_var is not None
        )
        assert bn.running_mean is not None and bn.running_var is not None
        unit.bn.weight.copy_(bn.weight[:out])
        unit.bn.bias.copy_(bn.bias[:out])
        unit.bn.running_mean.copy_(bn.running_mean[:out])
        unit.bn.running_var.copy_(bn.running_var[:out])
        unit.bn.eps = bn.eps
