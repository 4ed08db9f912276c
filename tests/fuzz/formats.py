"""What a test knows about a format: a valid sample, how it is damaged, and how it is used after it was read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.fuzz.mutate import Damage

Use = Callable[[bytes, Path], object]


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        sample: Makes a valid content.
        damage: Damages a content.
        use: Reads a content in an empty folder and uses what was read, as commands do.
        share: How many cases there are, relative to other formats; slow ones have less.
    """

    sample: Callable[[], bytes]
    damage: Damage
    use: Use
    share: float = 1.0


class Formats(dict[str, Format]):
    """Formats by name."""

    def add(self, name: str, sample: Callable[[], bytes], damage: Damage, share: float = 1.0) -> Callable[[Use], Use]:
        """Adds a format whose use is the decorated function; see `Format`."""

        def decorate(use: Use) -> Use:
            self[name] = Format(cache(sample), damage, use, share)
            return use

        return decorate


def written(folder: Path, name: str, content: bytes) -> Path:
    """A new file with the given content."""
    path = folder / name
    path.write_bytes(content)
    return path
