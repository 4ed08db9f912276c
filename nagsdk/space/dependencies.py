"""Dependencies between decisions; thanks to their structure, exact sums over a whole space are cheap.

A decision depends on at most one earlier decision that activates it (`Decision.active_if`), and on those that its
layers read (`Decision.reads`). The decisions are eliminated one by one, last decision first (bucket elimination). What
is best for a decision and everything below it is a function of its *state*: the choices of the earlier decisions on
which any of them depends. Each decision is put below the latest one in its state, so that all decisions form a forest,
and any additive cost splits into parts: the cost of a subtree in a state is the cost of a choice at its root plus the
costs of the subtrees below, each in the state that follows from this choice. Where nothing is read, every decision has
one state, and the forest is that of the activations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.space.decisions import Contexts, Decision, check_conditions


@dataclass(frozen=True, eq=False)
class Forest:
    """The decisions of a space as trees; decision 0, the resolution, applies to all of them.

    Attributes:
        roots: Decisions without a parent, except decision 0.
        children: For every decision, the decisions below it: pairs (smallest choice index with which the subtree of
            the child counts, child), ascending; -1 if it counts even where the parent is inactive.
        states: The states of every decision.
        rows: For every decision, the row of cost tables in each of its states, shape (states,).
        below: For every child, its state for each state and choice of its parent, shape (states, choices + 1); the
            last column is for an inactive parent.
        inactive: For every decision, its states in which it is inactive.
    """

    roots: tuple[int, ...]
    children: tuple[tuple[tuple[int, int], ...], ...]
    states: Contexts
    rows: tuple[NDArray[np.intp], ...]
    below: dict[int, NDArray[np.intp]]
    inactive: tuple[NDArray[np.intp], ...]

    @classmethod
    def of(cls, decisions: tuple[Decision, ...]) -> Forest:
        """Builds the forest of decisions.

        Raises:
            UsageError: Some decisions together depend on decisions with too many combinations, or a condition is wrong.
        """
        check_conditions(decisions)
        count = len(decisions)
        needs = [set(decision.reads) for decision in decisions]
        children: list[list[tuple[int, int]]] = [[] for _ in decisions]
        parents: dict[int, int] = {}
        roots = []
        for d in reversed(range(1, count)):
            condition = decisions[d].active_if
            above = needs[d] | ({condition[0]} if condition else set())
            if not above:
                roots.append(d)
                continue
            parent = parents[d] = max(above)
            if condition is not None and condition[0] == parent and all(start >= 0 for start, _ in children[d]):
                children[parent].append((condition[1], d))
            else:
                # The subtree counts even where the decision is inactive, so its state must tell whether it is active.
                needs[d] = above
                children[parent].append((-1, d))
            needs[parent] |= needs[d] - {parent}
        states = Contexts(decisions, tuple(tuple(sorted(need)) for need in needs))
        rows = Contexts(decisions, tuple(decision.reads for decision in decisions))
        below = {}
        for d, parent in parents.items():
            size = len(decisions[parent].choices)
            taken = np.repeat(states.codes(parent), size + 1, axis=0)
            taken[:, parent] = np.tile([*range(size), -1], len(taken) // (size + 1))
            # If the parent is always active, there is no state for the last column, which nobody reads.
            known = states.within(d, taken)
            below[d] = np.maximum(known, 0).reshape(-1, size + 1)
        codes = [states.codes(d) for d in range(count)]
        inactive = []
        for d, decision in enumerate(decisions):
            condition = decision.active_if
            off = np.zeros(len(codes[d]), bool)
            if condition is not None and condition[0] in states.read[d]:
                off = codes[d][:, condition[0]] < condition[1]
            inactive.append(np.flatnonzero(off))
        return cls(
            tuple(sorted(roots)),
            tuple(tuple(sorted(c)) for c in children),
            states,
            tuple(rows.starts[d] + rows.within(d, codes[d]) for d in range(count)),
            below,
            tuple(inactive),
        )

    def spread(self, child: int, values: NDArray[Any], choices: slice) -> NDArray[Any]:
        """Values of a child in the states that follow from the states and choices of its parent.

        Args:
            child: The child.
            values: One value for each state of the child, shape (n, states, …).
            choices: The choices of the parent.

        Returns:
            Shape (n, states of the parent, choices, …), or broadcastable to it if the child has one state only.
        """
        if values.shape[1] == 1:
            return values[:, :, None]
        spread: NDArray[Any] = values[:, self.below[child][:, choices]]
        return spread

    def top(self, choice: int) -> dict[int, int]:
        """Subtrees that no other decision than decision 0 is above, with their states.

        Args:
            choice: The choice of decision 0.
        """
        below = {child: int(self.below[child][0, choice]) for start, child in self.children[0] if start <= choice}
        return dict.fromkeys(self.roots, 0) | below

    def follow(self, first: NDArray[np.integer], picked: Mapping[int, NDArray[np.integer]]) -> NDArray[np.int8]:
        """Takes the picked choice of every decision in the state that follows from the earlier choices.

        Args:
            first: Choices of decision 0, shape (n,).
            picked: For every later decision, its choice in each state, shape (n, states).

        Returns:
            Codes, int8, shape (n, decisions).
        """
        codes = np.zeros((len(first), len(self.children)), np.int8)
        codes[:, 0] = first
        every = np.arange(len(first))
        for decision in range(1, len(self.children)):
            state = self.states.within(decision, codes) if self.states.read[decision] else 0
            codes[:, decision] = picked[decision][every, state]
            condition = self.states.decisions[decision].active_if
            if condition is not None:
                codes[codes[:, condition[0]] < condition[1], decision] = -1
        return codes
