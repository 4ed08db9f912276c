"""Registries: objects that plugins register, by id."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from nagsdk.errors import DeviceError, UnknownNameError

# A text that ends like a file names a file, so that no file can take the place of a registered object.
_ID = re.compile(r"(?!.*\.(?:toml|json)$)[a-z0-9][a-z0-9._-]{0,63}")


class _Named(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=_Named)


class Registry(Generic[T]):
    """Objects of one type by id; a second object with the same id or alias is refused.

    Args:
        kind: Name for the kind of objects, for messages.
        accepts: The type of the objects.

    Attributes:
        kind: See above.
        note: Why names may be missing, such as a broken plugin; part of the error when a name is not found.
    """

    def __init__(self, kind: str, accepts: type[T]) -> None:
        self.kind = kind
        self.note = ""
        self._accepts = accepts
        self._items: dict[str, T] = {}

    def check(self, item: object) -> None:
        """Raises an error if an object cannot be registered.

        Raises:
            DeviceError: It has the wrong type or an invalid id, or its id or an alias is already taken.
        """
        if not isinstance(item, self._accepts):
            raise DeviceError(
                f"A plugin registered {type(item).__name__} as a {self.kind}.",
                f"Register instances of {self._accepts.__name__}.",
            )
        for name in _names(item):
            if not (isinstance(name, str) and _ID.fullmatch(name)):
                raise DeviceError(
                    f"{name!r} cannot be the id or alias of a {self.kind}.",
                    "Use lower-case letters, digits, dots, dashes and underscores; .toml and .json are for files.",
                )
        if taken := {*_names(item)} & {*self.names}:
            raise DeviceError(
                f"Two plugins register the {self.kind} {min(taken)!r}.",
                "Disable one of them with NAGSDK_DISABLE_PLUGINS.",
            )

    def add(self, item: T) -> None:
        """Registers an object.

        Raises:
            DeviceError: See `check`.
        """
        self.check(item)
        self._items[item.id] = item

    def __iter__(self) -> Iterator[T]:
        return iter(self._items.values())

    def __contains__(self, name: str) -> bool:
        return any(name.lower() in _names(item) for item in self)

    @property
    def names(self) -> list[str]:
        """All ids and aliases."""
        return [name for item in self for name in _names(item)]

    def get(self, name: str) -> T:
        """Looks up an object by id or alias.

        Raises:
            UnknownNameError: There is no such object; the error suggests similar names.
        """
        for item in self:
            if name.lower() in _names(item):
                return item
        raise UnknownNameError.among(self.kind, name, self.names, self.note)


def _names(item: _Named) -> tuple[str, ...]:
    return (item.id, *getattr(item, "aliases", ()))
