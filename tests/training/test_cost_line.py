"""What is made of measurements that cannot tell subnets apart."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from nagsdk.families.mobilenet_v3.presets import small_mobilenet_v3
from nagsdk.predictor.model import AccuracyPredictor
from nagsdk.predictor.train import EnsembleRecipe
from nagsdk.space.space import extremes
from nagsdk.training import subnets
from nagsdk.training.cost_line import CostLine, macs_of

SPACE = small_mobilenet_v3()
CODES = SPACE.sample(50, np.random.default_rng(0))
IMAGES = 60


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    recipe = EnsembleRecipe(members=3, hidden=8, steps=150)
    for module in ("nagsdk.training.subnets", "nagsdk.predictor.fit"):
        monkeypatch.setattr(f"{module}.EnsembleRecipe", lambda: recipe)


def by_kernels(codes):
    """A made-up truth that the predictor can learn, and that cost does not tell."""
    rows = SPACE.one_hot(codes)
    worth = np.random.default_rng(5).normal(0, 1.5, rows.shape[1])
    return 60 + rows @ worth


@pytest.mark.parametrize("noise", ["chance", "the same"])
def test_where_subnets_cannot_be_told_apart_cost_decides_and_it_is_said(tmp_path, noise):
    rng = np.random.default_rng(1)
    top1 = 50 + (rng.normal(0, 6, 50) if noise == "chance" else np.zeros(50))
    found = subnets.fit_measured(SPACE, CODES, top1, IMAGES, tmp_path)
    card = found.card
    assert card["by_cost"] and "cannot be told apart" in card["doubt"] and "most expensive" in card["doubt"]
    assert "60 images" in card["doubt"] and ("may be as good as the largest" in card["doubt"])
    loaded = AccuracyPredictor.load(tmp_path, SPACE)
    codes = SPACE.sample(400, np.random.default_rng(2))
    said = loaded.predict(codes)
    assert kendalltau(said.mean, macs_of(SPACE, codes))[0] > 0.9 and not said.extrapolated.any()
    low, high = loaded.predict(extremes(SPACE)).mean
    assert low <= high and abs(high - 50) < 8
    # The intervals hold what was measured, which scatters by chance.
    inside = (loaded.predict(CODES).low <= top1) & (top1 <= loaded.predict(CODES).high)
    assert inside.mean() >= 0.85


def test_where_cost_matters_and_nothing_else_it_is_not_said_to_be_useless(tmp_path):
    rng = np.random.default_rng(1)
    top1 = CostLine(-60.0, 5.0)(macs_of(SPACE, CODES)) + rng.normal(0, 2.5, 50)
    doubt = subnets.fit_measured(SPACE, CODES, top1, IMAGES, tmp_path).card["doubt"]
    assert doubt is None or "may be as good" not in doubt


def test_what_can_be_told_apart_is_learnt():
    codes = SPACE.sample(150, np.random.default_rng(0))
    assert subnets.why_by_cost(SPACE, codes, by_kernels(codes), subnets.recipe_for(150), IMAGES, 0) is None


def test_a_line_never_falls_and_survives_subnets_of_one_cost():
    macs = np.array([1e6, 2e6, 4e6])
    assert CostLine.fitted(macs, np.array([60.0, 50.0, 40.0])).slope > 0
    assert CostLine.fitted(macs, np.array([40.0, 45.0, 50.0])).slope == pytest.approx(5)
    assert CostLine.fitted(np.full(3, 1e6), np.array([40.0, 45.0, 50.0]))(macs)[0] == pytest.approx(45)


def test_few_measurements_are_learnt_in_few_steps(monkeypatch):
    monkeypatch.setattr("nagsdk.training.subnets.EnsembleRecipe", EnsembleRecipe)
    steps = [subnets.recipe_for(count).steps for count in (50, 100, 300, 5000)]
    assert steps == sorted(steps) and steps[0] < 0.3 * steps[-1] and steps[2:] == [EnsembleRecipe().steps] * 2
