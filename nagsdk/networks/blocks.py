"""The layers of published networks, from the tables in their papers and the code that their authors released."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nagsdk.families.widths import make_divisible
from nagsdk.networks.chain import Chain, width
from nagsdk.space.layer import LayerSpec

Layers = tuple[LayerSpec, ...]


def mobilenet_v1() -> Layers:
    """MobileNetV1, width 1.0."""
    net = Chain(224)
    net.conv(32, 3, 2)
    for out, stride in [
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *[(512, 1)] * 5,
        (1024, 2),
        (1024, 1),
    ]:
        net.depthwise(3, stride)
        net.pointwise(out, None)
    net.classify()
    return tuple(net.layers)


def mobilenet_v2() -> Layers:
    """MobileNetV2, width 1.0."""
    net = Chain(224)
    net.conv(32, 3, 2)
    rows = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for ratio, out, repeats, stride in rows:
        _stage(net, out, repeats, 3, stride, ratio)
    net.pointwise(1280, None)
    net.classify()
    return tuple(net.layers)


def mobilenet_v3_large(factor: float = 1.0, *, minimalistic: bool = False) -> Layers:
    """MobileNetV3-Large; minimalistic means 3x3 kernels, ReLU, and no squeeze-and-excitation."""
    return _mobilenet_v3(
        [
            (3, 16, 16, False, "relu", 1), (3, 64, 24, False, "relu", 2), (3, 72, 24, False, "relu", 1),
            (5, 72, 40, True, "relu", 2), (5, 120, 40, True, "relu", 1), (5, 120, 40, True, "relu", 1),
            (3, 240, 80, False, "hswish", 2), (3, 200, 80, False, "hswish", 1), (3, 184, 80, False, "hswish", 1),
            (3, 184, 80, False, "hswish", 1), (3, 480, 112, True, "hswish", 1), (3, 672, 112, True, "hswish", 1),
            (5, 672, 160, True, "hswish", 2), (5, 960, 160, True, "hswish", 1), (5, 960, 160, True, "hswish", 1),
        ],
        960, 1280, factor, minimalistic,
    )  # fmt: skip


def mobilenet_v3_small() -> Layers:
    """MobileNetV3-Small, width 1.0."""
    return _mobilenet_v3(
        [
            (3, 16, 16, True, "relu", 2), (3, 72, 24, False, "relu", 2), (3, 88, 24, False, "relu", 1),
            (5, 96, 40, True, "hswish", 2), (5, 240, 40, True, "hswish", 1), (5, 240, 40, True, "hswish", 1),
            (5, 120, 48, True, "hswish", 1), (5, 144, 48, True, "hswish", 1), (5, 288, 96, True, "hswish", 2),
            (5, 576, 96, True, "hswish", 1), (5, 576, 96, True, "hswish", 1),
        ],
        576, 1024, 1.0, False,
    )  # fmt: skip


def _mobilenet_v3(
    rows: Sequence[tuple[int, int, int, bool, str, int]], head: int, features: int, factor: float, minimalistic: bool
) -> Layers:
    act = "relu" if minimalistic else "hswish"
    net = Chain(224, activation=act)
    net.conv(width(16, factor), 3, 2)
    unscaled = 16
    for kernel, expanded, out, se, activation, stride in rows:
        # The width multiplier changes inputs and outputs; what lies between keeps its ratio to the input.
        wide = make_divisible(net.channels * expanded / unscaled)
        unscaled = out
        net.inverted(
            width(out, factor), 3 if minimalistic else kernel, stride, wide,
            "relu" if minimalistic else activation,
            make_divisible(wide // 4) if se and not minimalistic else None,
        )  # fmt: skip
    net.pointwise(width(head, factor), None)
    net.pool()
    net.linear(features, None)
    net.classify()
    return tuple(net.layers)


def mnasnet_b1() -> Layers:
    """MnasNet-B1, depth multiplier 1.0."""
    net = Chain(224)
    net.conv(32, 3, 2)
    net.depthwise(3)
    net.pointwise(16)
    rows = [
        (3, 3, 24, 3, 2),
        (3, 5, 40, 3, 2),
        (6, 5, 80, 3, 2),
        (6, 3, 96, 2, 1),
        (6, 5, 192, 4, 2),
        (6, 3, 320, 1, 1),
    ]
    for ratio, kernel, out, repeats, stride in rows:
        _stage(net, out, repeats, kernel, stride, ratio)
    net.pointwise(1280, None)
    net.classify()
    return tuple(net.layers)


def proxyless_mobile() -> Layers:
    """The network that ProxylessNAS found for a mobile phone."""
    net = Chain(224)
    net.conv(32, 3, 2)
    net.inverted(16, 3, 1, 32)
    rows = [
        (32, 2, [(5, 3), (3, 3)]), (40, 2, [(7, 3), (3, 3), (5, 3), (5, 3)]), (80, 2, [(7, 6), (5, 3), (5, 3), (5, 3)]),
        (96, 1, [(5, 6), (5, 3), (5, 3), (5, 3)]), (192, 2, [(7, 6), (7, 6), (7, 3), (7, 3)]), (320, 1, [(7, 6)]),
    ]  # fmt: skip
    for out, stride, parts in rows:
        for number, (kernel, ratio) in enumerate(parts):
            net.inverted(out, kernel, stride if number == 0 else 1, net.channels * ratio)
    net.pointwise(1280, None)
    net.classify()
    return tuple(net.layers)


_EFFICIENT = [
    (1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2), (6, 5, 112, 3, 1), (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
]  # fmt: skip


def efficientnet_b0() -> Layers:
    """EfficientNet-B0."""
    net = Chain(224, activation="swish")
    net.conv(32, 3, 2)
    for ratio, kernel, out, repeats, stride in _EFFICIENT:
        for number in range(repeats):
            into = net.channels
            net.inverted(out, kernel, stride if number == 0 else 1, into * ratio, se=into // 4)
    net.pointwise(1280, None)
    net.classify()
    return tuple(net.layers)


def efficientnet_lite(number: int) -> Layers:
    """EfficientNet-Lite0 to 4: no squeeze-and-excitation, ReLU6, stem and head of one width."""
    factor, depth, size = [(1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260), (1.2, 1.4, 280), (1.4, 1.8, 300)][number]
    net = Chain(size)
    net.conv(32, 3, 2)
    for place, (ratio, kernel, out, repeats, stride) in enumerate(_EFFICIENT):
        ends = place in (0, len(_EFFICIENT) - 1)
        _stage(net, width(out, factor), repeats if ends else math.ceil(repeats * depth), kernel, stride, ratio)
    net.pointwise(1280, None)
    net.classify()
    return tuple(net.layers)


def _stage(net: Chain, out: int, repeats: int, kernel: int, stride: int, ratio: int) -> None:
    for number in range(repeats):
        net.inverted(out, kernel, stride if number == 0 else 1, net.channels * ratio)


def shufflenet_v2(channels: tuple[int, int, int]) -> Layers:
    """ShuffleNetV2; the units with a stride of 1 work on half of the channels."""
    net = Chain(224)
    net.conv(24, 3, 2)
    net.size = 56  # max-pooling
    for out, repeats in zip(channels, (4, 8, 4), strict=True):
        half = out // 2
        into, size = net.channels, net.size
        net.depthwise(3, 2, "none")
        net.pointwise(half, None)
        net.channels, net.size = into, size  # the other branch
        net.pointwise(half, None)
        net.depthwise(3, 2, "none")
        net.pointwise(half, None)
        for _ in range(repeats - 1):
            net.channels = half
            net.pointwise(half, None)
            net.depthwise(3, 1, "none")
            net.pointwise(half, None)
        net.channels = out
    net.pointwise(1024, None)
    net.classify()
    return tuple(net.layers)


def squeezenet1_1() -> Layers:
    """SqueezeNet 1.1: fire modules, and a classifier that is a 1x1 convolution."""
    net = Chain(221)  # 224 without padding
    net.conv(64, 3, 2, bias=True)
    rows = {55: [(16, 64), (16, 64)], 27: [(32, 128), (32, 128)], 13: [(48, 192), (48, 192), (64, 256), (64, 256)]}
    for size, parts in rows.items():
        net.size = size  # max-pooling
        for squeeze, expand in parts:
            net.pointwise(squeeze, None, bias=True)
            net.pointwise(expand, None, bias=True)
            net.channels = squeeze
            net.conv(expand, 3, bias=True)
            net.channels = 2 * expand
    net.pointwise(1000, None, bias=True)
    net.pool()
    return tuple(net.layers)


def resnet18() -> Layers:
    """ResNet-18."""
    net = _resnet_start()
    for out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for number in range(2):
            step, into, size = stride if number == 0 else 1, net.channels, net.size
            net.conv(out, 3, step)
            net.conv(out, 3, 1, "none")
            _shortcut(net, into, size, step)
    net.classify()
    return tuple(net.layers)


def resnet50() -> Layers:
    """ResNet-50 with the stride in the 3x3 convolution, as it is used today."""
    net = _resnet_start()
    for inner, repeats, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for number in range(repeats):
            step, into, size = stride if number == 0 else 1, net.channels, net.size
            net.pointwise(inner, None)
            net.conv(inner, 3, step)
            net.pointwise(4 * inner)
            _shortcut(net, into, size, step)
    net.classify()
    return tuple(net.layers)


def _resnet_start() -> Chain:
    net = Chain(224)
    net.conv(64, 7, 2)
    net.size = 56  # max-pooling
    return net


def _shortcut(net: Chain, into: int, size: int, stride: int) -> None:
    """Adds the input of a block, through a 1x1 convolution where its shape differs."""
    if stride > 1 or into != net.channels:
        out = net.channels
        net.channels, net.size = into, size
        net.conv(out, 1, stride, "none")
    net.add()
