"""Discrete diffusion over decisions, trained without labels, guided by a predictor and the gradients of costs.

Source: An et al., "DiffusionNAG: Predictor-guided Neural Architecture Generation with Diffusion Models" (2024). Here
the noise hides decisions (absorbing states), and the denoiser is a ridge regression instead of a score network.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import Floats
from nagsdk.space.space import Codes
from nagsdk_searches.evaluator import Evaluator, Search, one_hot
from nagsdk_searches.monas import policy
from nagsdk_searches.surrogate import Relaxation, Surrogate, cost_surrogates

_TRAINING, _STEPS, _UNITS = 4000, 8, 256


class Denoiser:
    """The distribution of every decision, given those that are not hidden and the share of the limits that is used.

    Args:
        evaluator: Gives random architectures within the limits; none is evaluated.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        rng, self.relaxed, self.evaluator = evaluator.rng, Relaxation(evaluator.space), evaluator
        codes = evaluator.random(_TRAINING // evaluator.n + 1)
        self.limits = np.log(np.maximum(evaluator.question.limits, 1e-12))
        clean = one_hot(evaluator, codes)
        hidden = rng.random((len(clean), codes.shape[2])) < rng.random((len(clean), 1))
        shown = np.where(hidden[:, self.decision], 0.0, clean)
        asked = np.repeat(self.limits, codes.shape[1], axis=0)
        self.center, self.spread = self.limits.mean(0), self.limits.std(0) + 1e-9
        width = shown.shape[1] + hidden.shape[1] + asked.shape[1]
        self.directions = rng.normal(0.0, 0.5, (width, _UNITS))
        read = self._read(shown, hidden, asked)
        self.weights = np.linalg.solve(read.T @ read + 10.0 * np.eye(read.shape[1]), read.T @ clean)

    @property
    def decision(self) -> NDArray[np.intp]:
        """The decision of every column of one-hot rows."""
        return np.nonzero(self.relaxed.exists)[0]

    def __call__(self, codes: Codes, hidden: NDArray[np.bool_]) -> Floats:
        """Distributions of all decisions, shape (rows, decisions, choices).

        Args:
            codes: Architectures of shape (n, count, decisions).
            hidden: Which of their decisions are hidden, of the same shape.
        """
        masked = hidden.reshape(-1, hidden.shape[2])
        shown = np.where(masked[:, self.decision], 0.0, one_hot(self.evaluator, codes))
        asked = np.repeat(self.limits, codes.shape[1], axis=0)
        p = np.zeros((len(shown), *self.relaxed.exists.shape))
        p[:, self.relaxed.exists] = np.maximum(self._read(shown, masked, asked) @ self.weights, 1e-3)
        result: Floats = p / p.sum(2, keepdims=True)
        return result

    def _read(self, shown: Floats, hidden: NDArray[np.bool_], asked: Floats) -> Floats:
        rows = np.hstack([shown, hidden, (asked - self.center) / self.spread])
        return np.hstack([rows, np.tanh(rows @ self.directions), np.ones((len(rows), 1))])


class Diffusion(Search):
    """Draws architectures by taking noise away in steps, each guided by what was evaluated so far and by the costs."""

    id: ClassVar[str] = "diffusion"
    title: ClassVar[str] = "DiffusionNAG: discrete diffusion over decisions, guided by predictor and costs"

    def search(self, evaluator: Evaluator) -> None:
        """See `Search.search`."""
        denoiser, costs = Denoiser(evaluator), cost_surrogates(evaluator)
        guide = Surrogate(evaluator.space.one_hot_width, evaluator.rng)
        each, strength = evaluator.share(0.08), 0.0
        while True:
            drawn = evaluator.repaired(self.drawn(evaluator, denoiser, guide, costs, 2 * each, strength))
            evaluator.top1(evaluator.promising(drawn, np.zeros(drawn.shape[:2]), each))
            codes, top1 = evaluator.lessons()
            guide.fit(one_hot(evaluator, codes), top1)
            strength = 8.0 / (float(top1.std()) + 1e-9)

    @staticmethod
    def drawn(
        evaluator: Evaluator, denoiser: Denoiser, guide: Surrogate, costs: list[Surrogate], count: int, strength: float
    ) -> Codes:
        """Architectures for each budget, shape (n, count, decisions); strength 0 leaves the predictor out."""
        rng, relaxed, space = evaluator.rng, denoiser.relaxed, evaluator.space
        codes = np.zeros((evaluator.n, count, len(space.sizes)), np.int8)
        hidden = np.ones(codes.shape, bool)
        limits = np.repeat(denoiser.limits, count, axis=0)
        for step in range(_STEPS):
            p = denoiser(codes, hidden)
            taken, unknown = (of.reshape(len(p), -1)[..., None] for of in (codes, hidden))
            known = np.where(unknown, p, np.arange(p.shape[2]) == taken)
            rows, on = relaxed.rows(known)
            gradient = strength * guide.gradient(rows)
            for number, cost in enumerate(costs):
                over = np.maximum(cost(rows) - limits[:, number], 0.0)
                gradient -= 40.0 * over[:, None] * cost.gradient(rows)
            with np.errstate(divide="ignore"):
                steered = policy(np.log(p) + relaxed.slopes(known, on, gradient))
                drawn = (np.log(steered) + rng.gumbel(size=p.shape)).argmax(2).astype(np.int8).reshape(codes.shape)
            seen = hidden & (rng.random(codes.shape) < 1 / (_STEPS - step))
            codes, hidden = np.where(seen, drawn, codes), hidden & ~seen
        return evaluator.redrawn(codes, 0.0)
