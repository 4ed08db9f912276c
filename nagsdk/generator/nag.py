"""The generator (NAG): a distilled policy with the card that says what it was made for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from nagsdk.cost.table import AdditiveTable
from nagsdk.errors import DamagedBundleError
from nagsdk.events import Listener, ignore
from nagsdk.files import write_atomically
from nagsdk.generator.decode import decode, gumbel
from nagsdk.generator.frontier import Score
from nagsdk.generator.policy import Float32s, Policy, Stepper
from nagsdk.space.base import Codes, SearchSpace

if TYPE_CHECKING:
    from nagsdk.generator.train import Recipe

FORMAT = 1
_MOST_BYTES = 64 * 10**6


class Teacher(Protocol):
    """What distilling needs of an accuracy predictor."""

    @property
    def hash(self) -> str:
        """Changes whenever the predictions do."""

    @property
    def additive(self) -> Score:
        """The additive score under a link whose frontier is learned."""


@dataclass(frozen=True)
class Card:
    """What a generator was made for and how well it learned.

    Attributes:
        key: `Generator.key` of what it was made for.
        space: Fingerprint of the space.
        predictor: Hash of the accuracy predictor.
        table: `table_hash` of the cost table.
        seed: Of the training.
        recipe: `Recipe.to_dict`.
        regret: `Regret` under the teacher's score, as a dictionary.
        format: Of the file.
    """

    key: str
    space: str
    predictor: str
    table: str
    seed: int
    recipe: dict[str, Any]
    regret: dict[str, Any]
    format: int = FORMAT


def table_hash(table: AdditiveTable) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a cost table."""
    content = [np.ascontiguousarray(array, np.float64) for array in (table.base, table.choice)]
    return hashlib.sha256(b"".join(repr(a.shape).encode() + a.tobytes() for a in content)).hexdigest()[:16]


class Generator:
    """Budget in, architectures out, by inference.

    Args:
        space: The space it speaks of.
        policy: The learned policy.
        card: Where it comes from.
    """

    def __init__(self, space: SearchSpace, policy: Policy, card: Card) -> None:
        self.space, self.policy, self.card = space, policy, card

    @cached_property
    def _stepper(self) -> Stepper:
        return Stepper(self.policy)

    @staticmethod
    def key(space: SearchSpace, predictor: Teacher, table: AdditiveTable) -> str:
        """Under which a generator is kept: a hash of space, accuracy predictor and cost, never of weights."""
        return _key(space.fingerprint, predictor.hash, table_hash(table))

    @classmethod
    def distilled(
        cls,
        space: SearchSpace,
        predictor: Teacher,
        table: AdditiveTable,
        recipe: Recipe | None = None,
        seed: int = 0,
        listener: Listener = ignore,
    ) -> Generator:
        """Trains a generator; see `nagsdk.generator.train.distil`.

        Distil on a table with all resolutions: `propose` then serves pinned ones as well.

        Raises:
            InfeasibleError: The table masks everything.
        """
        from nagsdk.generator.train import Recipe, distil  # torch

        recipe = recipe or Recipe()
        policy, regret = distil(space, table, predictor.additive, recipe, seed, listener)
        parts = (space.fingerprint, predictor.hash, table_hash(table))
        return cls(space, policy, Card(_key(*parts), *parts, seed, recipe.to_dict(), asdict(regret)))

    def propose(self, table: AdditiveTable, limits: ArrayLike, count: int = 16, seed: int = 0) -> Codes:
        """Samples architectures within limits.

        Args:
            table: The cost that is limited; may differ from the one that was learned, by a mask or by what
                a calibration changed.
            limits: One upper limit per budget, shape (n,).
            count: Candidates per budget; the first is the policy's likeliest.
            seed: Of the sampling. A budget's candidates depend on it and on the budget, not on the other
                budgets of the call (up to float32 rounding of two choices that are all but equal).

        Returns:
            Codes, int8, shape (n, count, decisions), all within their limits under `table`.

        Raises:
            InfeasibleError: A limit lies below the cheapest architecture, whose cost is named.
        """
        return decode(self.space, table, self._stepper, np.atleast_1d(np.asarray(limits, np.float64)), gumbel(seed, count, self.space))

    def save(self, path: Path) -> None:
        """Writes policy and card as one safetensors file, atomically.

        Two processes that write the same path at once leave one of the two, whole.

        Raises:
            OutputError: The folder cannot be written.
        """
        card, arrays = json.dumps(asdict(self.card), sort_keys=True), self.policy.arrays()
        content = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        write_atomically(path, save(content, metadata={"card": card, "sha256": _digest(card, arrays)}))

    @classmethod
    def load(cls, path: Path, space: SearchSpace) -> Generator:
        """Reads what `save` wrote.

        Raises:
            DamagedBundleError: The file is missing, torn, altered, of another format or for another space.
        """
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise ValueError(f"more than {_MOST_BYTES} bytes")
            with safe_open(path, framework="np") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata.get("sha256") != _digest(metadata["card"], arrays):
                raise ValueError("content and hash differ")
            content = json.loads(metadata["card"])
            if content.get("format") != FORMAT:
                raise ValueError(f"format {content.get('format')!r}, known: {FORMAT}")
            if set(content) != {field.name for field in fields(Card)}:
                raise ValueError("the card lacks entries or has foreign ones")
            card, policy = Card(**content), Policy.from_arrays(arrays)
            if card.space != space.fingerprint or policy.head_bias.shape != (len(space.sizes), space.sizes.max()):
                raise ValueError("it was made for another search space")
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedBundleError(
                f"The generator {path} cannot be used: {error}.", "Delete the file; it is distilled anew when needed."
            ) from error
        return cls(space, policy, card)


def _key(*parts: str) -> str:
    return hashlib.sha256(":".join(parts).encode()).hexdigest()[:16]


def _digest(card: str, arrays: Mapping[str, Float32s]) -> str:
    digest = hashlib.sha256(card.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}{array.shape}{array.dtype}".encode() + array.tobytes())
    return digest.hexdigest()
