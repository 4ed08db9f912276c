"""A vision transformer for small images, with the chosen depth, width, heads and hidden layers.

Strided convolutions make the tokens, which learns faster from few images than one large stride (Xiao et al., 2021). A
depthwise convolution, whose zero padding shows where the border is, tells the tokens where they are (Chu et al., 2021),
so that networks of all resolutions share their weights. The mean over the tokens is classified, without a class token:
no runtime then has to join or cut tensors.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from nagsdk.families.attention import Attention
from nagsdk.families.widths import hidden_width


def _strided(into: int, out: int, *, activates: bool) -> nn.Sequential:
    conv = nn.Conv2d(into, out, 3, 2, 1, bias=False)
    parts = OrderedDict[str, nn.Module](conv=conv, bn=nn.BatchNorm2d(out))
    return nn.Sequential(parts | {"activation": nn.GELU()} if activates else parts)


class Positions(nn.Module):
    """Adds a depthwise convolution of a feature map to it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the shape (n, channels, h, w)."""
        y: Tensor = x + self.conv(x)
        return y


class Block(nn.Module):
    """Self-attention and a hidden layer, each of which adds to its normalised input."""

    def __init__(self, channels: int, heads: int, size: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        # One layer each: a network with fewer heads then uses the first channels of all three.
        self.queries, self.keys, self.values = (nn.Linear(channels, heads * size) for _ in range(3))
        self.attention, self.project = Attention(heads), nn.Linear(heads * size, channels)
        self.widen, self.activation, self.narrow = nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels)
        # Blocks start as identities, so that depth does not slow learning (Goyal et al., 2017).
        for last in (self.project, self.narrow):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the shape (n, tokens, channels)."""
        y = self.norm1(x)
        x = x + self.project(self.attention(self.queries(y), self.keys(y), self.values(y)))
        z: Tensor = x + self.narrow(self.activation(self.widen(self.norm2(x))))
        return z


class VisionTransformer(nn.Module):
    """Maps images (n, 3, resolution, resolution) to logits (n, classes)."""

    def __init__(self, classes: int, stem_widths: Sequence[int], head_size: int, values: Mapping[str, Any]) -> None:
        super().__init__()
        channels, into = int(values["dim"]), 3
        stem = OrderedDict[str, nn.Module]()
        for number, width in enumerate(stem_widths, 1):
            stem[f"conv{number}"] = _strided(into, width, activates=True)
            into = width
        stem["patch"] = _strided(into, channels, activates=False)
        self.stem, self.positions = nn.Sequential(stem), Positions(channels)
        self.blocks = nn.Sequential(
            OrderedDict(
                (
                    f"block{b}",
                    Block(
                        channels,
                        values[f"block{b}.heads"],
                        head_size,
                        hidden_width(channels, values[f"block{b}.mlp"]),
                    ),
                )
                for b in range(1, values["depth"] + 1)
            )
        )
        self.norm, self.classifier = nn.LayerNorm(channels), nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Computes the logits."""
        x = self.positions(self.stem(images)).flatten(2).transpose(1, 2)
        logits: Tensor = self.classifier(self.norm(self.blocks(x)).mean(1))
        return logits
