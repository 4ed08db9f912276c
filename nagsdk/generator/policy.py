"""The policy: an LSTM that reads a budget and emits the decisions of a space one by one.

From the paper (Guo et al., "Pareto-aware Neural Architecture Generation for Diverse Budgets", 2022): K
learned budget embeddings, linearly interpolated between, condition an LSTM whose every step emits one
decision and reads the one before.

What we add: budgets are positions between the cheapest and the dearest architecture of a cost table, so a
cost model that is recalibrated a little shifts the normalisation and leaves the policy valid. Once the
resolution is chosen the position is taken within that resolution, so one policy serves free and pinned
resolutions. And every step reads how much of the budget is left, normalised in the same way between the
cheapest and the dearest completion.

Inference is numpy: proposing architectures needs no torch, whose import alone costs more than the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import Floats

Float32s = NDArray[np.float32]


@dataclass(frozen=True)
class Policy:
    """The learned arrays, all float32; D decisions, at most C choices, K budgets, H hidden units.

    Attributes:
        budget: Embeddings of K equidistant budget positions from 0 to 1, shape (K, H).
        token: Embedding of a decision's choice, read by the next step, shape (D, C, H).
        place: Embedding of the decision to take, shape (D, H).
        left: Direction that the share of the budget that is left adds, shape (H,).
        input_weight: LSTM input weights, gates in torch's order i, f, g, o, shape (4H, H).
        hidden_weight: LSTM recurrent weights, shape (4H, H).
        bias: Shape (4H,).
        head_weight: Logits of each decision, shape (D, C, H).
        head_bias: Shape (D, C).
    """

    budget: Float32s
    token: Float32s
    place: Float32s
    left: Float32s
    input_weight: Float32s
    hidden_weight: Float32s
    bias: Float32s
    head_weight: Float32s
    head_bias: Float32s

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Policy:
        """Builds a policy from named arrays.

        Raises:
            ValueError: A name is missing or unknown, or shapes, types or values do not fit together.
        """
        names = {field.name for field in fields(cls)}
        if set(arrays) != names:
            raise ValueError(f"expected the arrays {sorted(names)}, found {sorted(arrays)}")
        decisions, most, hidden = arrays["token"].shape
        expected = {
            "budget": (len(arrays["budget"]), hidden),
            "token": (decisions, most, hidden),
            "place": (decisions, hidden),
            "left": (hidden,),
            "input_weight": (4 * hidden, hidden),
            "hidden_weight": (4 * hidden, hidden),
            "bias": (4 * hidden,),
            "head_weight": (decisions, most, hidden),
            "head_bias": (decisions, most),
        }
        for name, shape in expected.items():
            array = arrays[name]
            if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"{name} is not a finite float32 array of shape {shape}")
        if len(arrays["budget"]) < 2:
            raise ValueError("budget needs at least two embeddings to interpolate between")
        return cls(**{name: np.asarray(array, np.float32) for name, array in arrays.items()})

    def arrays(self) -> dict[str, Float32s]:
        """The arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Stepper:
    """Runs a policy step by step with the input weights folded into every embedding.

    A sum of embeddings times the input weights is a sum of rows of small tables, which halves the work of
    an LSTM step. Sigmoids are computed as tanh of half the argument, the half folded into the weights, so
    one tanh serves all four gates.
    """

    def __init__(self, policy: Policy) -> None:
        self.hidden = len(policy.left)
        half = np.full(4 * self.hidden, 0.5, np.float32)
        half[2 * self.hidden : 3 * self.hidden] = 1.0
        weight = (policy.input_weight * half[:, None]).T
        self._recurrent = np.ascontiguousarray((policy.hidden_weight * half[:, None]).T)
        self._budget = policy.budget @ weight
        self._token = policy.token.reshape(-1, self.hidden) @ weight
        self._place = policy.place @ weight + policy.bias * half
        self._left = policy.left @ weight
        self._choices = policy.token.shape[1]
        self._head = np.ascontiguousarray(policy.head_weight.transpose(0, 2, 1))
        self._head_bias = policy.head_bias

    def condition(self, positions: Floats) -> Float32s:
        """Inputs that budget positions contribute to every step, shape (n, 4H)."""
        scaled = np.clip(positions, 0.0, 1.0) * (len(self._budget) - 1)
        below = np.minimum(scaled.astype(np.intp), len(self._budget) - 2)
        weight = (scaled - below).astype(np.float32)[:, None]
        result: Float32s = self._budget[below] * (1 - weight) + self._budget[below + 1] * weight
        return result

    def chosen(self, decision: NDArray[np.intp], choice: NDArray[np.intp]) -> Float32s:
        """Inputs that the choice taken last contributes to the next step, shape (n, 4H)."""
        result: Float32s = self._token[decision * self._choices + choice]
        return result

    def step(self, decision: int, inputs: Float32s, left: Floats, hidden: Float32s, cell: Float32s) -> tuple[Float32s, Float32s]:
        """One LSTM step.

        Args:
            decision: The decision to take.
            inputs: Sum of `condition` and `chosen`, shape (n, 4H); overwritten.
            left: Share of the budget left, 0 to 1, shape (n,).
            hidden: Shape (n, H).
            cell: Shape (n, H).

        Returns:
            New hidden and cell state.
        """
        h = self.hidden
        gates = hidden @ self._recurrent
        gates += inputs
        np.multiply(left.astype(np.float32)[:, None], self._left, out=inputs)
        inputs += self._place[decision]
        gates += inputs
        np.tanh(gates, out=gates)
        into, forget, out = (gates[:, k * h : (k + 1) * h] * 0.5 + 0.5 for k in (0, 1, 3))
        cell = forget * cell + into * gates[:, 2 * h : 3 * h]
        return out * np.tanh(cell), cell

    def logits(self, decision: int, count: int, hidden: Float32s) -> Float32s:
        """Logits of the first `count` choices of a decision, shape (n, count)."""
        result: Float32s = hidden @ self._head[decision][:, :count] + self._head_bias[decision, :count]
        return result
