"""The family: its choices, and how a network is built from them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from nagsdk.families.traced.space import TracedSpace

STAGES = (1, 2, 3)


def unit(into: int, out: int, kernel: int, stride: int = 1) -> nn.Module:
    """A convolution with batch normalisation and ReLU."""
    convolution = nn.Conv2d(into, out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU())


class Mean(nn.Module):
    """The mean over height and width."""

    def forward(self, images: Tensor) -> Tensor:
        """Maps (n, channels, h, w) to (n, channels)."""
        return images.mean((2, 3), keepdim=True).flatten(1)


@dataclass(frozen=True)
class TemplateSpace(TracedSpace):
    """Three stages; each has a width, a depth, and a kernel for every layer."""

    classes: int = 10
    family = "template_space"

    @property
    def choices(self) -> Mapping[str, Sequence[int]]:
        """The legal values of every decision, from the smallest to the largest."""
        found: dict[str, Sequence[int]] = {"resolution": (32, 40, 48)}
        for s in STAGES:
            found |= {f"stage{s}.width": (16 * s, 24 * s, 32 * s), f"stage{s}.depth": (1, 2, 3)}
            found |= {f"stage{s}.kernel{layer}": (1, 3, 5) for layer in (1, 2, 3)}
        return found

    @property
    def conditions(self) -> Mapping[str, tuple[str, int]]:
        """The kernel of a layer is chosen where the depth includes the layer."""
        return {f"stage{s}.kernel{layer}": (f"stage{s}.depth", layer) for s in STAGES for layer in (2, 3)}

    def network(self, values: Mapping[str, Any]) -> nn.Module:
        """Builds the network with these values; the same layer has the same name in every network."""
        body, channels = OrderedDict(stem=unit(3, 16, 3, 2)), 16
        for s in STAGES:
            for layer in range(1, values[f"stage{s}.depth"] + 1):
                width, kernel = values[f"stage{s}.width"], values[f"stage{s}.kernel{layer}"]
                body[f"stage{s}_layer{layer}"] = unit(channels, width, kernel, 2 if layer == 1 else 1)
                channels = width
        return nn.Sequential(body | {"mean": Mean(), "classifier": nn.Linear(channels, self.classes)})
