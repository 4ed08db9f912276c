"""Judges an architecture by its neighbourhood, in any other strategy.

Sources: Wang et al., "Neighborhood-Aware Neural Architecture Search" (NA-RS and NA-DARTS, 2021): flat optima of the
space are more likely to be as good as they are believed to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np

from nagsdk.generator.ranking import choose
from nagsdk.generator.strategy import Question, Strategy
from nagsdk.predictor.protocol import Derived, Teacher
from nagsdk.space.space import Codes, SearchSpace
from nagsdk_searches.neighbours import settled

_NEIGHBOURS = 4


class Neighbourhood(Derived):
    """An accuracy predictor whose top-1 is the mean over an architecture and some neighbours, always the same ones."""

    def __init__(self, predictor: Teacher, space: SearchSpace) -> None:
        super().__init__(predictor)
        self.space = space

    def predict(self, codes: Codes) -> SimpleNamespace:
        """Predictions whose `mean` is the mean top-1 of the neighbourhoods."""
        every = np.concatenate([codes[:, None], around(self.space, codes)], axis=1)
        top1 = np.asarray(self.predictor.predict(every.reshape(-1, codes.shape[1])).mean, np.float64)
        return SimpleNamespace(mean=top1.reshape(every.shape[:2]).mean(1))


def around(space: SearchSpace, codes: Codes) -> Codes:
    """Some neighbours of architectures, shape (m, 4, decisions): one step in decisions that are spread over the active.

    The resolution is left alone, since another one is no small change, unless there is nothing else.
    """
    every, active = np.arange(len(codes)), codes >= 0
    active[:, 0] &= len(space.sizes) == 1
    count, order = np.maximum(active.sum(1), 1), np.argsort(~active, axis=1, kind="stable")
    found = []
    for number in range(_NEIGHBOURS):
        decision = order[every, ((2 * number + 1) * count) // (2 * _NEIGHBOURS)]
        near, choice = codes.copy(), codes[every, decision]
        # The last choice steps back.
        near[every, decision] = np.where(choice + 1 < space.sizes[decision], choice + 1, np.maximum(choice - 1, 0))
        found.append(settled(space, near))
    return np.stack(found, axis=1)


class Flat(Strategy):
    """Asks another strategy, named by the option ``of``, for the best neighbourhood instead of architecture."""

    id: ClassVar[str] = "flat"
    title: ClassVar[str] = "NA-RS: any other strategy (flat:of=ID), ranked by the neighbourhood of architectures"
    options: ClassVar[Mapping[str, Sequence[str]]]

    def __init__(self, strategies: Iterable[Strategy]) -> None:
        self._known = {strategy.id: strategy for strategy in strategies}
        self.options = {"of": tuple(self._known)}  # type: ignore[misc]

    def propose(self, question: Question) -> Codes:
        """Returns one candidate for every budget."""
        flat = Neighbourhood(question.predictor, question.space)
        allowed = None if question.evaluations is None else question.evaluations // (1 + _NEIGHBOURS)
        if allowed == 0:
            return question.reserves[:, None]
        asked = replace(question, predictor=flat, evaluations=allowed, options={})
        codes = self._known[self.option(question, "of")].propose(asked)
        if codes.shape[1] == 1:
            return codes
        return codes[np.arange(len(codes)), choose(flat, codes)[:, 0]][:, None]
