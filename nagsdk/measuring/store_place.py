"""Which store a call uses: the one that it names, or this user's."""

from __future__ import annotations

from pathlib import Path

from nagsdk.common import config
from nagsdk.common.database_address import LEGAL, DatabaseAddress, read_place, without_secrets
from nagsdk.common.folders import cache_folder
from nagsdk.errors import UsageError
from nagsdk.measuring.store import STORE, Store


def store_here(place: str | Path | None = None) -> Store:
    """The store of this user, or the one that a call names.

    Args:
        place: A file or the address of a database; the setting ``store`` if None, by default a file in the cache
            folder.

    Raises:
        UsageError: It is neither; or the packages for the database are not installed.
        NagsdkError: See `Store`.
    """
    return Store(usual_place() if place is None else checked_place(place))


def usual_place() -> Path | DatabaseAddress:
    """The place of this user's store."""
    found: Path | DatabaseAddress | None = config.value("store")
    return cache_folder() / STORE if found is None else found


def checked_place(place: str | Path) -> Path | DatabaseAddress:
    """The place of a store that a call names.

    Raises:
        UsageError: It is neither a file nor the address of a database that nagsdk knows.
    """
    try:
        return read_place(str(place))
    except ValueError as error:
        raise UsageError(
            f"The store cannot be {without_secrets(str(place))!r}.", f"Give {LEGAL}; docs/store.md explains both."
        ) from error
