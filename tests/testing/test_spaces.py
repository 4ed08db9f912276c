import dataclasses

import pytest
import torch
from torch import nn

from nagsdk.errors import UsageError
from nagsdk.space.decisions import Decision
from nagsdk.testing.networks import small_space
from nagsdk.testing.spaces import check_space
from tests.families.coupled import WaistSpace, WaistSubnet, WaistSupernet
from tests.families.toy import ToySpace


@pytest.mark.parametrize("space", [small_space(), ToySpace(), WaistSpace()], ids=lambda space: space.family)
def test_sound_families_pass(space):
    check_space(space, 40, 2, devices=("cpu", "litert"))


class Forgetful(WaistSpace):
    """Its second layers do not say that they depend on the width."""

    @property
    def decisions(self):
        return tuple(dataclasses.replace(d, reads=()) if d.name == "again1" else d for d in super().decisions)

    def choice_layers(self, resolution, decision, choice, context=()):
        return super().choice_layers(resolution, decision, choice, context or (0,) if decision > 1 else ())

    def layers(self, architecture):
        return WaistSpace(self.pixels, self.widths, self.stages, self.classes).layers(architecture)


class Rounded(WaistSpace):
    def parse(self, text):
        return super().parse(text.replace(",2", ",1"))


class Restless(WaistSpace):
    def build(self, architecture):
        network = WaistSubnet(self, architecture)
        network.add_module(f"spare{torch.randint(10**6, ()).item()}", nn.Identity())
        network.spare = nn.ParameterDict({str(id(network)): nn.Parameter(torch.zeros(1))})
        return network


class Heavier(WaistSpace):
    def build(self, architecture):
        network = WaistSubnet(self, architecture)
        network.classifier = nn.Linear(16, self.classes, bias=False)
        return network


class Wider(WaistSpace):
    def build(self, architecture):
        network = WaistSubnet(self, architecture)
        network.first[0][0].stride = (1, 1)
        return network


class Other(WaistSpace):
    def supernet(self):
        return OtherSupernet(self)


class OtherSupernet(WaistSupernet):
    def forward(self, images, code):
        return 2 * super().forward(images, code)


class Moody(WaistSpace):
    def build(self, architecture):
        if architecture.code[4] > 0:
            raise RuntimeError("no such width")
        return super().build(architecture)


class Partly(WaistSpace):
    """Its active path differs unless its second width is the smallest."""

    def supernet(self):
        return PartlySupernet(self)


class PartlySupernet(WaistSupernet):
    def forward(self, images, code):
        return super().forward(images, code) * (2 if code[4] > 0 else 1)


class Circular(WaistSpace):
    @property
    def decisions(self):
        first, *others = super().decisions
        return (first, *others[:-1], dataclasses.replace(others[-1], active_if=(len(others), 0)))


class Greedy(WaistSpace):
    @property
    def decisions(self):
        wide = [Decision(f"w{n}", tuple(range(9))) for n in range(4)]
        return (*super().decisions, *wide, Decision("all", (0,), reads=(11, 12, 13, 14)))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Forgetful, "waists:.* The layers of again1 change with width1, which it does not read: add 4"),
        (Rounded, "parse() does not read waists:"),
        (Restless, "build() names or shapes its tensors differently each time"),
        (Moody, "build() raises RuntimeError: no such width.* It comes with the choice .* of width1, as in waists:"),
        (Partly, "differs from the active path.* It comes with the choice .* of width1, as in waists:"),
        (Heavier, "parameters are built"),
        (Wider, "multiply-accumulates are built"),
        (Other, "differs from the active path"),
    ],
)
def test_what_is_wrong_is_named_with_the_architecture_that_shows_it(kind, says):
    with pytest.raises(AssertionError, match=says.replace("()", r"\(\)")) as caught:
        check_space(kind(), 40, 2)
    assert "waists:" in str(caught.value)


def test_conditions_in_a_circle_are_named():
    with pytest.raises(UsageError, match="The decision head is active from choice 0 of decision 10"):
        check_space(Circular(), 4, 1)


def test_couplings_that_are_too_large_are_named():
    with pytest.raises(UsageError, match="w0, w1, w2, w3"):
        check_space(Greedy(), 4, 1)
