"""Training-free proxies, combined robustly, and exploited greedily.

Sources: He et al., "Robustifying and Boosting Training-Free Neural Architecture Search" (RoBoT, 2024); Zhang and Jia,
"GradSign" (2022); Dong et al., "ParZC: Parametric Zero-Cost Proxies" (2024).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from nagsdk.cost.table import Floats
from nagsdk.families.space import NetworkSpace
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import Codes, SearchSpace
from nagsdk_searches.evaluator import Evaluator, Search, one_hot
from nagsdk_searches.surrogate import Surrogate

_NETWORKS, _IMAGES, _POOL, _TURNS = 32, 3, 200, 24


class ZeroCost(Search):
    """Bayesian optimisation of the proxies' weights, then the best architectures by the best weights.

    With ``predictor=no`` nothing is evaluated, and all proxies weigh the same.
    Proxies are computed for a few networks, and continued to all others by regression.
    """

    id: ClassVar[str] = "zero-cost"
    title: ClassVar[str] = "RoBoT: training-free proxies (GradSign, ParZC, MACs, …), combined by few evaluations"
    labels: ClassVar[bool] = True
    options: ClassVar[Mapping[str, Sequence[str]]] = {"predictor": ("yes", "no")}

    def search(self, evaluator: Evaluator) -> Codes | None:
        """See `Search.search`."""
        rng, codes = evaluator.rng, evaluator.random(_NETWORKS // evaluator.n + 1)
        known = proxies(evaluator.space, codes.reshape(-1, codes.shape[2])[:_NETWORKS], evaluator.question.seed)
        rows = one_hot(evaluator, codes)[:_NETWORKS]
        spread = known.std(0) + 1e-9
        models = [Surrogate(rows.shape[1], rng).fit(rows, of) for of in ((known - known.mean(0)) / spread).T]

        def scores(candidates: Codes) -> Floats:
            found = [model(one_hot(evaluator, candidates)) for model in models]
            return np.stack(found, axis=1).reshape(*candidates.shape[:2], -1)

        pool = evaluator.random(_POOL)
        read = scores(pool)
        every = np.arange(evaluator.n)
        if self.option(evaluator.question, "predictor") == "no":
            chosen: Codes = pool[every, read.mean(2).argmax(1)][:, None]
            return chosen
        tried: list[Floats] = []
        worth: list[float] = []
        for _ in range(min(_TURNS, max(2, evaluator.most // (4 * evaluator.n)))):
            weights = next_weights(rng, tried, worth, read.shape[2])
            picked = pool[every, (read @ weights).argmax(1)]
            tried.append(weights)
            worth.append(float(evaluator.top1(picked[:, None]).mean()))
        best = tried[int(np.argmax(worth))]
        each = evaluator.share(0.05, 1)
        while True:
            evaluator.top1(evaluator.promising(pool, read @ best, each))
            near = evaluator.children(evaluator.best(8)[0], _POOL // 2, 0.1)
            pool = np.concatenate([near, evaluator.random(_POOL // 2)], axis=1)
            read = scores(pool)


def next_weights(rng: np.random.Generator, tried: Sequence[Floats], worth: Sequence[float], count: int) -> Floats:
    """The next weights to try: of the highest upper bound by a Gaussian process with an RBF kernel."""
    drawn = rng.normal(size=(200, count))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    if len(tried) < 2:
        return np.full(count, count**-0.5) if not tried else drawn[0]
    known, value = np.array(tried), np.array(worth)
    value = (value - value.mean()) / (value.std() + 1e-9)

    def kernel(a: Floats, b: Floats) -> Floats:
        result: Floats = np.exp(-2.0 * ((a[:, None] - b) ** 2).sum(2))
        return result

    inverse = np.linalg.inv(kernel(known, known) + 0.05 * np.eye(len(known)))
    cross = kernel(drawn, known)
    doubt = np.sqrt(np.maximum(1.0 - np.einsum("ij,jk,ik->i", cross, inverse, cross), 0.0))
    best: Floats = drawn[(cross @ inverse @ value + doubt).argmax()]
    return best


def proxies(space: SearchSpace, codes: Codes, seed: int) -> Floats:
    """Proxies of architectures, shape (m, proxies): MACs, parameters, layers; GradSign and ParZC if networks exist."""
    found = []
    for architecture in space.decode(codes):
        layers = space.layers(architecture)
        sizes = (sum(layer.macs for layer in layers), sum(layer.parameters for layer in layers))
        signs = gradient_signs(space, architecture, seed) if isinstance(space, NetworkSpace) else ()
        found.append((*np.log(np.maximum(sizes, 1)), float(len(layers)), *signs))
    return np.array(found, np.float64)


def gradient_signs(space: NetworkSpace, architecture: Architecture, seed: int) -> tuple[float, float, float]:
    """How much the signs of the gradients of single images agree at random weights.

    In sum (GradSign), and mean and spread over the layers (what ParZC reads). Images and classes are noise, since a
    question has none.
    """
    import torch

    from nagsdk.families.torch_scope import seeded

    with seeded(seed):
        network = space.build(architecture)
        images = torch.randn(_IMAGES, 3, architecture.resolution, architecture.resolution)
        classes = torch.randint(space.classes, (_IMAGES,))
    losses = torch.nn.functional.cross_entropy(network(images), classes, reduction="none")
    weights = [weight for weight in network.parameters() if weight.ndim > 1]
    gradients = [torch.autograd.grad(loss, weights, retain_graph=True) for loss in losses]
    agreed = (torch.stack([part.sign() for part in of]).sum(0).abs().sum() for of in zip(*gradients, strict=True))
    layers = np.log1p([float(total) for total in agreed])
    return float(np.log(np.expm1(layers).sum())), float(layers.mean()), float(layers.std())
