"""Search spaces: an ordered list of decisions, and the layers of each architecture."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.errors import ArchitectureError
from nagsdk.space.architecture import Architecture
from nagsdk.space.decisions import Contexts, Decision, deactivated
from nagsdk.space.dependencies import Forest
from nagsdk.space.layer import LayerSpec

Codes = NDArray[np.int8]


@dataclass(frozen=True)
class ShrinkingStage:
    """One stage of progressive shrinking (Cai et al., Once-for-All, ICLR 2020, section 3.3).

    Attributes:
        opened: Number of choices that may be drawn, counted from the largest down, by kind of decision in the terms of
            the space.
        share: Share of all training steps; the shares are normalised over all stages.
        rate: Learning rate as a multiple of the first stage's learning rate.
        subnets: Number of subnets drawn per training step.
        sorts: Whether channels are sorted by importance before the first step of the stage.
    """

    opened: dict[str, int]
    share: float
    rate: float
    subnets: int
    sorts: bool = False


class SearchSpace(ABC):
    """A family of networks described by decisions that are taken in order.

    Decision 0 is the input resolution. At a given resolution, every cost is a sum over the fixed layers and over the
    layers that each active choice adds (`choice_layers`). These may depend on the choices of a few earlier decisions
    (`Decision.reads`). Cost models fill the table of these costs, and generators read it.

    Architectures are passed as *codes*: an int8 array of shape (n, number of decisions) with choice indices, -1 where a
    decision is inactive.

    Attributes:
        family: Prefix of the text form, such as ``mbv3``.
        decisions: The decisions; each comes after the one that it depends on.
    """

    family: str
    decisions: tuple[Decision, ...]

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Returns a definition that can be written as JSON and from which the space can be rebuilt."""

    @abstractmethod
    def fixed_layers(self, resolution: int) -> tuple[LayerSpec, ...]:
        """Layers that every architecture has at this resolution."""

    @abstractmethod
    def choice_layers(
        self, resolution: int, decision: int, choice: int, context: tuple[int, ...] = ()
    ) -> tuple[LayerSpec, ...]:
        """Layers that a choice of a decision adds at this resolution; empty if it adds none.

        Args:
            resolution: Input size in pixels.
            decision: Index of the decision.
            choice: Index of its choice.
            context: Choice indices of the decisions that it reads (`Decision.reads`), -1 where one is inactive.
        """

    @abstractmethod
    def layers(self, architecture: Architecture) -> tuple[LayerSpec, ...]:
        """All layers of an architecture in the order of execution."""

    @abstractmethod
    def _text(self, code: Sequence[int]) -> str:
        """Text form of a valid code."""

    @abstractmethod
    def parse(self, text: str) -> Architecture:
        """Reads a text form.

        Raises:
            ArchitectureError: The text is not an architecture of this space; the message lists the legal values.
        """

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Legal input sizes in pixels."""
        return tuple(int(str(choice)) for choice in self.decisions[0].choices)

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the definition."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Number of choices of every decision, shape (decisions,)."""
        return np.array([len(decision.choices) for decision in self.decisions])

    @cached_property
    def rows(self) -> Contexts:
        """The rows of cost tables: every decision in every context of what it reads.

        Raises:
            UsageError: A decision reads a later one, or decisions with too many combinations.
        """
        return Contexts(self.decisions, tuple(decision.reads for decision in self.decisions))

    @cached_property
    def forest(self) -> Forest:
        """How the decisions depend on each other.

        Raises:
            UsageError: Some decisions together depend on decisions with too many combinations.
        """
        return Forest.of(self.decisions)

    @cached_property
    def existing(self) -> NDArray[np.bool_]:
        """Mask of the cells of a table of shape (rows, largest number of choices) that are choices of the space."""
        mask: NDArray[np.bool_] = np.arange(int(self.sizes.max())) < self.sizes[self.rows.decision][:, None]
        return mask

    @cached_property
    def _offsets(self) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(self.sizes)])

    @property
    def one_hot_width(self) -> int:
        """Number of columns of `one_hot`."""
        return int(self._offsets[-1])

    def count(self) -> int:
        """Number of architectures in the space."""
        # Every decision depends on at most one earlier decision, so going from last to first, each one multiplies the
        # counts of the choices that activate it.
        subtrees = [[1] * len(decision.choices) for decision in self.decisions]
        total = 1
        for index in reversed(range(len(self.decisions))):
            ways, switch = sum(subtrees[index]), self.decisions[index].active_if
            if switch is None:
                total *= ways
            else:
                parent, least = switch
                subtrees[parent] = [
                    known * (ways if choice >= least else 1) for choice, known in enumerate(subtrees[parent])
                ]
        return total

    def panels(self, architecture: Architecture) -> Mapping[str, Mapping[str, float]]:
        """Figures of an architecture that charts show besides its resolution.

        Returns:
            For each panel by title, the values of its lines by name. Every architecture of a space has the same panels
            and lines; the default implementation has none.
        """
        return {}

    def shrinking(self) -> tuple[ShrinkingStage, ...]:
        """The stages of progressive shrinking, from the largest network alone to the whole space.

        The default implementation opens one more choice of every decision in each stage and gives all stages after the
        first the same share.
        """
        first = ShrinkingStage({"choices": 1}, share=0.3, rate=1.0, subnets=1)
        most = int(self.sizes[1:].max(initial=1))
        return (
            first,
            *(ShrinkingStage({"choices": n}, 0.7 / (most - 1), 0.3, 2, sorts=n == 2) for n in range(2, most + 1)),
        )

    def draw(self, opened: Mapping[str, int], count: int, rng: np.random.Generator) -> Codes:
        """Draws random architectures: each decision is uniform over the choices that a stage of `shrinking` opens.

        All resolutions are open.

        Args:
            opened: Number of open choices; see `ShrinkingStage`.
            count: Number of architectures.
            rng: Source of randomness.

        Returns:
            Codes, int8, shape (count, decisions).
        """
        least = np.maximum(self.sizes - opened["choices"], 0)
        least[0] = 0
        return deactivated(self.decisions, rng.integers(least, self.sizes, (count, len(self.sizes)), dtype=np.int8))

    def sample(self, count: int, rng: np.random.Generator, resolution: int | None = None) -> Codes:
        """Draws random architectures: each decision is uniform over its choices.

        Args:
            count: Number of architectures.
            rng: Source of randomness.
            resolution: Resolution of all architectures; None draws it like the other decisions.

        Returns:
            Codes, int8, shape (count, decisions).
        """
        codes = rng.integers(0, self.sizes, (count, len(self.sizes)), dtype=np.int8)
        if resolution is not None:
            codes[:, 0] = self.resolution_index(resolution)
        return deactivated(self.decisions, codes)

    def mutate(self, codes: Codes, rng: np.random.Generator, probability: float | NDArray[np.float64]) -> Codes:
        """Redraws each decision at random with a given probability.

        Args:
            codes: Architectures to change, shape (n, decisions).
            rng: Source of randomness.
            probability: Probability of redrawing a decision, one for all architectures or shape (n, 1).

        Returns:
            Codes, int8, shape (n, decisions). Decisions that become active are always drawn.
        """
        fresh = rng.integers(0, self.sizes, codes.shape, dtype=np.int8)
        redraw = (rng.random(codes.shape) < probability) | (codes < 0)
        return deactivated(self.decisions, np.where(redraw, fresh, codes).astype(np.int8))

    def resolution_index(self, resolution: int) -> int:
        """Returns the choice index of a resolution.

        Raises:
            ArchitectureError: The space does not have that resolution.
        """
        if resolution not in self.resolutions:
            raise ArchitectureError(
                f"Resolution {resolution} is not in this space.", f"Legal resolutions: {_values(self.resolutions)}."
            )
        return self.resolutions.index(resolution)

    def validate(self, codes: NDArray[Any]) -> Codes:
        """Checks codes and returns them as int8, shape (n, decisions).

        Raises:
            ArchitectureError: A choice index is out of range, or an active decision has no choice.
        """
        codes = np.atleast_2d(np.asarray(codes))
        if codes.ndim != 2 or codes.shape[1] != len(self.decisions):
            raise ArchitectureError(
                f"Codes of shape {codes.shape} do not fit this space.",
                f"Give codes of shape (n, {len(self.decisions)}), one column per decision.",
            )
        beyond = (codes < -1) | (codes >= self.sizes)
        if beyond.any():
            row, column = np.argwhere(beyond)[0]
            decision = self.decisions[column]
            raise ArchitectureError(
                f"Architecture {row}: {codes[row, column]} is not a choice of {decision.name}.",
                f"Legal values: {_values(decision.choices)}.",
            )
        result = codes.astype(np.int8)
        active = np.ones(result.shape, dtype=bool)
        for index, decision in enumerate(self.decisions):
            if decision.active_if is not None:
                parent, least = decision.active_if
                active[:, index] = active[:, parent] & (result[:, parent] >= least)
        wrong = active & (result < 0)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            decision = self.decisions[column]
            raise ArchitectureError(
                f"Architecture {row} has no choice for the active decision {decision.name}.",
                f"Choose one of: {_values(decision.choices)}.",
            )
        result[~active] = -1
        return result

    def encode(self, architectures: Sequence[Architecture]) -> Codes:
        """Returns the codes of architectures, int8, shape (n, decisions)."""
        return np.array([a.code for a in architectures], dtype=np.int8).reshape(len(architectures), len(self.decisions))

    def decode(self, codes: NDArray[Any]) -> list[Architecture]:
        """Returns the architectures with the given codes.

        Raises:
            ArchitectureError: Codes are invalid; see `validate`.
        """
        return [
            Architecture(self._text(row), tuple(row), self.resolutions[row[0]]) for row in self.validate(codes).tolist()
        ]

    def one_hot(self, codes: Codes) -> NDArray[np.float32]:
        """One-hot encoding, float32, shape (n, one_hot_width); inactive decisions are all zero."""
        encoded = np.zeros((len(codes), self.one_hot_width), dtype=np.float32)
        rows, columns = np.nonzero(codes >= 0)
        encoded[rows, self._offsets[columns] + codes[rows, columns]] = 1.0
        return encoded

    def macs(self, architecture: Architecture) -> int:
        """Number of multiply-accumulates of one inference."""
        return sum(layer.macs for layer in self.layers(architecture))

    def parameters(self, architecture: Architecture) -> int:
        """Number of trainable parameters."""
        return sum(layer.parameters for layer in self.layers(architecture))


def extremes(space: SearchSpace) -> Codes:
    """Returns the codes of the smallest and the largest architecture: first and last choice of every decision."""
    return space.validate(np.stack([np.zeros_like(space.sizes), space.sizes - 1]))


def without_integers(space: SearchSpace) -> str:
    """Returns what in the largest network of a space has no integer form yet, in words; empty if all of it has one."""
    largest = space.decode(extremes(space))[1]
    return ", ".join(sorted({layer.float_only for layer in space.layers(largest)} - {""}))


def _values(values: Sequence[object]) -> str:
    return ", ".join(str(v) for v in values)
