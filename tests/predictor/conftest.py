from dataclasses import dataclass

import numpy as np
import pytest

from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from nagsdk.predictor.fit import fit_predictor
from nagsdk.predictor.model import AccuracyPredictor
from nagsdk.predictor.train import EnsembleRecipe

SHORT = EnsembleRecipe(members=2, hidden=16, steps=600)


@dataclass
class Truth:
    """Synthetic measurements: effects that add up under a saturating link, one interaction, and noise."""

    space: MobileNetV3Space
    codes: np.ndarray
    top1: np.ndarray
    groups: np.ndarray
    noise: float = 0.05
    asymptote: float = 80.0

    def exact(self, codes):
        rng = np.random.default_rng(5)
        effects = np.sort(rng.uniform(0, 0.35, (len(self.space.sizes), int(self.space.sizes.max()))), axis=1)
        gains = np.where(codes >= 0, np.take_along_axis(effects, np.maximum(codes, 0).T, axis=1).T, 0.0).sum(1)
        interaction = 0.1 * (codes[:, 0] == 0) * (codes[:, 2] > 3)
        return self.asymptote - 8 * np.exp(-gains + interaction)


@pytest.fixture(scope="session")
def truth(tiny_space) -> Truth:
    rng = np.random.default_rng(1)
    codes = tiny_space.sample(260, rng)
    codes = np.concatenate([codes, codes[:20]])
    made = Truth(tiny_space, codes, np.empty(0), rng.choice(["a", "b", "c"], len(codes)))
    made.top1 = made.exact(codes) + rng.normal(0, made.noise, len(codes))
    return made


@pytest.fixture(scope="session")
def predictor(truth) -> AccuracyPredictor:
    return fit_predictor(
        truth.space, truth.codes, truth.top1, source="made up", groups=truth.groups, recipe=SHORT, facts={"extra": 1}
    )
