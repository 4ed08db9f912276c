"""The generator (NAG): a policy for every device and every limit, with a card that records its origin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors.numpy import save

from nagsdk.common.files import write_atomically
from nagsdk.common.reading import json_of, read_bytes
from nagsdk.common.tensors import read_tensors
from nagsdk.common.validation import what_is_wrong
from nagsdk.cost.table import AdditiveTable
from nagsdk.errors import DamagedBundleError
from nagsdk.events import Listener, ignore
from nagsdk.generator.decode import decode_each, gumbel
from nagsdk.generator.policy import Float32s, Policy, Stepper
from nagsdk.generator.prices import Paths
from nagsdk.predictor.protocol import Score, Teacher
from nagsdk.space.space import Codes, SearchSpace

if TYPE_CHECKING:
    from nagsdk.generator.train import GeneratorRecipe

FORMAT = 3
_MOST_BYTES = 64 * 10**6


@dataclass(frozen=True)
class Card:
    """Origin of a generator, and how well it learned.

    Attributes:
        key: `Generator.key` of the space and the predictor that it was trained for.
        space: Fingerprint of the search space.
        predictor: Hash of the accuracy predictor.
        seed: Seed of the training.
        recipe: Recipe of the training, from `GeneratorRecipe.to_dict`.
        regret: `Regret` on devices that it was not trained on, as a dictionary.
        kind: ``universal``: one policy for every device and every limit.
        format: Format number of the file.
    """

    key: str
    space: str
    predictor: str
    seed: int
    recipe: dict[str, Any]
    regret: dict[str, Any]
    kind: str = "universal"
    format: int = FORMAT


class Generator:
    """Turns limits into architectures by inference.

    Args:
        space: Search space of the architectures.
        score: Additive score that it was trained to maximise.
        policy: The learned policy.
        card: Origin of the generator.
    """

    def __init__(self, space: SearchSpace, score: Score, policy: Policy, card: Card) -> None:
        self.space, self.score, self.policy, self.card = space, score, policy, card

    @cached_property
    def _stepper(self) -> Stepper:
        return Stepper(self.policy)

    @staticmethod
    def key(space: SearchSpace, predictor: Teacher) -> str:
        """Returns the key under which a generator is stored: a hash of space and accuracy predictor, not of weights."""
        return hashlib.sha256(f"{space.fingerprint}:{predictor.hash}".encode()).hexdigest()[:16]

    @classmethod
    def trained(
        cls,
        space: SearchSpace,
        predictor: Teacher,
        recipe: GeneratorRecipe | None = None,
        seed: int = 0,
        on_event: Listener = ignore,
    ) -> Generator:
        """Trains a generator; see `nagsdk.generator.train.train`."""
        from nagsdk.generator.train import GeneratorRecipe, examine, train  # torch

        recipe = recipe or GeneratorRecipe()
        policy = train(space, predictor, recipe, seed, on_event)
        found = examine(space, predictor, policy, recipe.examined)
        card = Card(cls.key(space, predictor), space.fingerprint, predictor.hash, seed, recipe.to_dict(), asdict(found))
        return cls(space, predictor.additive, policy, card)

    def propose(self, tables: Sequence[AdditiveTable], limits: ArrayLike, count: int = 16, seed: int = 0) -> Codes:
        """Samples architectures within limits.

        Args:
            tables: Tables of the limited costs, of any device; ``inf`` excludes choices and resolutions.
            limits: Upper limits of every budget on each cost, shape (n, costs).
            count: Number of candidates per budget; the first is the greedy one.
            seed: Seed of the sampling. The candidates of a budget depend on the seed and the budget, but not on the
                other budgets of the call (except where float32 rounding decides between two almost equal choices).

        Returns:
            Codes, int8, shape (n, count, decisions), all within all limits of their budget.

        Raises:
            InfeasibleError: No architecture holds the limits of a budget.
        """
        wanted = np.asarray(limits, np.float64).reshape(-1, len(tables))
        paths = Paths.of(self.space, tables, self.score)
        codes = self.sample(tables, paths, wanted, np.full(len(wanted), count), seed)
        return codes.reshape(len(wanted), count, -1)

    def sample(
        self,
        tables: Sequence[AdditiveTable],
        paths: Paths,
        limits: NDArray[np.float64],
        counts: NDArray[np.intp],
        seed: int,
    ) -> Codes:
        """Samples another number of architectures for each budget; see `propose`.

        Args:
            tables: Tables of the limited costs.
            paths: Paths of these costs and the additive score.
            limits: Upper limits of every budget on each cost, shape (n, costs).
            counts: Number of candidates of every budget; fewer ones are the first of more.
            seed: Seed of the sampling.

        Returns:
            Codes, int8, shape (candidates of all budgets, decisions).
        """
        noise = gumbel(seed, int(counts.max(initial=1)), self.space)
        return decode_each(self.space, tables, paths, self._stepper, limits, noise, counts)

    def save(self, path: Path) -> None:
        """Writes policy and card as one safetensors file, atomically.

        If two processes write the same path at once, the file of one of them remains, complete.

        Raises:
            OutputError: The folder cannot be written.
        """
        card, arrays = json.dumps(asdict(self.card), sort_keys=True), self.policy.arrays()
        content = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        write_atomically(path, save(content, metadata={"card": card, "sha256": _digest(card, arrays)}))

    @classmethod
    def load(cls, path: Path, space: SearchSpace, predictor: Teacher) -> Generator:
        """Reads a generator that `save` wrote.

        Raises:
            DamagedBundleError: The file is missing, damaged, changed, of another format, or for another space or
                predictor.
        """
        try:
            arrays, metadata = read_tensors(read_bytes(path, _MOST_BYTES))
            if metadata.get("sha256") != _digest(metadata["card"], arrays):
                raise ValueError("its content does not match its hash")
            content = json_of(metadata["card"])
            if content.get("format") != FORMAT:
                raise ValueError(f"it has the format {content.get('format')!r}, this version reads format {FORMAT}")
            kinds = {"seed": int, "format": int, "recipe": dict, "regret": dict}
            if {name: type(value) for name, value in content.items()} != {
                field.name: kinds.get(field.name, str) for field in fields(Card)
            }:
                raise ValueError("the card has missing or unknown entries, or entries of other types")
            card, policy = Card(**content), Policy.from_arrays(arrays)
            if card.space != space.fingerprint or policy.head_bias.shape != (len(space.sizes), space.sizes.max()):
                raise ValueError("it was made for another search space")
            if card.predictor != predictor.hash:
                raise ValueError("it was trained on another accuracy predictor")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedBundleError(
                f"The generator {path} cannot be used: {what_is_wrong(error)}.",
                "Install nagsdk again, or train it again.",
            ) from error
        return cls(space, predictor.additive, policy, card)


def _digest(card: str, arrays: Mapping[str, Float32s]) -> str:
    digest = hashlib.sha256(card.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}{array.shape}{array.dtype}".encode() + array.tobytes())
    return digest.hexdigest()
