"""Training data of the universal generator: random devices, random limits, and the best architecture within them.

A device is a random price for every physical feature (`nagsdk.cost.features`), many of which are zero, and some random
noise on every choice. On some devices, such as a GPU that processes one image at a time, a call costs far more than the
work done in it, so that only the number of layers of a network counts.

The solutions are exact under several limits, too: an architecture on the frontier of a mix of costs is the best of all
architectures that do not exceed its costs in that mix. Its own costs are therefore limits for which it is the best
solution. Costs outside the mix get a limit that it holds easily.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from nagsdk.cost.features import FEATURES, FeatureTable
from nagsdk.cost.table import AdditiveTable, Floats, exact_table, mixed
from nagsdk.generator.decode import Trace, trace
from nagsdk.generator.frontier import frontier
from nagsdk.generator.prices import Paths
from nagsdk.predictor.protocol import Score
from nagsdk.space.space import Codes, SearchSpace

EACH = 24
_LEAST_FREE, _MOST_FREE = 0.1, 0.6
# Share of the devices on which calls cost more than the work, and the largest factor by which they do.
_BOUND_BY_CALLS, _MOST_OVERHEAD = 0.3, 300.0
_CALLS = np.array([name in ("network", "calls", "se_calls", "attention_calls") for name in FEATURES])
# Prices of features are drawn up to the last one that a space has, and always for so many: those of later kinds of
# layers do not change what the generators of other spaces are trained on.
_ALWAYS_DRAWN = 21
_MOST_RESOLUTIONS = 6
# Mean difference between a limit and the cost of its architecture, as a share of the range of the cost; about the
# distance between points of a frontier.
_SLACK = 0.001


class Devices:
    """Random cost tables of a space.

    Args:
        space: A search space whose choices add layers.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._features = FeatureTable.of(space)
        typical = self._features.typical
        self._share = np.divide(1.0, typical, out=np.zeros_like(typical), where=typical > 0)
        self._drawn = max(_ALWAYS_DRAWN, 1 + int(np.flatnonzero(typical).max(initial=0)))
        self._macs = exact_table(space, lambda layer: float(layer.macs))
        self._weights = exact_table(space, lambda layer: float(layer.parameters))

    def latency(self, rng: np.random.Generator) -> AdditiveTable:
        """Returns the latencies of a random device, in an arbitrary unit."""
        count, prices = self._drawn, np.zeros_like(self._share)
        prices[:count] = np.exp(rng.normal(0, rng.uniform(0.3, 2.0), count)) * (
            rng.random(count) >= rng.uniform(_LEAST_FREE, _MOST_FREE)
        )
        if rng.random() < _BOUND_BY_CALLS:
            calls = np.flatnonzero(_CALLS[:count])
            prices[calls] = np.exp(rng.normal(0, 0.5, len(calls)) + rng.uniform(0, np.log(_MOST_OVERHEAD)))
        table = self._features.priced(prices * self._share)
        return replace(
            table, choice=table.choice * np.exp(rng.normal(0, rng.choice([0.0, 0.03, 0.1]), table.choice.shape[1:]))
        )

    def costs(self, rng: np.random.Generator) -> list[AdditiveTable]:
        """Returns one to three costs that are limited together: latencies of one or two devices, size, MACs."""
        latency, count = self.latency(rng), rng.choice([1, 2, 3], p=[0.5, 0.25, 0.25])
        others = [self._macs, self._weights, self.latency(rng)]
        if count == 1:
            return [latency if rng.random() < 0.8 else others[rng.integers(2)]]
        return [latency, *(others[i] for i in rng.permutation(3)[: count - 1])]


@dataclass(frozen=True)
class Problem:
    """Random costs, some allowed resolutions, and limits with their best architectures.

    Attributes:
        tables: Tables of the costs; all but a few resolutions are excluded.
        paths: Paths of these costs.
        limits: Limits on the costs, shape (n, M).
        codes: The best architecture within each limit, int8, shape (n, D).
    """

    tables: Sequence[AdditiveTable]
    paths: Paths
    limits: Floats
    codes: Codes


def problem(space: SearchSpace, score: Score, devices: Devices, count: int, rng: np.random.Generator) -> Problem:
    """Draws one problem with `count` limits."""
    resolutions = len(space.resolutions)
    closed = rng.permutation(resolutions)[min(resolutions, rng.integers(1, _MOST_RESOLUTIONS + 1)) :]
    tables = devices.costs(rng)
    tables = [replace(t, base=np.where(np.isin(np.arange(resolutions), closed), np.inf, t.base)) for t in tables]
    paths = Paths.of(space, tables, score)
    share = rng.dirichlet(np.ones(len(tables))) * (np.arange(len(tables)) < rng.integers(1, len(tables) + 1))
    share /= paths.scale * share.sum()
    best = frontier(space, mixed(tables, share), score)
    codes = best.codes[best.lookup(rng.uniform(best.cost[0], best.cost[-1] * 1.02, count))]
    cost = np.stack([t.cost(codes) for t in tables], 1)
    within = rng.exponential(_SLACK, cost.shape)
    ample = np.where(rng.random(cost.shape) < 0.5, rng.random(cost.shape), 10.0)
    return Problem(tables, paths, cost + paths.scale * np.where(share > 0, within, ample), codes)


def lessons(
    space: SearchSpace, score: Score, problems: int, seed: int, done: Callable[[int], None] = lambda number: None
) -> Trace:
    """Draws problems and traces their solutions, `EACH` for every problem.

    Args:
        space: A search space whose choices add layers.
        score: The score to maximise.
        problems: Number of problems.
        seed: Seed of all random choices.
        done: Called with the number of problems so far.
    """
    devices, parts = Devices(space), []
    for number in range(problems):
        drawn = problem(space, score, devices, EACH, np.random.default_rng((seed, number)))
        parts.append(trace(space, drawn.paths, drawn.codes, drawn.limits))
        done(number + 1)
    return Trace(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Trace)))
