"""A ResNet50D with the chosen widths, depths and expansions (He et al., Bag of Tricks, CVPR 2019: variant D)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from nagsdk.families.widths import make_divisible


def _unit(into: int, out: int, kernel: int = 1, stride: int = 1, *, activates: bool = True) -> nn.Sequential:
    conv = nn.Conv2d(into, out, kernel, stride, kernel // 2, bias=False)
    parts = OrderedDict[str, nn.Module](conv=conv, bn=nn.BatchNorm2d(out))
    return nn.Sequential(parts | {"activation": nn.ReLU()} if activates else parts)


class _Added(nn.Module):
    """A layer whose input is added to its output."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.unit = _unit(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.unit(x)
        return y


class Bottleneck(nn.Module):
    """A bottleneck block; where shapes change, the shortcut has a mean of windows and a convolution."""

    def __init__(self, into: int, middle: int, out: int, stride: int, first: bool) -> None:
        super().__init__()
        self.reduce, self.inner = _unit(into, middle), _unit(middle, middle, 3, stride)
        self.expand = _unit(middle, out, activates=False)
        self.pool = nn.AvgPool2d(stride, stride, ceil_mode=True) if stride > 1 else nn.Identity()
        self.shortcut = _unit(into, out, activates=False) if first else nn.Identity()
        self.activation = nn.ReLU()
        assert isinstance(self.expand.bn, nn.BatchNorm2d)
        # Blocks start as identities, so that depth does not slow learning (Goyal et al., 2017).
        nn.init.zeros_(self.expand.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, into, h, w) to (n, out, h', w')."""
        y: Tensor = self.activation(self.expand(self.inner(self.reduce(x))) + self.shortcut(self.pool(x)))
        return y


class ResNet50D(nn.Module):
    """Maps images (n, 3, resolution, resolution) to logits (n, classes)."""

    def __init__(
        self,
        classes: int,
        stem_width: int,
        stage_widths: Sequence[int],
        stage_depths: Sequence[int],
        values: Mapping[str, Any],
    ) -> None:
        super().__init__()
        # Widths are rounded as in the original code: the inner width of the stem is half of a rounded one.
        middle = make_divisible(make_divisible(stem_width * values["stem.width"]) // 2)
        channels = make_divisible(stem_width * values["stem.out"])
        self.stem_in = _unit(3, middle, 3, 2)
        self.stem_more = _Added(middle) if values["stem.more"] else nn.Identity()
        self.stem_out = _unit(middle, channels, 3)
        self.pool = nn.MaxPool2d(3, 2, 1)
        blocks = OrderedDict[str, nn.Module]()
        for s, (width, depth) in enumerate(zip(stage_widths, stage_depths, strict=True), 1):
            out = make_divisible(width * values[f"stage{s}.width"])
            for b in range(1, depth + values[f"stage{s}.more"] + 1):
                inner = make_divisible(round(out * values[f"stage{s}.block{b}"]))
                stride = 2 if b == 1 and s > 1 else 1
                blocks[f"stage{s}_block{b}"] = Bottleneck(channels, inner, out, stride, b == 1)
                channels = out
        self.blocks = nn.Sequential(blocks)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Computes the logits."""
        x = self.blocks(self.pool(self.stem_out(self.stem_more(self.stem_in(images)))))
        logits: Tensor = self.classifier(x.mean((2, 3), keepdim=True).flatten(1))
        return logits
