from types import SimpleNamespace

import numpy as np

from nagsdk.predictor.fitter import Fitter
from nagsdk.predictor.groups import MeasuredSubnets
from nagsdk.predictor.optimism import SPLITS, optimism
from nagsdk.predictor.train import EnsembleRecipe


def test_noise_makes_the_chosen_look_better_than_they_are(truth):
    rng, found = np.random.default_rng(0), []
    recipe = EnsembleRecipe(members=4, hidden=8, steps=150)
    for noise in (0.0, 1.0):
        top1 = np.minimum(truth.exact(truth.codes) + rng.normal(0, noise, len(truth.codes)), 79.9)
        fitter = Fitter(truth.space, MeasuredSubnets.of(truth.space, truth.codes, top1, truth.groups, 0), recipe, 0)
        told: list[str] = []
        found.append(optimism(fitter, fitter.fit(np.ones(len(top1), dtype=bool)), told.append))
        assert len(told) == SPLITS
    quiet, noisy = (SimpleNamespace(**facts) for facts in found)
    assert 0 <= quiet.points < noisy.points and quiet.chosen_less_judged < noisy.chosen_less_judged
