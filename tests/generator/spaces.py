"""Small search spaces for the generator's tests, with any forest of decisions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from hypothesis import strategies as st

from nagsdk.cost.table import AdditiveTable
from nagsdk.space.decisions import Decision, deactivated
from nagsdk.space.layer import LayerSpec
from nagsdk.space.space import SearchSpace


@dataclass(frozen=True)
class PlainSpace(SearchSpace):
    """Every choice that is not a depth adds a pointwise layer, which is more expensive the later it is in the list."""

    decisions: tuple[Decision, ...]
    family = "plain"

    def to_dict(self) -> dict[str, Any]:
        return {"decisions": [[d.name, list(d.choices), d.active_if, d.reads] for d in self.decisions]}

    def fixed_layers(self, resolution):
        return (LayerSpec("stem", "conv", 3, 8, 3, 2, resolution),)

    def choice_layers(self, resolution, decision, choice, context=()):
        if not decision or self.decisions[decision].name.endswith(".depth"):
            return ()
        into = 8 * decision + sum(8 * number * (read + 2) for number, read in enumerate(context, 1))
        return (LayerSpec(self.decisions[decision].name, "pointwise", into, 16 * (choice + 1), 1, 1, resolution // 8),)

    def layers(self, architecture):
        code, chosen = architecture.code, []
        for d, c in enumerate(code):
            if c >= 0:
                context = tuple(code[r] for r in self.decisions[d].reads)
                chosen += self.choice_layers(architecture.resolution, d, c, context)
        return (*self.fixed_layers(architecture.resolution), *chosen)

    def _text(self, code):
        return ",".join(map(str, code))

    def parse(self, text):
        return self.decode([[int(choice) for choice in text.split(",")]])[0]

    def all_codes(self):
        """Returns every architecture once."""
        every = np.array(list(product(*(range(s) for s in self.sizes))), np.int8)
        return np.unique(deactivated(self.decisions, every), axis=0)


@dataclass(frozen=True)
class PlainScore:
    """An additive score under the link top1 = top - exp(-slope * score)."""

    base: float
    table: Any
    top: float = 79.0
    slope: float = 1.0

    def inverse(self, score):
        return self.top - np.exp(-self.slope * np.asarray(score))


def staged_space(resolutions=(32, 48), stages=2, blocks=3, choices=4):
    """Stages of blocks whose number is a decision, like the real spaces, only smaller."""
    decisions = [Decision("resolution", resolutions)]
    for s in range(stages):
        depth = len(decisions)
        decisions.append(Decision(f"stage{s}.depth", tuple(range(1, blocks + 1))))
        decisions += [
            Decision(f"stage{s}.block{b}", tuple(range(choices)), (depth, b) if b else None) for b in range(blocks)
        ]
    return PlainSpace(tuple(decisions))


def random_tables(space, seed, scale=1.0):
    """A positive cost that grows with resolution and choice, and a score that mostly does."""
    rng = np.random.default_rng(seed)
    shape = (len(space.decisions), int(space.sizes.max()))
    growth = np.linspace(1.0, 1.8, len(space.resolutions))
    price = np.sort(rng.uniform(0.1, 1.0, (len(space.rows), shape[1])), axis=1)
    cost = AdditiveTable(scale * growth, scale * growth[:, None, None] * price, space.rows)
    return cost, PlainScore(0.0, 0.5 * np.sort(rng.uniform(0, 0.3, shape), axis=1) + rng.normal(0, 0.02, shape))


def coupled_space(resolutions=(32, 48), stages=3, widths=3, choices=2):
    """All blocks read one dimension and the width of their stage, the first ones that of the stage before too."""
    decisions = [Decision("resolution", resolutions), Decision("dimension", (0, 1))]
    for s in range(stages):
        before = (len(decisions) - 4,) if s else ()
        width, depth = len(decisions), len(decisions) + 1
        decisions += [
            Decision(f"stage{s}.width", tuple(range(widths)), reads=before),
            Decision(f"stage{s}.depth", (1, 2)),
            Decision(f"stage{s}.block0", tuple(range(choices)), reads=(1, *before, width)),
            Decision(f"stage{s}.block1", tuple(range(choices)), (depth, 1), reads=(1, width)),
        ]
    return PlainSpace(tuple(decisions))


# Few distinct values, so that ties in cost and score are common.
_VALUES = st.one_of(st.integers(-3, 3).map(float), st.floats(-2, 2, allow_nan=False, width=32).map(float))


@st.composite
def problems(draw, costs=1):
    """Draws (space, table, score) with random forests, couplings, masked tables and monotone links.

    If `costs` is not 1, the second element is a list of tables.
    """
    decisions = [Decision("resolution", (32, 48, 64)[: draw(st.integers(1, 3))])]
    for index in range(1, 1 + draw(st.integers(1, 5))):
        parent = draw(st.one_of(st.none(), st.integers(0, index - 1)))
        active_if = None if parent is None else (parent, draw(st.integers(0, len(decisions[parent].choices) - 1)))
        reads = draw(st.sets(st.integers(1, index - 1), max_size=2)) if index > 1 else ()
        decisions.append(Decision(f"d{index}", tuple(range(draw(st.integers(1, 3)))), active_if, tuple(sorted(reads))))
    space = PlainSpace(tuple(decisions))
    r, d, c = len(space.resolutions), len(space.rows), int(space.sizes.max())

    def array(*shape):
        count = int(np.prod(shape))
        return np.array(draw(st.lists(_VALUES, min_size=count, max_size=count))).reshape(shape)

    tables = [AdditiveTable(array(r), array(r, d, c), space.rows) for _ in range(costs)]
    if draw(st.booleans()):
        mask = np.array(
            draw(st.lists(st.sampled_from([True, True, True, False]), min_size=r * d * c, max_size=r * d * c))
        )
        pinned = draw(st.one_of(st.none(), st.integers(0, r - 1)))
        tables = [table.masked(mask.reshape(r, d, c), pinned) for table in tables]
    return (
        space,
        tables[0] if costs == 1 else tables,
        PlainScore(float(draw(_VALUES)), array(len(decisions), c), slope=draw(st.floats(0.1, 2))),
    )
