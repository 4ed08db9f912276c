"""What a family of networks provides: a search space whose networks can be built, trained and kept."""

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
    from nagsdk.families.protocol import Subnet, Supernet

# Of a file of weights: what is larger is not read.
MOST_BYTES = 512 * 10**6


class NetworkSpace(SearchSpace):
    """A search space with the networks that belong to it.

    Building networks imports torch; everything else does not.

    Attributes:
        classes: Outputs of the classifier.
        table_columns: Columns that `read_table` needs.
    """

    classes: int
    table_columns: ClassVar[tuple[str, ...]] = (TEXT_COLUMN,)

    @classmethod
    @abstractmethod
    def from_dict(cls, definition: Mapping[str, Any]) -> Self:
        """Rebuilds a space from `to_dict`, which may have passed through JSON.

        Raises:
            ValueError: The definition lacks something, has something unknown, or no networks can be built of it; see `require_fields`.
        """

    def with_classes(self, classes: int) -> Self:
        """The same space for another number of classes."""
        return self.from_dict({**self.to_dict(), "classes": classes})

    @abstractmethod
    def build(self, architecture: Architecture) -> Subnet:
        """A stand-alone network with random weights, drawn from torch's global random state, in training mode."""

    @abstractmethod
    def supernet(self) -> Supernet:
        """A supernet with random weights, drawn from torch's global random state, in training mode."""

    def import_released(self, path: Path) -> Supernet:
        """Reads a checkpoint in the format in which the authors of the family released theirs.

        Raises:
            UsageError: There is no such format, which is the default.
            DamagedBundleError: It is no such checkpoint, or belongs to another space.
        """
        raise UsageError(
            f"The family {self.family} has no released checkpoints that could be imported.",
            "Name the supernet.safetensors of a bundle of the same space.",
        )

    def read_table(self, path: Path) -> tuple[Codes, dict[str, Column]]:
        """Reads architectures from a CSV file with a header line, UTF-8, at most 64 MB.

        The default reads text forms from the column `architecture`.

        Returns:
            Codes, int8, shape (n, decisions), and the other columns as arrays of str, shape (n,).

        Raises:
            ArchitectureError: The file cannot be read as such a table; the message names the line and the legal values.
        """
        return read_texts(path, self)

    def write_table(self, path: Path, architectures: Sequence[Architecture], **columns: Sequence[object]) -> None:
        """Writes what `read_table` reads.

        Args:
            path: CSV file, replaced atomically.
            architectures: One per row.
            **columns: Further columns by name, one value per row.
        """
        write_texts(path, architectures, **columns)


def require_fields(kind: type, definition: Mapping[str, Any]) -> None:
    """Refuses a definition that does not have the fields of a dataclass; the key ``family`` may stand beside them.

    Raises:
        ValueError: It names every field that is unknown or missing.
    """
    required = {field.name: field.default is MISSING and field.default_factory is MISSING for field in fields(kind)}
    if unknown := sorted(definition.keys() - required.keys() - {"family"}):
        raise ValueError(
            f"{', '.join(unknown)}: not in the definition of a space, which stands under space in a bundle.json"
        )
    if missing := [name for name, needed in required.items() if needed and name not in definition]:
        raise ValueError(f"it lacks {', '.join(missing)}")
