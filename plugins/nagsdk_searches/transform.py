"""A walk of small changes from the user's present network: what little change gains most?

Source: Cai et al., "Efficient Architecture Search by Network Transformation" (EAS, 2018), whose moves widen and deepen
a network and keep what it has learned. Here a step changes one decision; a block that is added copies the one before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from nagsdk.cost.table import Floats
from nagsdk.errors import UsageError
from nagsdk.events import Notice
from nagsdk.space.space import Codes
from nagsdk_searches.evaluator import Evaluator, Search
from nagsdk_searches.neighbours import neighbours


class Transform(Search):
    """Takes the best of all single changes within the limits, as often as the option `steps` says.

    A network that breaks the limits first takes the changes that lose least for what they save. Without a network to
    start from, walks start from the budget's reserve, then from random networks, and each ends where no change gains.
    """

    id: ClassVar[str] = "transform"
    title: ClassVar[str] = "EAS: few changes of your present network (nagsdk generate --from ARCH)"
    options: ClassVar[Mapping[str, Sequence[str]]] = {"steps": ("4", "1", "2", "8", "16", "any")}
    starts: ClassVar[bool] = True

    def search(self, evaluator: Evaluator) -> Codes | None:
        """See `Search.search`."""
        question, steps = evaluator.question, self.option(evaluator.question, "steps")
        if question.start is None:
            starts = question.reserves
            while True:
                for number, code in enumerate(starts):
                    self._walk(evaluator, number, code, 1 << 20)
                starts = evaluator.random(1)[:, 0]
        if not np.isfinite(question.cost(question.start)).all():
            raise UsageError(
                "Your present architecture has a layer or a resolution that is not allowed here.",
                "Start from another one, or allow its resolution.",
            )
        most = 1 << 20 if steps == "any" else int(steps)
        ends = np.stack([self._walk(evaluator, number, question.start, most) for number in range(evaluator.n)])
        return np.where(question.within(ends[:, None])[..., None], ends[:, None], evaluator.answers())

    def _walk(self, evaluator: Evaluator, number: int, code: Codes, steps: int) -> Codes:
        """The end of a walk for one budget."""
        question = evaluator.question
        now, over = float(evaluator.top1(code[None])[0]), self._over(evaluator, number, code[None])[0]
        while steps > 0:
            near = neighbours(evaluator.space, code)
            top1, excess = evaluator.top1(near), self._over(evaluator, number, near)
            saves, gains = over - np.maximum(excess, 0.0), top1 - now
            if over > 0:  # such a step is needed to hold the limits, and does not count
                per_saved = np.where(gains >= 0, 1e9 * saves + gains, gains / np.maximum(saves, 1e-12))
                worth = np.where(np.isfinite(excess) & (saves > 0), per_saved, -np.inf)
            else:
                worth = np.where((excess <= 0) & (gains > 0), gains, -np.inf)
                steps -= 1
            best = int(worth.argmax())
            if worth[best] == -np.inf:
                break
            if question.start is not None:
                told = changes(evaluator, code, near[best])
                question.on_event(Notice(f"{told}: predicted top-1 {gains[best]:+.2f} points"))
            code, now, over = near[best], float(top1[best]), float(excess[best])
        return code

    @staticmethod
    def _over(evaluator: Evaluator, number: int, codes: Codes) -> Floats:
        """By what share architectures exceed a budget at most, 0 or less if they hold it."""
        result: Floats = (evaluator.question.cost(codes) / evaluator.question.limits[number]).max(1) - 1
        return result


def changes(evaluator: Evaluator, before: Codes, after: Codes) -> str:
    """The decision that differs between neighbours, with both choices, as text."""
    d = int(np.flatnonzero((before != after) & (before >= 0) & (after >= 0))[0])
    decision = evaluator.space.decisions[d]
    return f"{decision.name} {decision.choices[before[d]]} → {decision.choices[after[d]]}"
