"""Addresses of databases, which hold passwords that no message shows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

# What an address may begin with.
SCHEMES = ("postgresql://", "postgresql+psycopg://")
_PARTS = re.compile(r"(?:[^@?#]*@)?(?P<place>[A-Za-z0-9_.:\[\]-]*(?:/[A-Za-z0-9_.%-]*)?)(?:[?#][^@]*)?")
LEGAL = "a file, or postgresql://USER@HOST/DATABASE"


@dataclass(frozen=True)
class DatabaseAddress:
    """The address of a PostgreSQL database; as text it has no user, password or query.

    Attributes:
        url: The complete address.
    """

    url: str = field(repr=False)

    def __str__(self) -> str:
        return without_secrets(self.url)


def without_secrets(text: str) -> str:
    """An address without user, password, query and fragment; any other text as it is."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    # Where it cannot be said for sure what is secret, nothing is shown.
    place = _PARTS.fullmatch(rest)
    return f"{scheme}://{place['place'] if place else '…'}"


def read_place(text: str) -> Path | DatabaseAddress:
    """The place of a store: a file, or a database.

    Args:
        text: A path or an address.

    Raises:
        ValueError: It is empty, or an address of another kind.
    """
    text = text.strip()
    if "://" not in text:
        if not text:
            raise ValueError
        return Path(text).expanduser()
    if not text.startswith(SCHEMES) or not _PARTS.fullmatch(text.partition("://")[2]):
        raise ValueError
    return DatabaseAddress(text)
