"""Decisions, and the contexts in which they are taken."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nagsdk.errors import UsageError

MOST_CONTEXTS = 4096
# Choice indices of some decisions.
Key: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Decision:
    """One decision of a space.

    Attributes:
        name: Unique within the space, such as ``stage2.depth``.
        choices: The legal values in order.
        active_if: Pair (index of an earlier decision, smallest choice index of it that activates this decision); None
            if this decision is always active.
        reads: Indices of the earlier decisions, besides the resolution and itself, on which the layers of its choices
            depend, ascending; such as the decision on the width of the block before.
    """

    name: str
    choices: tuple[Hashable, ...]
    active_if: tuple[int, int] | None = None
    reads: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if list(self.reads) != sorted({r for r in self.reads if r > 0}):
            raise UsageError(
                f"The decision {self.name} reads the decisions {self.reads}.",
                "Give the indices of earlier decisions in ascending order, without 0: layers can always depend on the "
                "resolution.",
            )


def deactivated(decisions: Sequence[Decision], codes: NDArray[np.int8]) -> NDArray[np.int8]:
    """Puts -1, in place, where conditions switch decisions off in architectures, shape (n, decisions)."""
    for index, decision in enumerate(decisions):
        if decision.active_if is not None:
            parent, least = decision.active_if
            codes[codes[:, parent] < least, index] = -1
    return codes


def active_code(decisions: Sequence[Decision], choices: Sequence[int]) -> Key:
    """The code of one architecture with these choices, in which decisions that conditions switch off are -1."""
    return tuple(deactivated(decisions, np.array([choices], np.int8))[0].tolist())


def check_conditions(decisions: Sequence[Decision]) -> None:
    """Checks that every condition names a choice of an earlier decision, so that none leads back to itself.

    Raises:
        UsageError: A condition does not; the message names its decision.
    """
    for index, decision in enumerate(decisions):
        if decision.active_if is None:
            continue
        parent, least = decision.active_if
        if not 0 <= parent < index or not 0 <= least < len(decisions[parent].choices):
            known = ", ".join(f"{number} {earlier.name}" for number, earlier in enumerate(decisions[:index]))
            raise UsageError(
                f"The decision {decision.name} is active from choice {least} of decision {parent} on, which is no "
                "choice of an earlier one.",
                f"Give `active_if` an earlier decision and a choice of it. Those before {decision.name}: {known}.",
            )


def cause(
    decisions: Sequence[Decision], sound: Sequence[int], faulty: Sequence[int], fails: Callable[[Key], bool]
) -> tuple[int, Key] | None:
    """Finds the decision that brings a fault into architectures.

    The choices of an architecture with the fault are put into one without, one after the other, until it is there.

    Args:
        decisions: The decisions of the space.
        sound: Code of an architecture without the fault.
        faulty: Code of one that has it.
        fails: Tells whether the architecture with a code has it.

    Returns:
        The decision, and the code of the first architecture with the fault; None if it never came.
    """
    wanted = [max(choice, 0) for choice in sound]
    for index, choice in enumerate(faulty):
        if choice < 0 or choice == wanted[index]:
            continue
        wanted[index] = choice
        code = active_code(decisions, wanted)
        if fails(code):
            return index, code
    return None


@dataclass(frozen=True, eq=False)
class Contexts:
    """Numbers each decision in each of its contexts: the choices of the earlier decisions that it depends on.

    In a context, -1 stands for an inactive decision, as in codes. The contexts of a decision follow each other, those
    of decision 0 come first. A decision that depends on no other one has a single context.

    Attributes:
        decisions: The decisions of a space.
        read: For every decision, the earlier decisions that it depends on, ascending.
    """

    decisions: tuple[Decision, ...]
    read: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        for index, read in enumerate(self.read):
            if any(r >= index for r in read):
                raise UsageError(
                    f"The decision {self.decisions[index].name} has the index {index} and reads the decisions {read}.",
                    "A decision can read earlier ones only.",
                )
            if self._levels(read) > MOST_CONTEXTS:
                names = ", ".join(self.decisions[r].name for r in read)
                raise UsageError(
                    f"The decision {self.decisions[index].name}, with those that follow from it, depends on {names}, "
                    f"which have {self._levels(read):,} combinations; {MOST_CONTEXTS:,} are allowed.",
                    "Let its layers depend on fewer decisions, or give these decisions fewer choices.",
                )

    def _levels(self, read: Sequence[int]) -> int:
        count = 1
        for r in read:
            count *= len(self._values(r))
        return count

    def _values(self, decision: int) -> range:
        """What a decision may be in a context."""
        return range(0 if self.decisions[decision].active_if is None else -1, len(self.decisions[decision].choices))

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """Number of the first context of every decision, and of all contexts, shape (decisions + 1,)."""
        return np.cumsum([0, *(self._levels(read) for read in self.read)], dtype=np.intp)

    @cached_property
    def decision(self) -> NDArray[np.intp]:
        """The decision of every context, shape (contexts,)."""
        return np.repeat(np.arange(len(self.read)), np.diff(self.starts))

    @cached_property
    def share(self) -> NDArray[np.float64]:
        """One divided by the number of contexts of the same decision, shape (contexts,)."""
        share: NDArray[np.float64] = 1.0 / np.diff(self.starts)[self.decision]
        return share

    def __len__(self) -> int:
        return int(self.starts[-1])

    def of(self, decision: int) -> slice:
        """Where the contexts of a decision are."""
        return slice(int(self.starts[decision]), int(self.starts[decision + 1]))

    def all(self, decision: int) -> Iterator[tuple[int, ...]]:
        """All contexts of a decision in order: choice indices of what it reads."""
        return product(*(self._values(r) for r in self.read[decision]))

    def codes(self, decision: int) -> NDArray[np.int8]:
        """The contexts of a decision as codes, shape (contexts, decisions); 0 for decisions that it does not read."""
        codes = np.zeros((int(np.diff(self.starts)[decision]), len(self.read)), np.int8)
        codes[:, list(self.read[decision])] = list(self.all(decision))
        return codes

    def within(self, decision: int, codes: NDArray[np.int8]) -> NDArray[np.intp]:
        """The context of a decision in architectures, counted from its first one, shape (n,).

        Args:
            decision: The decision.
            codes: The architectures, shape (n, decisions); only what the decision depends on is read.
        """
        number = np.zeros(len(codes), np.intp)
        for r in self.read[decision]:
            values = self._values(r)
            number = number * len(values) + codes[:, r] - values[0]
        return number

    def index(self, codes: NDArray[np.int8]) -> NDArray[np.intp]:
        """The context of every decision in architectures, shape (n, decisions).

        The shape is (decisions,) if every decision has one context only.
        """
        first = self.starts[:-1]
        if len(self) == len(self.read):
            return first
        return first + np.stack([self.within(d, codes) for d in range(len(self.read))], axis=1)

    def possible(self, decision: int, context: Sequence[int]) -> bool:
        """Whether the decision can be active in a context."""
        known = {**dict(zip(self.read[decision], ((value,) for value in context), strict=True)), decision: (0,)}
        # Every decision depends on one parent, so it suffices to reduce the values of the parents, last decision first.
        values: dict[int, Sequence[int]] = dict(known)
        for index in reversed(range(decision + 1)):
            condition = self.decisions[index].active_if
            if index not in values or condition is None:
                continue
            parent, least = condition
            active, inactive = any(v >= 0 for v in values[index]), -1 in values[index]
            before = values.get(parent, self._values(parent))
            values[parent] = [v for v in before if (active if v >= least else inactive)]
            if not values[parent]:
                return False
        return True
