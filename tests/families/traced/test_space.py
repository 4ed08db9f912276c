import importlib
import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from torch import nn

from nagsdk.cost.table import exact_table
from nagsdk.errors import ArchitectureError, DeviceError, UnsupportedLayerError, UsageError
from nagsdk.events import Finished, Started, heard_by
from nagsdk.families.traced import couplings
from nagsdk.families.traced.space import TracedSpace
from nagsdk.testing.spaces import check_space
from tests.families.traced.chains import Mean


def reads(space):
    return {d.name: {space.decisions[r].name for r in d.reads} for d in space.decisions if d.reads}


def test_what_layers_depend_on_is_found(space):
    # The sum of a second block has the width of the stage, and is there with a depth of 2.
    parts = ("depth", "block1", "block2")
    own = {f"stage{s}.{part}": {f"stage{s}.width"} for s in (1, 2) for part in parts}
    assert reads(space) == {**own, "stage2.width": {"stage1.width"}}


def test_the_family_keeps_all_rules(space):
    check_space(space, devices=("cpu", "litert"))


def test_tables_are_exact(space):
    codes = space.sample(200, np.random.default_rng(3))
    macs, parameters = (exact_table(space, value) for value in (lambda x: x.macs, lambda x: x.parameters))
    built = space.decode(codes)
    assert macs.cost(codes).tolist() == [space.macs(a) for a in built]
    assert parameters.cost(codes)[:5].tolist() == [
        sum(p.numel() for p in space.build(a).parameters()) for a in built[:5]
    ]


def test_the_layers_are_in_the_order_of_execution(space):
    (largest,) = space.decode(space.sizes - 1)
    names = [layer.name for layer in space.layers(largest)]
    traced = list(space._trace(largest.code))
    assert names == traced and names[:2] == ["stem.0", "pool"] and names[-1] == "classifier"


def test_what_was_found_is_kept_until_the_family_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("NAGSDK_CACHE_DIR", str(tmp_path))
    known = One().fingerprint
    monkeypatch.setattr(couplings, "find_layers", lambda *_: pytest.fail("it was traced again"))
    heard = []
    with heard_by(heard.append):
        assert One().fingerprint == known
    assert not heard
    for other in (One(classes=4), Wider()):
        with pytest.raises(pytest.fail.Exception, match="traced again"):
            _ = other.decisions


def test_a_listener_hears_of_the_tracing(tmp_path, monkeypatch):
    monkeypatch.setenv("NAGSDK_CACHE_DIR", str(tmp_path))
    heard = []
    with heard_by(heard.append):
        _ = One().decisions
    first, *networks, last = heard
    assert first == Started("Finding the layers of one") and last == Finished("Finding the layers of one")
    assert [event.done for event in networks] == list(range(1, len(networks) + 1)) and len(networks) >= 4
    assert networks[-1].text == f"Finding the layers of one: network {len(networks)}"


def test_a_changed_file_beside_the_family_makes_its_table_anew(tmp_path, monkeypatch):
    """The functions that build networks may be in a file of their own."""
    package = tmp_path / "beside"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "network.py").write_text("WIDTHS = {4: 4, 6: 6, 8: 8}\n")
    (package / "space.py").write_text(
        "from tests.families.traced.test_space import One\n"
        "class Beside(One):\n"
        "    choices = {'resolution': (8, 16), 'width': (4, 6, 8)}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    kind = importlib.import_module("beside.space").Beside
    before = kind()._cache_key
    assert kind()._cache_key == before
    (package / "network.py").write_text("WIDTHS = {4: 4, 6: 5, 8: 8}\n")
    assert kind()._cache_key != before


def test_a_damaged_table_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("NAGSDK_CACHE_DIR", str(tmp_path))
    first = One().fingerprint
    (path,) = tmp_path.glob("families/*.json")
    for damaged in ("", "[]", '{"format": 1, "layers": [{}]}', json.dumps({"format": 2, "layers": []})):
        path.write_text(damaged)
        assert One().fingerprint == first


def test_another_builder_is_another_space(tmp_path, monkeypatch):
    monkeypatch.setenv("NAGSDK_CACHE_DIR", str(tmp_path))
    assert One().to_dict() == Wider().to_dict() and One().fingerprint != Wider().fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("chains:", "other:"), "not an architecture"),
        (lambda t: t.replace("resolution=16", "resolution=17"), "'17' is not a choice of resolution"),
        (lambda t: t + ",depth=3", "'depth' is no decision"),
        (lambda t: t.replace("stage1.depth=1,", ""), "stage1.depth is missing"),
        (lambda t: t + ",stage1.block2=1x2", "stage1.block2 is not active"),
        (lambda t: t * 1000, "not an architecture"),
    ],
)
def test_wrong_texts_are_refused(space, change, message):
    (smallest,) = space.decode(np.where(space.sizes > 0, 0, 0))
    assert space.parse(smallest.text) == smallest
    with pytest.raises(ArchitectureError, match=message):
        space.parse(change(smallest.text))


@dataclass(frozen=True)
class One(TracedSpace):
    classes: int = 3
    family = "one"
    choices: ClassVar = {"resolution": (8, 16), "width": (4, 8)}
    more = 0

    def network(self, values):
        width = values["width"] + self.more
        return nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.ReLU(), Mean(), nn.Linear(width, self.classes))


class Wider(One):
    more = 1


def variant(**changes):
    return type("Variant", (One,), changes)()


def raises(self, values):
    raise KeyError("depth")


class Unstable:
    """Builds another network each time."""

    def __init__(self):
        self.times = 0

    def __call__(self, values):
        self.times += 1
        width = 4 + self.times % 4
        return nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), Mean(), nn.Linear(width, 3))


def raises_when_wide(self, values):
    if values["width"] == 8:
        raise KeyError("depth")
    return One.network(self, values)


def too_narrow(self, values):
    """Its classifier does not fit with one of the widths."""
    width = values["width"]
    return nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.ReLU(), Mean(), nn.Linear(width if width > 4 else 7, 3))


def renamed(self, values):
    """Names layers after a choice."""
    network = One.network(self, values)
    return nn.Sequential(nn.Sequential(network) if values["width"] == 4 else network)


class SometimesUnstable(Unstable):
    """Builds another network each time with the choice in the middle."""

    def __call__(self, values):
        return One().network(values) if values["width"] != 6 else super().__call__(values)


def pooled(self, values):
    layers = [nn.Conv2d(3, 4, 2, 2), nn.ReLU(), Mean(), nn.Linear(4, 3)]
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"choices": {"width": (1,)}}, UsageError, "the resolution"),
        ({"choices": {"resolution": (8,), "width": (4, 4)}}, UsageError, "width has no choices, or one twice"),
        ({"conditions": {"width": ("width", 4)}}, UsageError, "The condition of width"),
        ({"conditions": {"depth": ("width", 4)}}, UsageError, "depth has a condition, but no choices"),
        ({"choices": {"resolution": (8, 16), "width": 4}}, DeviceError, "'int' object is not iterable (in choices)"),
        (
            {"choices": {"resolution": (8, 16), "width": ([4], [8])}},
            DeviceError,
            "unhashable type: 'list' (in choices)",
        ),
        ({"choices": property(lambda self: self.nothing)}, DeviceError, "has no attribute 'nothing'"),
        ({"choices": {"resolution": ("small",), "width": (4, 8)}}, UsageError, "The resolution cannot be 'small'"),
        ({"choices": {"resolution": (8, 5000), "width": (4, 8)}}, UsageError, "The resolution cannot be 5000"),
        ({"choices": {"resolution": (16, 8), "width": (4, 8)}}, UsageError, "from the smallest to the largest"),
        ({"choices": {"resolution": (8,), "width": (4, "4")}}, UsageError, "width has no choices, or one twice"),
        ({"choices": {"resolution": (8,), "width": ("a,b",)}}, UsageError, "'a,b' of the decision width cannot be in"),
        ({"choices": {"resolution": (8,), "a b": (4, 8)}}, UsageError, "'a b' of the decision a b cannot be in"),
        (
            {"choices": {"resolution": (8,), **{f"{'long' * 9}{n}": (4, 8) for n in range(60)}}},
            UsageError,
            "text forms of up to 2,466 characters; 2,000 are allowed",
        ),
        ({"conditions": {"width": "depth"}}, DeviceError, "too many values to unpack"),
        ({"network": lambda *_: None}, DeviceError, "it returned NoneType, and no torch.nn.Module"),
        ({"network": lambda *_: One(4).network({"width": 8})}, UsageError, "have the shape (1, 4), not (1, 3)"),
        ({"network": lambda *_: nn.Conv2d(3, 3, 1)}, UsageError, "have the shape (1, 3, 8, 8), not (1, 3)"),
        ({"network": raises}, DeviceError, "KeyError: 'depth'"),
        ({"network": raises}, DeviceError, "This network shows it: one:resolution=8,width=4"),
        ({"network": raises_when_wide}, DeviceError, "It comes with width=8, as in one:resolution=16,width=8"),
        (
            {"network": staticmethod(Unstable())},
            UsageError,
            "is another one each time that this network is built: one:resolution=",
        ),
        (
            {"network": staticmethod(SometimesUnstable()), "choices": {"resolution": (8, 16, 24), "width": (4, 6, 8)}},
            UsageError,
            "The tensor 0.weight is another one each time that this network is built: one:resolution=",
        ),
        ({"network": too_narrow}, DeviceError, "It comes with width=4, as in one:resolution=8,width=4"),
        ({"network": pooled}, UnsupportedLayerError, "kernel"),
        ({"network": renamed}, UsageError, "no tensor 0.0.0.weight that contains one of shape (4, 3, 3, 3)"),
        ({"network": renamed}, UsageError, "It comes with width=4, as in one:resolution=8,width=4"),
        ({"choices": {"resolution": (8, 16), "width": (8, 4)}}, UsageError, "It comes with width=8, as in one:"),
    ],
)
def test_families_that_cannot_be_told_are_refused(tmp_path, monkeypatch, changes, error, message):
    monkeypatch.setenv("NAGSDK_CACHE_DIR", str(tmp_path))
    with pytest.raises(error) as caught:
        _ = variant(**changes).decisions
    assert message in f"{caught.value} {caught.value.next_step}"
    assert not list(tmp_path.glob("families/*"))
