"""The plugin in nagsdk: how it is loaded, and what uses it."""

import tomllib
from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest
from click.testing import CliRunner

import nagsdk
from nagsdk.cli import cli
from nagsdk.errors import ArchitectureError, BundleError, UsageError
from nagsdk.plugin.host import host, shipped_strategies, using
from nagsdk.plugin.load import load
from nagsdk_searches.catalogue import searches
from tests.conftest import REPOSITORY

SMALL = "mbv3:r32:d=1,1,1,1:ks=3,3,3,3:e=2,2,2,2"
SIZE = 1600


@pytest.fixture
def installed():
    registry = shipped_strategies()
    for search in searches():
        registry.add(search)
    with using(replace(host(), strategies=registry)):
        yield


def test_the_entry_point_registers_every_search():
    points = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]["nagsdk"]
    found = load(EntryPoint("searches", points["searches"], "nagsdk")).contribution
    assert {one.id for one in found.strategies} == {one.id for one in searches()}
    flat = found.strategies.get("flat")
    assert set(flat.options["of"]) == {one.id for one in shipped_strategies()} | {s.id for s in searches()} - {"flat"}


def test_the_plugin_stays_as_small_as_it_promises():
    files = (REPOSITORY / "plugins/nagsdk_searches").glob("*.py")
    lines = {f.name: len(f.read_text("utf-8").splitlines()) for f in files}
    assert sum(lines.values()) <= SIZE
    assert {name for name, count in lines.items() if count > 130} <= {"evaluator.py"}


def test_generate_from_an_architecture_tells_the_changes(installed):
    told = []
    target = nagsdk.Target("cpu", bundle="glyphs", on_event=told.append)
    (one,) = nagsdk.generate(target, "2MMACs", start=SMALL, strategy="transform:steps=2")
    steps = [event.text for event in told if "predicted top-1 +" in event.text]
    assert len(steps) == 2 and "→" in steps[0]
    space = target.bundle.space
    before, after = (space.parse(text).code for text in (SMALL, one.architecture))
    assert 1 <= sum(a != b for a, b in zip(before, after, strict=True) if min(a, b) >= 0) <= 2
    done = CliRunner().invoke(cli, ["generate", "--device", "cpu", "--budget", "2MMACs", "--from", SMALL])
    assert done.exit_code == 0 and "mbv3:" in done.stdout


def test_what_cannot_start_from_an_architecture_is_refused(installed):
    with pytest.raises(UsageError, match=r"(?s)nag starts from no architecture.*transform"):
        nagsdk.generate("cpu", "2MMACs", start=SMALL, strategy="nag")
    with pytest.raises(UsageError, match="not a minimum top-1"):
        nagsdk.generate("cpu", start=SMALL, min_top1=50)
    with pytest.raises(ArchitectureError):
        nagsdk.generate("cpu", "2MMACs", start="mbv3:r33")


def test_gradient_searches_by_the_loss_of_the_bundles_supernet(installed, monkeypatch):
    target = nagsdk.Target("cpu", bundle="glyphs")
    asked = []
    predict = type(target.bundle.predictor).predict
    monkeypatch.setattr(
        type(target.bundle.predictor), "predict", lambda self, codes: asked.append(len(codes)) or predict(self, codes)
    )
    (one,) = nagsdk.generate(target, "2MMACs", strategy="gradient:loss=supernet,evaluations=30")
    assert one.macs <= 2e6 and sum(asked) <= 5  # only the answer is predicted
    with pytest.raises(BundleError, match=r"(?s)imagenet.*own loss|weights"):
        nagsdk.generate(nagsdk.Target("cpu", bundle="imagenet"), "100MMACs", strategy="gradient:loss=supernet")


def test_a_bundle_without_a_predictor_names_the_way_to_one(installed):
    with pytest.raises(
        BundleError, match=r"(?s)no accuracy predictor.*nagsdk predictor fit FOLDER --bundle imagenet-w1"
    ):
        nagsdk.generate(nagsdk.Target("cpu", bundle="imagenet-w1.2"), "300MMACs", strategy="zero-cost")
