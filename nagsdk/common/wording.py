"""Words for people."""

from __future__ import annotations


def counted(count: int, one: str, several: str | None = None) -> str:
    """A number of things: ``1 image``, ``2 images``.

    Args:
        count: How many.
        one: The word, or words, for one.
        several: For any other number; `one` with an s where None.
    """
    return f"{count} {one if count == 1 else several or one + 's'}"
