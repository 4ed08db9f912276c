"""A light predictor that searches fit to what they have evaluated, and the relaxation of a space that it is read at."""

from __future__ import annotations

import numpy as np

from nagsdk.cost.table import Floats
from nagsdk.space.space import SearchSpace
from nagsdk_searches.evaluator import Evaluator, one_hot

_UNITS = 128
_DRAWN = 1000


class Surrogate:
    """Ridge regression on one-hot rows and on random cosines of them: quick to fit again, and differentiable.

    Args:
        width: Width of the rows.
        rng: Draws the cosines.
        ridge: Weight of the penalty on coefficients of cosines; that on single choices is 1.
    """

    def __init__(self, width: int, rng: np.random.Generator, ridge: float = 10.0) -> None:
        self.directions = rng.normal(0.0, 0.35, (width, _UNITS))
        self.phases = rng.uniform(0.0, 2 * np.pi, _UNITS)
        self.penalty = np.concatenate([np.ones(width), np.full(_UNITS, ridge)])
        self.coefficients, self.level = np.zeros(width + _UNITS), 0.0

    def fit(self, rows: Floats, values: Floats, near: Floats | None = None) -> Surrogate:
        """Fits the regression.

        Args:
            rows: Rows of shape (m, width).
            values: Values of shape (m,).
            near: Coefficients that it stays near to instead of 0.
        """
        seen, self.level = self._read(rows), float(values.mean())
        start = np.zeros(seen.shape[1]) if near is None else near
        normal = seen.T @ seen + np.diag(self.penalty)
        self.coefficients = start + np.linalg.solve(normal, seen.T @ (values - self.level - seen @ start))
        return self

    def __call__(self, rows: Floats) -> Floats:
        """Values of rows, shape (m,)."""
        result: Floats = self._read(rows) @ self.coefficients + self.level
        return result

    def gradient(self, rows: Floats) -> Floats:
        """Derivatives of the values by the rows, shape (m, width)."""
        width = len(self.directions)
        slopes = -np.sin(rows @ self.directions + self.phases) * self.coefficients[width:]
        result: Floats = self.coefficients[:width] + slopes @ self.directions.T
        return result

    def _read(self, rows: Floats) -> Floats:
        return np.hstack([rows, np.cos(rows @ self.directions + self.phases)])


def cost_surrogates(evaluator: Evaluator) -> list[Surrogate]:
    """Differentiable costs, as logarithms: fitted to the exact tables, which costs no evaluation."""
    question, rng = evaluator.question, evaluator.rng
    codes = evaluator.random(_DRAWN // evaluator.n + 1)
    codes = evaluator.space.mutate(codes.reshape(-1, codes.shape[2]), rng, 0.1)
    cost = question.cost(codes)
    allowed = np.isfinite(cost).all(1)
    rows = one_hot(evaluator, codes[allowed])
    return [Surrogate(rows.shape[1], rng).fit(rows, np.log(np.maximum(of, 1e-12))) for of in cost[allowed].T]


class Relaxation:
    """Distributions over the choices of all decisions, and what surrogates say of them.

    Decisions that others switch on count with the probability that they are on.

    Args:
        space: The search space.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.sizes, self.switches = space.sizes, [decision.active_if for decision in space.decisions]
        self.exists = np.arange(int(space.sizes.max())) < space.sizes[:, None]

    def rows(self, p: Floats) -> tuple[Floats, Floats]:
        """Expected one-hot rows of distributions, shape (n, decisions, choices), and how probably decisions are on."""
        on = np.ones(p.shape[:2])
        for d, switch in enumerate(self.switches):
            if switch is not None:
                on[:, d] = on[:, switch[0]] * p[:, switch[0], switch[1] :].sum(1)
        return (on[..., None] * p)[:, self.exists], on

    def slopes(self, p: Floats, on: Floats, gradient: Floats) -> Floats:
        """Derivatives by the probabilities from those by expected rows, shape (n, decisions, choices)."""
        worth = np.zeros_like(p)
        worth[:, self.exists] = gradient
        for d in reversed(range(len(self.switches))):
            switch = self.switches[d]
            if switch is not None:
                worth[:, switch[0], switch[1] :] += (p[:, d] * worth[:, d]).sum(1)[:, None]
        return np.where(self.exists, on[..., None] * worth, 0.0)
