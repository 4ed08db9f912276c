"""Gradient-boosted trees predict top-1, and tell which choices can be taken out of the space.

Source: Luo et al., "Accuracy Prediction with Non-neural Model for Neural Architecture Search" (GBDT-NAS, 2020).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import Floats
from nagsdk.space.space import Codes
from nagsdk_searches.evaluator import Evaluator, Search, one_hot, top
from nagsdk_searches.trees import boosted

_POOL, _ROUNDS, _BEST, _RARE = 200, 6, 40, 0.05


class Gbdt(Search):
    """In turn fits trees, takes away the choices that they value least, and evaluates the best of what is left."""

    id: ClassVar[str] = "gbdt"
    title: ClassVar[str] = "GBDT-NAS: trees, and a space that is pruned by them (needs nagsdk[searches])"

    def search(self, evaluator: Evaluator) -> None:
        """See `Search.search`."""
        evaluator.top1(evaluator.random(evaluator.share(0.3)))
        each = evaluator.share(0.7 / _ROUNDS, 1)
        exists = np.arange(int(evaluator.space.sizes.max())) < evaluator.space.sizes[:, None]
        while True:
            left = np.broadcast_to(exists, (evaluator.n, *exists.shape))
            codes, top1 = evaluator.lessons()
            model = boosted(one_hot(evaluator, codes), top1, int(evaluator.rng.integers(1 << 30)))
            near = evaluator.children(evaluator.best(16)[0], _POOL // 2, 2 / codes.shape[1])
            pool = np.concatenate([near, evaluator.question.random(_POOL // 2, evaluator.rng, 30)], axis=1)
            for _ in range(3):
                expected = model.predict(one_hot(evaluator, pool)).reshape(pool.shape[:2])
                left = self.pruned(left, pool, expected)
                parents = np.take_along_axis(pool, top(expected, _BEST)[..., None], axis=1)
                grown = evaluator.children(parents, _POOL, 2 / pool.shape[2])
                grown = evaluator.question.kept(evaluator.redrawn(within(left, grown), 0.0), grown)
                pool = np.concatenate([parents, grown], axis=1)
            expected = model.predict(one_hot(evaluator, pool)).reshape(pool.shape[:2])
            evaluator.top1(evaluator.promising(pool, expected, each))

    @staticmethod
    def pruned(left: NDArray[np.bool_], pool: Codes, expected: Floats) -> NDArray[np.bool_]:
        """Takes away the choices that hardly any of a budget's best candidates has; at least one choice remains."""
        best = np.take_along_axis(pool, top(expected, _BEST)[..., None], axis=1)
        share = (best[..., None] == np.arange(left.shape[2])).sum(1) / np.maximum((best >= 0).sum(1), 1)[..., None]
        kept = left & (share > _RARE)
        return np.where(kept.any(2, keepdims=True), kept, left)


def within(left: NDArray[np.bool_], codes: Codes) -> Codes:
    """Architectures in which choices that were taken away became the nearest ones that are left."""
    choices = np.arange(left.shape[2])
    far = np.abs(choices[:, None] - choices) + np.where(left, 0, left.shape[2])[:, :, None, :]
    nearest = far.argmin(3).astype(np.int8)
    moved = np.take_along_axis(nearest[:, None], np.maximum(codes, 0)[..., None].astype(np.intp), axis=3)[..., 0]
    return np.where(codes >= 0, moved, codes).astype(np.int8)
