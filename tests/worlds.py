"""Simulated devices for tests of cost models."""

import numpy as np

from nagsdk.cost.features import FEATURES, FeatureTable
from nagsdk.cost.model import CostModel
from nagsdk.cost.prior import Jitter, Prior

JITTER = Jitter({75.0: 1.01, 90.0: 1.04, 95.0: 1.06, 99.0: 1.2}, 0.01)


class World:
    """A simulated device: costs of features that differ from those of the prior, and noise."""

    def __init__(self, space, seed=0, noise=0.02):
        self.space, self.noise = space, noise
        self.rng = np.random.default_rng(seed)
        self.table = FeatureTable.of(space)
        mean = self.table.of_codes(space.sample(200, self.rng)).mean(0)
        flat = np.divide(1.0, mean, out=np.zeros_like(mean), where=mean > 0) / len(FEATURES)
        self.prior = Prior(8 * flat, 0.5, JITTER, source={"title": "a test"})
        self.prices = 5 * flat * np.exp(self.rng.normal(0, 0.5, len(FEATURES)))

    def sample(self, count):
        return self.space.sample(count, self.rng)

    def exact(self, codes):
        return self.table.of_codes(codes) @ self.prices

    def measure(self, codes):
        return self.exact(codes) * np.exp(self.rng.normal(0, self.noise, len(codes)))

    def model(self, count=24):
        codes = self.sample(count)
        return CostModel.fit(self.space, self.prior, codes, self.measure(codes), device="here", facts={"seed": 0})
