"""Evolution in which what breaks a limit leaves at once, in a space that shrinks.

Sources: Termritthikun et al., "EEEA-Net: An Early Exit Evolutionary Neural Architecture Search" (2021), whose early
exits keep what is too large out of the first population and out of every later one; Zhang et al., "AutoShrink: A
Topology-Aware NAS for Discovering Efficient Neural Architecture" (2019), which takes away the edges that help least.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import Floats
from nagsdk.space.space import Codes
from nagsdk_searches.evaluator import Evaluator, Search, uses

_PARENTS, _SHARE_LEFT = 16, 0.5


class EarlyExit(Search):
    """Constraint-first evolution; with the option ``shrink=yes``, choices that the best do not use are taken away."""

    id: ClassVar[str] = "early-exit"
    title: ClassVar[str] = "EEEA-Net: evolution with early exits, in a space that shrinks (AutoShrink)"
    options: ClassVar[Mapping[str, Sequence[str]]] = {"shrink": ("yes", "no")}

    def search(self, evaluator: Evaluator) -> None:
        """See `Search.search`."""
        space = evaluator.space
        shrinks = self.option(evaluator.question, "shrink") == "yes"
        exists = np.arange(int(space.sizes.max())) < space.sizes[:, None]
        left = np.repeat(exists[None], evaluator.n, axis=0)
        evaluator.top1(evaluator.random(evaluator.share(0.15)))
        each = evaluator.share(0.04, 1)
        while True:
            parents, values = evaluator.best(_PARENTS)
            if shrinks:
                left = self.shrunk(left, parents, values, _SHARE_LEFT * (1 - evaluator.left / evaluator.most))
            children = evaluator.children(parents, 4 * each, 2 / len(space.sizes))
            # A child that uses a choice that was taken away leaves early too.
            evaluator.top1(evaluator.promising(children, uses(left, children).astype(float), each))

    @staticmethod
    def shrunk(left: NDArray[np.bool_], parents: Codes, values: Floats, part: float) -> NDArray[np.bool_]:
        """Takes away, for each budget, the choices of a part of the decisions that none of its best networks uses.

        A decision keeps what its best network uses, and is left alone while no parent has it active.
        """
        known = np.isfinite(values)[..., None, None]
        used = ((parents[..., None] == np.arange(left.shape[2])) & known).any(1)
        # Where the parents agree most, a decision is settled first.
        agreed = np.where(used.any(2), -used.sum(2), -left.shape[2] - 1).astype(float)
        count = int(part * left.shape[1])
        settled = np.zeros(left.shape[:2], bool)
        np.put_along_axis(settled, np.argsort(-agreed, axis=1, kind="stable")[:, :count], True, axis=1)
        result: NDArray[np.bool_] = np.where((settled & used.any(2))[..., None], used, left)
        return result
