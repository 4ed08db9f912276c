"""A small family that says only its choices and how to build its networks, as a third party would write it."""

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from nagsdk.families.traced.space import TracedSpace


def unit(into, out, kernel=1, stride=1, groups=1, act=nn.ReLU):
    layers = [nn.Conv2d(into, out, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(out), act()]
    return nn.Sequential(*layers)


class Residual(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return x + self.body(x)


class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, 8, 1), nn.Conv2d(8, channels, 1)
        self.act, self.gate = nn.ReLU(), nn.Hardsigmoid()

    def forward(self, x):
        return x * self.gate(self.expand(self.act(self.reduce(x.mean((2, 3), keepdim=True)))))


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3), keepdim=True).flatten(1)


@dataclass(frozen=True)
class Chains(TracedSpace):
    """Two stages of blocks, which depend on the width of their own stage and of the one before."""

    classes: int = 5
    pixels: tuple = (16, 24)
    family = "chains"

    @property
    def choices(self):
        found = {"resolution": self.pixels, "pool": ("mean", "maximum")}
        for s in (1, 2):
            found |= {f"stage{s}.width": (8, 12), f"stage{s}.depth": (1, 2)}
            found |= {f"stage{s}.block{b}": ((1, 2), (3, 2), (3, 4)) for b in (1, 2)}
        return found

    @property
    def conditions(self):
        return {f"stage{s}.block2": (f"stage{s}.depth", 2) for s in (1, 2)}

    def network(self, values):
        pool = nn.MaxPool2d(3, 2, 1) if values["pool"] == "maximum" else nn.AvgPool2d(2, 2, ceil_mode=True)
        body, channels = OrderedDict(stem=unit(3, 8, 3, 1, act=nn.ReLU6), pool=pool), 8
        for s in (1, 2):
            out = values[f"stage{s}.width"]
            body[f"widen{s}"] = unit(channels, out, 3, 2, act=nn.Hardswish)
            for b in range(1, values[f"stage{s}.depth"] + 1):
                kernel, expansion = values[f"stage{s}.block{b}"]
                middle = out * expansion
                parts = [
                    unit(out, middle),
                    unit(middle, middle, kernel, groups=middle),
                    Gate(middle),
                    unit(middle, out),
                ]
                body[f"stage{s}block{b}"] = Residual(nn.Sequential(*parts))
            channels = out
        return nn.Sequential(body | {"mean": Mean(), "classifier": nn.Linear(channels, self.classes)})
