"""Stand-alone subnets: plain torch modules whose output equals the supernet's active path."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nagsdk.families.elastic import ElasticDepthwise
from nagsdk.families.mobilenet_v3.block import ElasticBlock
from nagsdk.families.mobilenet_v3.space import BlockShape, MobileNetV3Space, make_divisible
from nagsdk.families.mobilenet_v3.supernet import Supernet
from nagsdk.space.architecture import Architecture

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "hswish": nn.Hardswish, "none": nn.Identity}


class ConvUnit(nn.Module):
    """Convolution, batch normalisation (optional), activation."""

    def __init__(
        self, into: int, out: int, activation: str, kernel: int = 1, stride: int = 1, groups: int = 1, batch_norm: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out) if batch_norm else nn.Identity()
        self.activation = _ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, into, h, w) to (n, out, h', w')."""
        y: Tensor = self.activation(self.bn(self.conv(x)))
        return y


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation (Hu et al., 2018) with MobileNetV3's hard sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, make_divisible(channels // 4), 1)
        self.expand = nn.Conv2d(make_divisible(channels // 4), channels, 1)
        self.relu = nn.ReLU()
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Rescales the channels of x (n, c, h, w)."""
        y: Tensor = x * self.gate(self.expand(self.relu(self.reduce(x.mean((2, 3), keepdim=True)))))
        return y


class Block(nn.Module):
    """Inverted residual block of one kernel and expansion."""

    def __init__(self, shape: BlockShape, kernel: int, expansion: int) -> None:
        super().__init__()
        middle = make_divisible(shape.in_channels * expansion)
        self.residual = shape.residual
        self.expand = ConvUnit(shape.in_channels, middle, shape.activation)
        self.depthwise = ConvUnit(middle, middle, shape.activation, kernel, shape.stride, middle)
        self.se = SqueezeExcite(middle) if shape.se else nn.Identity()
        self.project = ConvUnit(middle, shape.out_channels, "none")

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, in_channels, h, w) to (n, out_channels, h', w')."""
        y: Tensor = self.project(self.se(self.depthwise(self.expand(x))))
        return x + y if self.residual else y


class FirstBlock(nn.Module):
    """The fixed depthwise-separable block after the stem."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = ConvUnit(width, width, "relu", 3, 1, width)
        self.project = ConvUnit(width, width, "none")

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, width, h, w) to the same shape."""
        y: Tensor = x + self.project(self.depthwise(x))
        return y


class Subnet(nn.Module):
    """A stand-alone network of one architecture; its weights are random until `extract` fills them.

    Attributes:
        architecture: What it was built from.
    """

    def __init__(self, space: MobileNetV3Space, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        stem, head, features = (space.width(w) for w in (space.stem_width, space.head_width, space.feature_width))
        self.stem = ConvUnit(3, stem, "hswish", 3, 2)
        self.first = FirstBlock(stem)
        chosen = [(b, architecture.code[b.decision]) for b in space.blocks if architecture.code[b.decision] >= 0]
        self.blocks = nn.Sequential(*(Block(shape, *space.block_choice(choice)) for shape, choice in chosen))
        self.head = ConvUnit(space.blocks[-1].out_channels, head, "hswish")
        self.features = ConvUnit(head, features, "hswish", batch_norm=False)
        self.classifier = nn.Linear(features, space.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of normalised images (n, 3, resolution, resolution)."""
        y = self.head(self.blocks(self.first(self.stem(x)))).mean((2, 3), keepdim=True)
        logits: Tensor = self.classifier(self.features(y).flatten(1))
        return logits


@torch.no_grad()
def extract(supernet: Supernet, architecture: Architecture) -> Subnet:
    """Cuts a stand-alone subnet out of a supernet.

    The statistics of batch normalisation are the supernet's and foreign to the subnet: see `recalibrate`.

    Args:
        supernet: Source of the weights; it is not changed.
        architecture: A point of the supernet's space.

    Returns:
        The subnet, in eval mode, holding its own copy of the weights.
    """
    subnet = Subnet(supernet.space, architecture)
    _copy_unit(subnet.stem, supernet.stem.weight, supernet.stem_bn)
    _copy_unit(subnet.first.depthwise, supernet.first_depthwise.weight, supernet.first_depthwise_bn)
    _copy_unit(subnet.first.project, supernet.first_project.weight, supernet.first_project_bn)
    active = [b for b in supernet.blocks if isinstance(b, ElasticBlock) and architecture.code[b.shape.decision] >= 0]
    for target, source in zip(subnet.blocks, active, strict=True):
        assert isinstance(target, Block)
        kernel, expansion = supernet.space.block_choice(architecture.code[source.shape.decision])
        _copy_block(target, source, kernel, expansion)
    _copy_unit(subnet.head, supernet.head.weight, supernet.head_bn)
    _copy_unit(subnet.features, supernet.features.weight, None)
    subnet.classifier.load_state_dict(supernet.classifier.state_dict())
    return subnet.eval()


def fold(subnet: Subnet) -> None:
    """Folds batch normalisation into the convolutions, in place: the same outputs to rounding, a pass over every activation less."""
    for unit in subnet.modules():
        if isinstance(unit, ConvUnit) and isinstance(unit.bn, nn.BatchNorm2d):
            unit.conv, unit.bn = fuse_conv_bn_eval(unit.conv, unit.bn), nn.Identity()


def _copy_block(target: Block, source: ElasticBlock, kernel: int, expansion: int) -> None:
    middle = make_divisible(source.shape.in_channels * expansion)
    _copy_unit(target.expand, source.expand.weight, source.expand_bn)
    _copy_unit(target.depthwise, _kernel_weight(source.depthwise, middle, kernel), source.depthwise_bn)
    if source.se is not None:
        assert isinstance(target.se, SqueezeExcite)
        for to, elastic in ((target.se.reduce, source.se.reduce), (target.se.expand, source.se.expand)):
            assert to.bias is not None and elastic.bias is not None
            to.weight.copy_(elastic.weight[: to.out_channels, : to.in_channels])
            to.bias.copy_(elastic.bias[: to.out_channels])
    _copy_unit(target.project, source.project.weight, source.project_bn)


def _kernel_weight(depthwise: ElasticDepthwise, channels: int, kernel: int) -> Tensor:
    """`ElasticDepthwise.kernel_weight` in float64, rounded once, with the same bits on every machine.

    A matrix product adds in an order that depends on the vector width and the threads of its library; element-wise
    operations, one tap after the other, do not.
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


def _copy_unit(unit: ConvUnit, weight: Tensor, bn: nn.BatchNorm2d | None) -> None:
    out, into = unit.conv.weight.shape[:2]
    unit.conv.weight.copy_(weight[:out, :into])
    if bn is not None:
        assert isinstance(unit.bn, nn.BatchNorm2d) and unit.bn.running_mean is not None and unit.bn.running_var is not None
        assert bn.running_mean is not None and bn.running_var is not None
        unit.bn.weight.copy_(bn.weight[:out])
        unit.bn.bias.copy_(bn.bias[:out])
        unit.bn.running_mean.copy_(bn.running_mean[:out])
        unit.bn.running_var.copy_(bn.running_var[:out])
        unit.bn.eps = bn.eps
