"""The generators that bundles contain, and the one that is trained for a bundle without."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from nagsdk.budget import MACS
from nagsdk.bundle.bundle import GENERATOR, load_bundle
from nagsdk.bundle.names import bundle_names
from nagsdk.common.folders import shipped
from nagsdk.cost.bounds import Completions
from nagsdk.generator import generator as nag
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategies import Lookup, Nag
from nagsdk.generator.train import GeneratorRecipe, Regret
from nagsdk.pipeline.models import generator_of, question
from nagsdk.pipeline.target import Target


def with_predictors():
    """The bundles with accuracy predictors; where no generator is shipped, one is trained for most of a minute."""
    for bundle in (load_bundle(name) for name in bundle_names()):
        if bundle.has_predictor:
            yield pytest.param(bundle.name, marks=[] if bundle.generator_file else pytest.mark.nightly)


@pytest.mark.parametrize("name", with_predictors())
def test_shipped_generators_keep_up_with_lookup_on_their_predictor(name):
    target = Target("cpu", name)
    card = generator_of(target).card
    assert (
        card.kind == "universal"
        and card.recipe == GeneratorRecipe().to_dict()
        and card.predictor == target.bundle.predictor.hash
    )
    table = target.costs.table(MACS, None)
    bounds = Completions.of(target.bundle.space, table)
    asked = question(target, [table], np.linspace(bounds.least, bounds.most, 12), 0)
    told = []
    for strategy in (Nag(), Lookup()):
        codes = strategy.propose(asked)
        told.append(
            target.bundle.predictor.predict(codes[np.arange(12), choose(target.bundle.predictor, codes)[:, 0]]).mean
        )
    assert (told[0] - told[1]).mean() > -0.01


def test_a_bundle_without_one_gets_it_trained_once(tmp_path, monkeypatch):
    folder = shutil.copytree(shipped("bundles") / "glyphs", tmp_path / "glyphs")
    description = json.loads((folder / "bundle.json").read_text())
    del description["files"][GENERATOR]
    (folder / "bundle.json").write_text(json.dumps(description))
    trained, real, notices = [], nag.Generator.trained.__func__, []

    def short(cls, space, predictor, recipe=None, seed=0, on_event=None):
        trained.append(seed)
        return real(cls, space, predictor, replace(GeneratorRecipe(), problems=1, steps=2, gradient_steps=0), seed)

    monkeypatch.setattr(nag.Generator, "trained", classmethod(short))
    # The frontiers of twenty devices take long, and are not tested here.
    monkeypatch.setattr("nagsdk.generator.train.examine", lambda *parts: Regret(0, 0, 0, 0.0, 0.0, 0.0, 0.0))
    first = generator_of(Target("cpu", folder, on_event=notices.append))
    again = generator_of(Target("cpu", folder))
    assert trained == [0] and again.card == first.card
    assert any("has no generator" in event.text for event in notices)
    (kept,) = (Target("cpu", folder).cache / "generators").iterdir()
    kept.write_bytes(kept.read_bytes()[:-5])
    warnings = []
    assert generator_of(Target("cpu", folder, on_event=warnings.append)).card == first.card
    assert trained == [0, 0] and any(getattr(event, "warning", False) for event in warnings)
    assert load_bundle("glyphs").generator_file is not None and load_bundle(folder).generator_file is None
