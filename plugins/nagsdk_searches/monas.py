"""Policy gradient with a reward of several aims.

Source: Hsu et al., "MONAS: Multi-Objective Neural Architecture Search" (2018), whose constrained reward is used: the
accuracy within the limits, and less the further an architecture exceeds them. The policy is a table of logits for each
budget instead of a recurrent network.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nagsdk.cost.table import Floats
from nagsdk.space.space import Codes
from nagsdk_searches.evaluator import Evaluator, Search

_RATE, _ENTROPY, _PENALTY = 1.5, 0.01, 10.0


class Monas(Search):
    """REINFORCE on every budget's own policy; what breaks a limit gets its reward without an evaluation."""

    id: ClassVar[str] = "monas"
    title: ClassVar[str] = "MONAS: policy gradient with a reward of accuracy and limits"

    def search(self, evaluator: Evaluator) -> None:
        """See `Search.search`."""
        space, n = evaluator.space, evaluator.n
        exists = np.arange(int(space.sizes.max())) < space.sizes[:, None]
        logits = np.where(exists, np.zeros((n, *exists.shape)), -np.inf)
        each = evaluator.share(0.03, 4)
        base: Floats | None = None
        while True:
            p = policy(logits)
            codes = self.sampled(evaluator, p, each)
            reward = self.reward(evaluator, codes)
            level = reward.mean(1, keepdims=True)
            base = level if base is None else 0.7 * base + 0.3 * level
            worth = (reward - base) / (reward.std() + 1e-9)
            chosen = np.arange(p.shape[2]) == codes[..., None]
            active = (codes >= 0)[..., None]
            step = (worth[..., None, None] * active * (chosen - p[:, None])).mean(1)
            # The gradient of the entropy, which keeps the policy from settling too early.
            spread = -p * (np.log(np.maximum(p, 1e-9)) + 1)
            spread -= p * spread.sum(2, keepdims=True)
            logits = np.where(exists, logits + _RATE * (step + _ENTROPY * spread), -np.inf)

    @staticmethod
    def sampled(evaluator: Evaluator, p: Floats, count: int) -> Codes:
        """Architectures drawn from distributions of shape (n, decisions, choices), shape (n, count, decisions)."""
        noise = evaluator.rng.gumbel(size=(len(p), count, *p.shape[1:]))
        with np.errstate(divide="ignore"):
            drawn = (np.log(p)[:, None] + noise).argmax(3).astype(np.int8)
        return evaluator.redrawn(drawn, 0.0)

    @staticmethod
    def reward(evaluator: Evaluator, codes: Codes) -> Floats:
        """The reward of architectures of shape (n, count, decisions)."""
        question = evaluator.question
        over = np.minimum(question.cost(codes) / question.limits[:, None], 10.0).max(2) - 1
        within = over <= 0
        top1 = np.full(over.shape, -np.inf)
        top1[within] = evaluator.top1(codes[within])
        seen = evaluator.seen()[1] if within.any() else np.zeros(1)
        return np.where(within, top1, seen.mean() - _PENALTY * seen.std() * over)


def policy(logits: Floats) -> Floats:
    """Probabilities of logits along the last axis."""
    p = np.exp(logits - logits.max(-1, keepdims=True))
    result: Floats = p / p.sum(-1, keepdims=True)
    return result
