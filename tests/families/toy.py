"""A family of networks as a third party would write it: bottlenecks of elastic depth and width, all else by default."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property

import torch
from torch import nn
from torch.nn import functional

from nagsdk.errors import ArchitectureError
from nagsdk.families.elastic import ElasticBatchNorm, ElasticConv
from nagsdk.families.protocol import Subnet, Supernet
from nagsdk.families.space import NetworkSpace, require_fields
from nagsdk.space.decisions import Decision
from nagsdk.space.layer import LayerSpec

TRUNK = 8


@dataclass(frozen=True)
class ToySpace(NetworkSpace):
    """Resolution, number of blocks, width of each block."""

    resolution_choices: tuple[int, ...] = (16, 24)
    depths: tuple[int, ...] = (1, 2, 3)
    widths: tuple[int, ...] = (4, 8, 16)
    classes: int = 5
    family = "toy"

    @cached_property
    def decisions(self):
        blocks = [Decision(f"width{n}", self.widths, (1, n) if n else None) for n in range(len(self.depths))]
        return (Decision("resolution", self.resolution_choices), Decision("depth", self.depths), *blocks)

    def to_dict(self):
        return {"family": self.family, **asdict(self)}

    @classmethod
    def from_dict(cls, definition):
        require_fields(cls, definition)
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in definition.items() if k != "family"})

    def _text(self, code):
        return "toy:" + ",".join(map(str, code))

    def parse(self, text):
        try:
            (architecture,) = self.decode([[int(part) for part in text.removeprefix("toy:").split(",")]])
        except ValueError as error:
            raise ArchitectureError(
                f"{text!r} is not an architecture of this space.", "The form is toy:0,1,2,…"
            ) from error
        return architecture

    def fixed_layers(self, resolution):
        size = (resolution - 1) // 2 + 1
        return (
            LayerSpec("stem", "conv", 3, TRUNK, 3, 2, resolution, batch_norm=True),
            LayerSpec("pool", "pool", TRUNK, TRUNK, 1, 1, size),
            LayerSpec("classifier", "linear", TRUNK, self.classes, 1, 1, 1, bias=True),
        )

    def choice_layers(self, resolution, decision, choice, context=()):
        if decision < 2:
            return ()
        name, width, size = f"block{decision - 1}", self.widths[choice], (resolution - 1) // 2 + 1
        return (
            LayerSpec(f"{name}.in", "pointwise", TRUNK, width, 1, 1, size, "relu", batch_norm=True),
            LayerSpec(f"{name}.out", "pointwise", width, TRUNK, 1, 1, size, batch_norm=True),
            LayerSpec(f"{name}.add", "add", TRUNK, TRUNK, 1, 1, size),
        )

    def layers(self, architecture):
        stem, *head = self.fixed_layers(architecture.resolution)
        body = [
            layer
            for d, c in enumerate(architecture.code)
            if c >= 0
            for layer in self.choice_layers(architecture.resolution, d, c)
        ]
        return (stem, *body, *head)

    def build(self, architecture):
        return ToySubnet(self, architecture)

    def supernet(self):
        return ToySupernet(self)


class ToyBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.into, self.into_bn = nn.Conv2d(TRUNK, width, 1, bias=False), nn.BatchNorm2d(width)
        self.out, self.out_bn = nn.Conv2d(width, TRUNK, 1, bias=False), nn.BatchNorm2d(TRUNK)

    def forward(self, x):
        return x + self.out_bn(self.out(functional.relu(self.into_bn(self.into(x)))))


class ToySubnet(Subnet):
    def __init__(self, space, architecture):
        super().__init__(architecture)
        self.stem, self.stem_bn = nn.Conv2d(3, TRUNK, 3, 2, 1, bias=False), nn.BatchNorm2d(TRUNK)
        self.blocks = nn.Sequential(*(ToyBlock(space.widths[c]) for c in architecture.code[2:] if c >= 0))
        self.classifier = nn.Linear(TRUNK, space.classes)

    def forward(self, x):
        return self.classifier(self.blocks(self.stem_bn(self.stem(x))).mean((2, 3), keepdim=True).flatten(1))


class ElasticToyBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.into, self.into_bn = ElasticConv(TRUNK, width), ElasticBatchNorm(width)
        self.out, self.out_bn = ElasticConv(width, TRUNK), ElasticBatchNorm(TRUNK)

    def forward(self, x, width):
        return x + self.out_bn(self.out(functional.relu(self.into_bn(self.into(x, width)))))


class ToySupernet(Supernet):
    class_tensors = ("classifier.weight", "classifier.bias")

    def __init__(self, space):
        super().__init__(space)
        self.stem, self.stem_bn = ElasticConv(3, TRUNK, 3, 2), ElasticBatchNorm(TRUNK)
        self.blocks = nn.ModuleList(ElasticToyBlock(max(space.widths)) for _ in space.depths)
        self.classifier = nn.Linear(TRUNK, space.classes)

    def forward(self, images, code):
        x = self.stem_bn(self.stem(images))
        for block, choice in zip(self.blocks, code[2:], strict=True):
            x = block(x, self.space.widths[choice]) if choice >= 0 else x
        return self.classifier(x.mean((2, 3)))

    @torch.no_grad()
    def extract(self, architecture):
        subnet = self.space.build(architecture)
        own = self.state_dict()
        for name, tensor in subnet.state_dict().items():
            tensor.copy_(own[name][tuple(slice(n) for n in tensor.shape)])
        return subnet.eval()
