"""A family whose widths are coupled, and the plugin that brings it, as a third party would write them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property

import torch
from torch import nn
from torch.nn import functional

from nagsdk.errors import ArchitectureError
from nagsdk.families.elastic import ElasticBatchNorm, ElasticConv
from nagsdk.families.family import Family
from nagsdk.families.protocol import Subnet, Supernet
from nagsdk.families.space import NetworkSpace, require_fields
from nagsdk.plugin import hookimpl
from nagsdk.space.decisions import Decision
from nagsdk.space.layer import LayerSpec

nagsdk_api = 1


@hookimpl
def nagsdk_register_spaces(registry):
    place = "tests.families.coupled"
    family = Family("waists", "Chains of stages", f"{place}:WaistSpace", {"waists": f"{place}:small"})
    registry.add(family)


@dataclass(frozen=True)
class WaistSpace(NetworkSpace):
    """Each stage has a width and an optional second layer; a stage's layers depend on the width before as well."""

    pixels: tuple[int, ...] = (16, 24)
    widths: tuple[int, ...] = (4, 8, 12)
    stages: int = 3
    classes: int = 5
    family = "waists"

    @cached_property
    def decisions(self):
        found = [Decision("resolution", self.pixels)]
        for s in range(self.stages):
            width = len(found)
            found += [
                Decision(f"width{s}", self.widths, reads=(width - 3,) if s else ()),
                Decision(f"layers{s}", (1, 2)),
                Decision(f"again{s}", (1, 3), (width + 1, 1), reads=(width,)),
            ]
        return (*found, Decision("head", (8, 16), reads=(len(found) - 3,)))

    def to_dict(self):
        return {"family": self.family, **asdict(self)}

    @classmethod
    def from_dict(cls, definition):
        require_fields(cls, definition)
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in definition.items() if k != "family"})

    def _text(self, code):
        return "waists:" + ",".join(map(str, code))

    def parse(self, text):
        try:
            return self.decode([[int(part) for part in text.removeprefix("waists:").split(",")]])[0]
        except ValueError as error:
            raise ArchitectureError(f"{text!r} is no architecture of this space.", "waists:0,1,2,…") from error

    def fixed_layers(self, resolution):
        return (LayerSpec("classifier", "linear", 16, self.classes, 1, 1, 1, bias=True),)

    def choice_layers(self, resolution, decision, choice, context=()):
        name = self.decisions[decision].name
        stage, size = (decision - 1) // 3, resolution
        for _ in range(stage + 1):
            size = (size - 1) // 2 + 1
        if name.startswith("width"):
            into = self.widths[context[0]] if context else 3
            return (LayerSpec(name, "conv", into, self.widths[choice], 3, 2, 2 * size, "relu", batch_norm=True),)
        if name.startswith("again"):
            width, kernel = self.widths[context[0]], (1, 3)[choice]
            kind = "conv" if kernel > 1 else "pointwise"
            return (
                LayerSpec(name, kind, width, width, kernel, 1, size, "relu", batch_norm=True),
                LayerSpec(f"{name}.add", "add", width, width, 1, 1, size),
            )
        if name != "head":
            return ()
        size = resolution // 2**self.stages
        width, out = self.widths[context[0]], (8, 16)[choice]
        return (
            LayerSpec("pool", "pool", width, width, 1, 1, size),
            LayerSpec("head", "pointwise", width, out, 1, 1, 1, "relu", bias=True),
            LayerSpec("widen", "pointwise", out, 16, 1, 1, 1, bias=True),
        )

    def layers(self, architecture):
        code, found = architecture.code, []
        for d, choice in enumerate(code):
            if choice >= 0:
                context = tuple(code[r] for r in self.decisions[d].reads)
                found += self.choice_layers(architecture.resolution, d, choice, context)
        return (*found, *self.fixed_layers(architecture.resolution))

    def build(self, architecture):
        return WaistSubnet(self, architecture)

    def supernet(self):
        return WaistSupernet(self)


def small():
    return WaistSpace()


def stages_of(space, code):
    """For every stage: input width, width, kernel of the second layer or 0."""
    into = 3
    for s in range(space.stages):
        width = space.widths[code[1 + 3 * s]]
        yield into, width, (1, 3)[code[3 + 3 * s]] if code[2 + 3 * s] else 0
        into = width


class WaistSubnet(Subnet):
    def __init__(self, space, architecture):
        super().__init__(architecture)
        self.first, self.second = nn.ModuleList(), nn.ModuleDict()
        for s, (into, width, kernel) in enumerate(stages_of(space, architecture.code)):
            self.first.append(nn.Sequential(nn.Conv2d(into, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width)))
            if kernel:
                conv = nn.Conv2d(width, width, kernel, 1, kernel // 2, bias=False)
                self.second[str(s)] = nn.Sequential(conv, nn.BatchNorm2d(width))
        out = (8, 16)[architecture.code[-1]]
        self.head, self.widen = nn.Conv2d(width, out, 1), nn.Conv2d(out, 16, 1)
        self.classifier = nn.Linear(16, space.classes)

    def forward(self, x):
        for s, first in enumerate(self.first):
            x = functional.relu(first(x))
            if str(s) in self.second:
                x = x + functional.relu(self.second[str(s)](x))
        x = self.widen(functional.relu(self.head(x.mean((2, 3), keepdim=True))))
        return self.classifier(x.flatten(1))


class WaistSupernet(Supernet):
    class_tensors = ("classifier.weight", "classifier.bias")

    def __init__(self, space):
        super().__init__(space)
        most, count = max(space.widths), range(space.stages)
        self.first = nn.ModuleList(ElasticConv(most if s else 3, most, 3, 2) for s in count)
        self.first_bn = nn.ModuleList(ElasticBatchNorm(most) for _ in count)
        self.second = nn.ModuleList(ElasticConv(most, most, 3) for _ in count)
        self.second_bn = nn.ModuleList(ElasticBatchNorm(most) for _ in count)
        self.head, self.widen = nn.Conv2d(most, 16, 1), nn.Conv2d(16, 16, 1)
        self.classifier = nn.Linear(16, space.classes)

    def forward(self, images, code):
        x = images
        for s, (_, width, kernel) in enumerate(stages_of(self.space, code)):
            x = functional.relu(self.first_bn[s](self.first[s](x, width)))
            if kernel:
                weight = centre(self.second[s].weight[:width, :width], kernel)
                x = x + functional.relu(self.second_bn[s](functional.conv2d(x, weight, padding=kernel // 2)))
        out, x = (8, 16)[code[-1]], x.mean((2, 3), keepdim=True)
        x = functional.relu(functional.conv2d(x, self.head.weight[:out, : x.shape[1]], self.head.bias[:out]))
        x = functional.conv2d(x, self.widen.weight[:, :out], self.widen.bias)
        return self.classifier(x.flatten(1))

    @torch.no_grad()
    def extract(self, architecture):
        subnet, own = self.space.build(architecture), self.state_dict()
        for name, tensor in subnet.state_dict().items():
            kind, _, rest = name.partition(".")
            source = name
            if kind in ("first", "second"):
                stage, layer, leaf = rest.split(".")
                source = f"{kind}{'_bn' if layer == '1' else ''}.{stage}.{leaf}"
            whole = own[source]
            if whole.ndim == 4:
                whole = centre(whole, tensor.shape[-1])
            tensor.copy_(whole[tuple(slice(n) for n in tensor.shape)])
        return subnet.eval()


def centre(weight, kernel):
    edge = (weight.shape[-1] - kernel) // 2
    return weight[:, :, edge : edge + kernel, edge : edge + kernel]
