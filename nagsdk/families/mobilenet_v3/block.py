"""The elastic inverted residual block of MobileNetV3."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from nagsdk.families.elastic import ElasticBatchNorm, ElasticConv, ElasticDepthwise
from nagsdk.families.mobilenet_v3.definition import BlockShape
from nagsdk.families.widths import make_divisible

ACTIVATIONS = {"relu": functional.relu, "relu6": functional.relu6, "hswish": functional.hardswish}


class ElasticSqueezeExcite(nn.Module):
    """Squeeze-and-excitation whose inner width shrinks with the number of channels in use."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, make_divisible(channels // 4), 1)
        self.expand = nn.Conv2d(make_divisible(channels // 4), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Rescales the channels of x (n, c, h, w)."""
        c = x.shape[1]
        middle = make_divisible(c // 4)
        assert self.reduce.bias is not None and self.expand.bias is not None
        y = functional.relu(
            functional.conv2d(x.mean((2, 3), keepdim=True), self.reduce.weight[:middle, :c], self.reduce.bias[:middle])
        )
        y = functional.conv2d(y, self.expand.weight[:c, :middle], self.expand.bias[:c])
        return x * functional.hardsigmoid(y)


class ElasticBlock(nn.Module):
    """Inverted residual block with elastic kernel and expansion."""

    def __init__(
        self, shape: BlockShape, kernels: tuple[int, ...], expansions: tuple[int, ...], same: bool = False
    ) -> None:
        super().__init__()
        self.shape = shape
        middle = make_divisible(shape.in_channels * max(expansions))
        self.expand = ElasticConv(shape.in_channels, middle)
        self.expand_bn = ElasticBatchNorm(middle)
        self.depthwise = ElasticDepthwise(middle, kernels, shape.stride, same)
        self.depthwise_bn = ElasticBatchNorm(middle)
        self.se = ElasticSqueezeExcite(middle) if shape.se else None
        self.project = ElasticConv(middle, shape.out_channels)
        self.project_bn = ElasticBatchNorm(shape.out_channels)

    def forward(self, x: Tensor, kernel: int, expansion: int) -> Tensor:
        """Runs the slice of the given kernel and expansion on x (n, in_channels, h, w)."""
        activate = ACTIVATIONS[self.shape.activation]
        y = activate(self.expand_bn(self.expand(x, make_divisible(self.shape.in_channels * expansion))))
        y = activate(self.depthwise_bn(self.depthwise(y, kernel)))
        if self.se is not None:
            y = self.se(y)
        y = self.project_bn(self.project(y))
        result: Tensor = x + y if self.shape.residual else y
        return result
