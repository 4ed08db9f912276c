"""Base class of a family of networks: a search space whose networks can be built, trained and stored."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from nagsdk.errors import UsageError
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import Codes, SearchSpace
from nagsdk.space.table import TEXT_COLUMN, Column, read_texts, write_texts

if TYPE_CHECKING:
    from nagsdk.families.packaged import PackagedWeights
    from nagsdk.families.protocol import Subnet, Supernet

# Largest size of a file of weights; larger files are not read.
MOST_BYTES = 512 * 10**6


class NetworkSpace(SearchSpace):
    """A search space that can also build its networks.

    Only the methods that build networks import torch.

    Attributes:
        classes: Number of outputs of the classifier.
        table_columns: Names of the columns that `read_table` needs.
        resolution_field: Field of the definition that lists the resolutions; empty where they cannot be changed alone.
        peak_rate: Largest learning rate with which a supernet is trained, at 64 images per step.
    """

    classes: int
    table_columns: ClassVar[tuple[str, ...]] = (TEXT_COLUMN,)
    resolution_field: ClassVar[str] = ""
    peak_rate: ClassVar[float] = 4e-3

    @classmethod
    @abstractmethod
    def from_dict(cls, definition: Mapping[str, Any]) -> Self:
        """Rebuilds a space from the result of `to_dict`, which may have passed through JSON.

        Raises:
            ValueError: The definition has missing or unknown fields (see `require_fields`), or no networks can be built
                from it.
        """

    def with_classes(self, classes: int) -> Self:
        """Returns the same space with another number of classes."""
        return self.from_dict({**self.to_dict(), "classes": classes})

    def with_resolutions(self, resolutions: Sequence[int]) -> Self:
        """Returns the same space with other resolutions; its networks have the same weights.

        Raises:
            UsageError: The family has no `resolution_field`, and others than its own are asked for.
        """
        if tuple(resolutions) == self.resolutions:
            return self
        if not self.resolution_field:
            raise UsageError(
                f"The resolutions of the family {self.family} cannot be changed.",
                f"Use all of them: {', '.join(map(str, self.resolutions))}.",
            )
        return self.from_dict({**self.to_dict(), self.resolution_field: list(resolutions)})

    def narrowed(self) -> Self:
        """Returns the space without its smallest choices beside resolutions, for trainings that are short.

        Its supernet has the same weights. The default implementation returns the space itself.
        """
        return self

    @abstractmethod
    def build(self, architecture: Architecture) -> Subnet:
        """Builds a stand-alone network in training mode, with weights drawn as `torch_scope.seeded` says."""

    @abstractmethod
    def supernet(self) -> Supernet:
        """Builds a supernet in training mode, with weights drawn as `torch_scope.seeded` says."""

    def packages(self) -> tuple[PackagedWeights, ...]:
        """The weights of the finished networks that the space consists of, which packages bring.

        Empty (the default) if the weights are those of a supernet. Finished networks keep the statistics of their batch
        normalisation.
        """
        return ()

    def packaged(self) -> Supernet:
        """Reads the weights of all `packages`.

        Raises:
            WeightsMissingError: A package is not installed.
            DamagedBundleError: A file is not the one that was registered.
        """
        raise NotImplementedError

    def import_released(self, path: Path, *, any_classes: bool = False) -> Supernet:
        """Reads a checkpoint in the format in which the authors of the family released their weights.

        Args:
            path: The checkpoint.
            any_classes: Whether the supernet gets the checkpoint's number of classes instead of that of the space.

        Raises:
            UsageError: The family has no such format (the default).
            DamagedBundleError: The file is not such a checkpoint, or it belongs to another space.
        """
        raise UsageError(
            f"The family {self.family} has no released checkpoints that can be imported.",
            "Give the supernet.safetensors of a bundle with the same space.",
        )

    def import_start(self, path: Path) -> Supernet:
        """Reads weights to start a training from: a released checkpoint, or a finished network that the space contains.

        The default implementation reads released checkpoints only. The number of classes is that of the file.

        Raises:
            UsageError: The family cannot import weights.
            DamagedBundleError: The file belongs to another space, or is not one.
        """
        return self.import_released(path, any_classes=True)

    def read_table(self, path: Path) -> tuple[Codes, dict[str, Column]]:
        """Reads architectures from a CSV file with a header line, UTF-8, at most 64 MB.

        The default implementation reads the text forms of architectures from the column `architecture`.

        Returns:
            Codes, int8, shape (n, decisions), and the other columns as arrays of str, shape (n,).

        Raises:
            ArchitectureError: The file cannot be read as such a table; the message names the line and the legal values.
        """
        return read_texts(path, self)

    def write_table(self, path: Path, architectures: Sequence[Architecture], **columns: Sequence[object]) -> None:
        """Writes a CSV file that `read_table` can read.

        Args:
            path: Path of the CSV file, which is replaced atomically.
            architectures: Architectures to write, one per row.
            **columns: Additional columns by name, with one value per row.
        """
        write_texts(path, architectures, **columns)


def require_fields(kind: type, definition: Mapping[str, Any]) -> None:
    """Checks that a definition has exactly the fields of a dataclass; the extra key ``family`` is allowed.

    Raises:
        ValueError: Fields are unknown or missing; the message names all of them.
    """
    required = {field.name: field.default is MISSING and field.default_factory is MISSING for field in fields(kind)}
    if unknown := sorted(definition.keys() - required.keys() - {"family"}):
        raise ValueError(
            f"the definition of the space (the entry space of a bundle.json) has unknown fields: {', '.join(unknown)}"
        )
    if missing := [name for name, needed in required.items() if needed and name not in definition]:
        raise ValueError(f"the definition of the space is missing {', '.join(missing)}")
