"""Stand-alone subnets: plain torch modules with the same output as the active path of the supernet."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nagsdk.families.mobilenet_v3.definition import BlockShape, MobileNetV3Definition, halved
from nagsdk.families.protocol import Subnet
from nagsdk.families.torch_scope import seeded
from nagsdk.families.widths import make_divisible
from nagsdk.space.architecture import Architecture
from nagsdk.space.layer import same_sides

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hswish": nn.Hardswish,
}


class ConvUnit(nn.Module):
    """Convolution, optional batch normalisation and activation.

    Args:
        into: Number of input channels.
        out: Number of output channels.
        activation: Name of the activation.
        kernel: Height and width of the kernel.
        stride: Stride in both directions.
        groups: Groups of channels.
        batch_norm: Whether there is batch normalisation.
        size: Height and width of the input, where zeros follow `same_sides`; None for kernel // 2 on every side.
    """

    def __init__(
        self,
        into: int,
        out: int,
        activation: str,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        batch_norm: bool = True,
        size: int | None = None,
    ) -> None:
        super().__init__()
        before, after = (kernel // 2,) * 2 if size is None else same_sides(size, kernel, stride)
        even = before == after
        self.pad = nn.Identity() if even else nn.ZeroPad2d((before, after) * 2)
        self.conv = nn.Conv2d(into, out, kernel, stride, before if even else 0, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out) if batch_norm else nn.Identity()
        self.activation = _ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, into, h, w) to (n, out, h', w')."""
        y: Tensor = self.activation(self.bn(self.conv(self.pad(x))))
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
    """Inverted residual block with a fixed kernel and expansion; `size` is that of `ConvUnit`."""

    def __init__(self, shape: BlockShape, kernel: int, expansion: int, size: int | None = None) -> None:
        super().__init__()
        middle = make_divisible(shape.in_channels * expansion)
        self.residual = shape.residual
        self.expand = ConvUnit(shape.in_channels, middle, shape.activation)
        self.depthwise = ConvUnit(middle, middle, shape.activation, kernel, shape.stride, middle, size=size)
        self.se = SqueezeExcite(middle) if shape.se else nn.Identity()
        self.project = ConvUnit(middle, shape.out_channels, "none")

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, in_channels, h, w) to (n, out_channels, h', w')."""
        y: Tensor = self.project(self.se(self.depthwise(self.expand(x))))
        return x + y if self.residual else y


class FirstBlock(nn.Module):
    """The fixed depthwise-separable block after the stem."""

    def __init__(self, width: int, out: int, activation: str) -> None:
        super().__init__()
        self.residual = width == out
        self.depthwise = ConvUnit(width, width, activation, 3, 1, width)
        self.project = ConvUnit(width, out, "none")

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, width, h, w) to (n, out, h, w)."""
        y: Tensor = self.project(self.depthwise(x))
        return x + y if self.residual else y


def set_eps(network: nn.Module, eps: float) -> None:
    """Sets what the batch normalisation of a network adds to variances."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = eps


class MobileNetV3Subnet(Subnet):
    """A stand-alone network of one architecture; its weights are random until `Supernet.extract` fills them."""

    @seeded()
    def __init__(self, space: MobileNetV3Definition, architecture: Architecture) -> None:
        super().__init__(architecture)
        stem, head = space.width(space.stem_width), space.width(space.head_width)
        size = architecture.resolution
        self.stem = ConvUnit(3, stem, space.activation, 3, 2, size=size if space.same else None)
        size = halved(size, 2)
        self.first = FirstBlock(stem, space.trunk, space.first_activation)
        self.blocks = nn.Sequential()
        for shape in space.blocks:
            if (choice := architecture.code[shape.decision]) >= 0:
                kernel, expansion = space.block_choice(choice)
                self.blocks.append(Block(shape, kernel, expansion, size if space.same else None))
                size = halved(size, shape.stride)
        self.head = ConvUnit(space.blocks[-1].out_channels, head, space.activation)
        mixed = space.feature_width > 0
        self.features = ConvUnit(head, space.ends, space.activation, batch_norm=False) if mixed else nn.Identity()
        self.classifier = nn.Linear(space.ends, space.classes)
        set_eps(self, space.norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """Maps normalised images (n, 3, resolution, resolution) to logits (n, classes)."""
        y = self.head(self.blocks(self.first(self.stem(x)))).mean((2, 3), keepdim=True)
        logits: Tensor = self.classifier(self.features(y).flatten(1))
        return logits

    def fold(self) -> None:
        """See `Subnet.fold`."""
        for unit in self.modules():
            if isinstance(unit, ConvUnit) and isinstance(unit.bn, nn.BatchNorm2d):
                unit.conv, unit.bn = fuse_conv_bn_eval(unit.conv, unit.bn), nn.Identity()
