"""The policy: a recurrent network that reads the prices of the limits and takes the decisions one by one.

The paper's policy (Guo et al., "Pareto-aware Neural Architecture Generation for Diverse Computational Budgets", 2022)
is trained for one device and reads a budget. This policy reads, at every decision, the worth of each choice at the
price at which the limits are just held (`Paths`), so that one network serves every device, every limit and several
limits at once. It learns what a price does not show: how reliable the order by worth is, how to use a budget
completely, and which choices go together.

Inference uses numpy: proposing architectures needs no torch, whose import alone takes longer than the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from nagsdk.common.tensors import check_arrays

Float32s = NDArray[np.float32]
# Number of values that a decision reads: of the state of the budget, and of each of its choices.
STATE, CHOICE = 4, 4


@dataclass(frozen=True)
class Policy:
    """The learned arrays, all float32; D decisions, C most choices, H hidden units.

    Attributes:
        token: Embedding of a decision's choice, read by the next step, shape (D, C, H).
        place: Embedding of the decision to take, shape (D, H).
        state: Embedding of the state of the budget, shape (STATE, H).
        input_weight: LSTM input weights, gates in torch's order i, f, g, o, shape (4H, H).
        hidden_weight: LSTM recurrent weights, shape (4H, H).
        bias: LSTM biases, shape (4H,).
        head_weight: Weights from the LSTM's output to the logit of each choice, shape (D, C, H).
        head_bias: Biases of these logits, shape (D, C).
        worth_weight: Weights from the LSTM's output to the factors of the values read of each choice, shape
            (CHOICE, H).
        worth_bias: Biases of these factors, shape (D, CHOICE).
    """

    token: Float32s
    place: Float32s
    state: Float32s
    input_weight: Float32s
    hidden_weight: Float32s
    bias: Float32s
    head_weight: Float32s
    head_bias: Float32s
    worth_weight: Float32s
    worth_bias: Float32s

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Policy:
        """Builds a policy from named arrays.

        Raises:
            ValueError: A name is missing or unknown, or shapes, types or values do not fit together.
        """
        token = arrays.get("token")
        if token is None or token.ndim != len("DCH"):
            raise ValueError("token is missing or does not have three dimensions")
        decisions, most, hidden = token.shape
        shapes: dict[str, tuple[int, ...]] = {
            "token": (decisions, most, hidden),
            "place": (decisions, hidden),
            "state": (STATE, hidden),
            "input_weight": (4 * hidden, hidden),
            "hidden_weight": (4 * hidden, hidden),
            "bias": (4 * hidden,),
            "head_weight": (decisions, most, hidden),
            "head_bias": (decisions, most),
            "worth_weight": (CHOICE, hidden),
            "worth_bias": (decisions, CHOICE),
        }
        check_arrays(arrays, {name: (shape, "float32") for name, shape in shapes.items()})
        return cls(**{name: np.asarray(array, np.float32) for name, array in arrays.items()})

    def arrays(self) -> dict[str, Float32s]:
        """Returns the arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Stepper:
    """Runs a policy step by step, with the input weights multiplied into every embedding beforehand.

    The product of a sum of embeddings and the input weights is then a sum of rows of small tables, which halves the
    work of an LSTM step. Sigmoids are computed as tanh of half the argument, with the factor one half contained in the
    weights, so that one call of tanh serves all four gates.
    """

    def __init__(self, policy: Policy) -> None:
        self.hidden = policy.place.shape[1]
        half = np.full(4 * self.hidden, 0.5, np.float32)
        half[2 * self.hidden : 3 * self.hidden] = 1.0
        weight = (policy.input_weight * half[:, None]).T
        self._recurrent = np.ascontiguousarray((policy.hidden_weight * half[:, None]).T)
        self._token = policy.token.reshape(-1, self.hidden) @ weight
        self._place = policy.place @ weight + policy.bias * half
        self._state = policy.state @ weight
        self._choices = policy.token.shape[1]
        # One product yields both the logits of choices and the factors of the values read of them.
        worth = np.broadcast_to(policy.worth_weight, (len(policy.place), *policy.worth_weight.shape))
        self._head = np.ascontiguousarray(np.concatenate([policy.head_weight, worth], 1).transpose(0, 2, 1))
        self._head_bias = np.concatenate([policy.head_bias, policy.worth_bias], 1)

    def step(
        self,
        decision: int,
        last: tuple[NDArray[np.intp], NDArray[np.intp]] | None,
        state: Float32s,
        hidden: Float32s,
        cell: Float32s,
    ) -> tuple[Float32s, Float32s]:
        """Takes one LSTM step.

        Args:
            decision: The decision to take.
            last: The previous decision and its choice, each of shape (n,); None at the first decision.
            state: Values read of the state of the budget, shape (n, STATE).
            hidden: Hidden state, shape (n, H).
            cell: Cell state, shape (n, H).

        Returns:
            New hidden and cell state.
        """
        h = self.hidden
        gates = hidden @ self._recurrent
        gates += state @ self._state
        gates += self._place[decision]
        if last is not None:
            gates += self._token[last[0] * self._choices + last[1]]
        np.tanh(gates, out=gates)
        into, forget, out = (gates[:, k * h : (k + 1) * h] * 0.5 + 0.5 for k in (0, 1, 3))
        cell = forget * cell + into * gates[:, 2 * h : 3 * h]
        return out * np.tanh(cell), cell

    def logits(self, decision: int, read: Float32s, hidden: Float32s) -> Float32s:
        """Computes the logits of the choices of a decision.

        Args:
            decision: The decision to take.
            read: Values read of each choice, shape (CHOICE, n, count).
            hidden: Output of the LSTM, shape (n, H).

        Returns:
            The logits, shape (n, count).
        """
        out = hidden @ self._head[decision] + self._head_bias[decision]
        result: Float32s = out[:, : read.shape[2]].copy()
        for k, worth in enumerate(read):
            result += worth * out[:, k - CHOICE, None]
        return result
