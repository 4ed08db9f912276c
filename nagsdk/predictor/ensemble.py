"""Inference of an ensemble of small networks on one-hot rows, in numpy."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nagsdk.predictor.features import Floats

Float32s = NDArray[np.float32]


@dataclass(frozen=True)
class Ensemble:
    """M networks, each with two hidden layers of H units and a parallel linear path.

    The output of a member is x·skip + silu(silu(x·first + first_bias)·second + second_bias)·last + bias.

    Attributes:
        first: Weights of the first layers, shape (inputs, M * H), member by member.
        first_bias: Biases of the first layers, shape (M * H,).
        second: Weights of the second layers, shape (M, H, H).
        second_bias: Biases of the second layers, shape (M, 1, H).
        last: Weights of the output layers, shape (M, H, 1).
        skip: Weights of the linear paths, shape (inputs, M).
        bias: Biases of the outputs, shape (M,).
    """

    first: Float32s
    first_bias: Float32s
    second: Float32s
    second_bias: Float32s
    last: Float32s
    skip: Float32s
    bias: Float32s

    def __call__(self, inputs: Float32s) -> Floats:
        """Computes the outputs of the members, float64, shape (n, M)."""
        members, hidden, _ = self.second.shape
        first = _silu(inputs @ self.first + self.first_bias).reshape(len(inputs), members, hidden)
        second = _silu(np.matmul(first.transpose(1, 0, 2), self.second) + self.second_bias)
        deep = np.matmul(second, self.last)[..., 0].T
        result: Floats = (deep + inputs @ self.skip + self.bias).astype(np.float64)
        return result

    def behind(self, linear_map: Floats) -> Ensemble:
        """Returns the ensemble applied to the result of a linear map, shape (new inputs, inputs)."""
        first, skip = ((linear_map @ weight).astype(np.float32) for weight in (self.first, self.skip))
        return Ensemble(first, self.first_bias, self.second, self.second_bias, self.last, skip, self.bias)

    def mixed(self, share: float, weights: Floats, bias: float) -> Ensemble:
        """Returns the ensemble that leans on a linear function: its outputs are (1 - share) · own + share · linear.

        Args:
            share: Share of the linear function, from 0 to 1.
            weights: Its weights, shape (inputs,).
            bias: Its constant.
        """
        own = np.float32(1 - share)
        skip = (own * self.skip + share * weights[:, None]).astype(np.float32)
        return replace(self, last=own * self.last, skip=skip, bias=own * self.bias + np.float32(share * bias))

    @staticmethod
    def shapes(inputs: int, members: int, hidden: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the arrays, which are all float32.

        Args:
            inputs: Number of inputs.
            members: Number of members.
            hidden: Number of hidden units of each.
        """
        return {
            "first": (inputs, members * hidden),
            "first_bias": (members * hidden,),
            "second": (members, hidden, hidden),
            "second_bias": (members, 1, hidden),
            "last": (members, hidden, 1),
            "skip": (inputs, members),
            "bias": (members,),
        }


def _silu(x: Float32s) -> Float32s:
    # exp overflows to inf below -88, where the result is 0, which is correct.
    with np.errstate(over="ignore"):
        result: Float32s = (x / (1.0 + np.exp(-x))).astype(np.float32)
    return result
