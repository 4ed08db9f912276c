"""An architecture: one point of a search space."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

# Text forms have so many characters at most, so that readings, manifests and bundles can hold those of any family.
MOST_TEXT = 2000


@dataclass(frozen=True)
class Architecture:
    """One validated point of a search space; only a `SearchSpace` creates it.

    Equality and hash use the text form, which contains active choices only: two codes that differ only in inactive
    decisions are the same network and the same `Architecture`.

    Attributes:
        text: Stable text form, such as ``mbv3:r224:d=2,2:ks=3,5,3,7:e=3,3,4,6``.
        code: Choice index of every decision of the space, -1 where the decision is inactive.
        resolution: Height and width of the input in pixels.
    """

    text: str
    code: tuple[int, ...] = field(compare=False, repr=False)
    resolution: int = field(compare=False, repr=False)

    @property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the text form."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return self.text
