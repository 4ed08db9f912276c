"""Gradient ascent on distributions over choices, by a differentiable predictor and the costs of the tables.

Sources: Li et al., "Geometry-Aware Gradient Algorithms for Neural Architecture Search" (GAEA, 2021), after Liu et al.,
"DARTS" (2019); for the options Wu et al., "FBNet" (2019), Cai et al., "ProxylessNAS" (2019), Xue et al., "RARTS"
(2022), and Wang et al., "Rethinking Architecture Selection in Differentiable NAS" (2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from nagsdk.cost.table import Floats
from nagsdk.generator.strategy import Question
from nagsdk.space.space import Codes
from nagsdk_searches.evaluator import Evaluator, Search, one_hot
from nagsdk_searches.monas import Monas, policy
from nagsdk_searches.own_loss import OwnLoss
from nagsdk_searches.surrogate import Relaxation, Surrogate, cost_surrogates

_STEPS, _RATE, _HOTTEST, _COLDEST = 25, 1.5, 2.0, 0.3


class Gradient(Search):
    """Ascends, draws architectures, evaluates them, fits the predictor again, and goes on.

    The form of the relaxation is an option: ``gaea`` multiplies probabilities by exponentials of their gradient;
    ``gumbel`` draws from the Gumbel softmax, ever colder (FBNet); ``gates`` keeps two paths of each decision at a time
    (ProxylessNAS); ``splitting`` has two predictors of two halves of the data, drawn to each other (RARTS);
    ``perturbation`` settles every decision by what the relaxation loses without a choice, instead of drawing it. With
    ``loss=supernet``, the gradient is that of a regression on a supernet's losses, since it computes single paths.
    """

    id: ClassVar[str] = "gradient"
    title: ClassVar[str] = "GAEA and the DARTS family: gradient ascent on distributions over choices"
    options: ClassVar[Mapping[str, Sequence[str]]] = {
        "form": ("gaea", "gumbel", "gates", "splitting", "perturbation"), "loss": ("predictor", "supernet"),
    }  # fmt: skip

    def propose(self, question: Question) -> Codes:
        """See `Search.propose`."""
        own = self.option(question, "loss") == "supernet"
        return super().propose(replace(question, predictor=OwnLoss(question)) if own else question)

    def search(self, evaluator: Evaluator) -> None:
        """See `Search.search`."""
        form, rng, space = self.option(evaluator.question, "form"), evaluator.rng, evaluator.space
        relaxed, costs = Relaxation(space), cost_surrogates(evaluator)
        limits = np.log(np.maximum(evaluator.question.limits, 1e-12))
        known = [Surrogate(space.one_hot_width, rng) for _ in range(2 if form == "splitting" else 1)]
        evaluator.top1(evaluator.random(evaluator.share(0.15)))
        each = evaluator.share(0.05, 1)
        pressure = np.zeros_like(limits)
        while True:
            self._fit(evaluator, known)
            scale = float(evaluator.seen()[1].std()) + 1e-9
            logits = np.where(relaxed.exists, self._start(evaluator), -np.inf)
            for step in range(_STEPS):
                p = policy(logits)
                at = self._point(form, p, _HOTTEST * (_COLDEST / _HOTTEST) ** (step / _STEPS), rng)
                rows, on = relaxed.rows(at)
                over = np.stack([cost(rows) for cost in costs], axis=1) - limits
                pressure = np.maximum(pressure + 2.0 * over, 0.0)
                gradient = np.mean([one.gradient(rows) for one in known], axis=0) / scale
                for number, cost in enumerate(costs):
                    gradient -= pressure[:, number, None] * cost.gradient(rows)
                slope = relaxed.slopes(at, on, gradient)
                if form in ("gumbel", "gates"):  # these ascend on logits, through the softmax
                    slope = at * (slope - (at * slope).sum(2, keepdims=True)) * 4.0
                logits = np.where(relaxed.exists, logits + _RATE * slope, -np.inf)
                logits -= logits.max(2, keepdims=True)
                logits = np.where(relaxed.exists, np.maximum(logits, -8.0), -np.inf)
            p = policy(logits)
            drawn = Monas.sampled(evaluator, p, 4 * each)
            if form == "perturbation":
                drawn[:, 0] = evaluator.redrawn(self.perturbed(relaxed, known[0], p)[:, None], 0.0)[:, 0]
            drawn = evaluator.repaired(drawn)
            evaluator.top1(evaluator.promising(drawn, np.zeros(drawn.shape[:2]), each))

    @staticmethod
    def _start(evaluator: Evaluator) -> Floats:
        """Logits that lean to what the best networks so far use, from where each ascent starts."""
        best = evaluator.best(8)[0]
        used = (best[..., None] == np.arange(int(evaluator.space.sizes.max()))).mean(1)
        leaning: Floats = np.log(0.1 + used)
        return leaning

    @staticmethod
    def _fit(evaluator: Evaluator, known: list[Surrogate]) -> None:
        """Fits the predictors, each to its part of what was evaluated, near the one before it."""
        codes, top1 = evaluator.lessons()
        rows = one_hot(evaluator, codes)
        for number, one in enumerate(known):
            part = slice(number, None, len(known))
            if number:
                one.directions, one.phases = known[0].directions, known[0].phases
            one.fit(rows[part], top1[part], known[number - 1].coefficients if number else None)

    @staticmethod
    def _point(form: str, p: Floats, temperature: float, rng: np.random.Generator) -> Floats:
        """The point of the relaxation at which the gradient is taken."""
        with np.errstate(divide="ignore"):
            noisy = np.log(p) + rng.gumbel(size=p.shape)
        if form == "gumbel":
            return policy(noisy / temperature)
        if form == "gates":
            second = np.sort(noisy, axis=2)[:, :, max(-2, -p.shape[2]), None]
            two = np.where(noisy >= second, p, 0.0)
            p = two / np.maximum(two.sum(2, keepdims=True), 1e-12)
        return p

    @staticmethod
    def perturbed(relaxed: Relaxation, known: Surrogate, p: Floats) -> Codes:
        """Settles one decision after the other on the choice without which the relaxation loses most."""
        p = p.copy()
        for d, size in enumerate(relaxed.sizes):
            without = []
            for choice in range(size):
                other = p.copy()
                other[:, d, choice] = 0.0
                other[:, d] /= np.maximum(other[:, d].sum(1, keepdims=True), 1e-12)
                without.append(known(relaxed.rows(other)[0]))
            # A choice that was given up already is no candidate, whatever the others lose.
            lost = np.where(p[:, d, :size] > 0.02, -np.stack(without, axis=1), -np.inf)
            p[:, d] = np.eye(p.shape[2])[lost.argmax(1)]
        settled: Codes = p.argmax(2).astype(np.int8)
        return settled
