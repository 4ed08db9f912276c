"""Keeps dask from unpickling what arrives from others.

Dask sends tasks as pickles, and can no longer be told not to. A lab sends no tasks: its messages are JSON and bytes.
So unpickling is taken out of the two places through which dask reads every message. `sealed` shows that it worked, and
nothing starts where a later version of dask has moved these places.
"""

from __future__ import annotations

import threading
from typing import Any

from nagsdk.errors import DeviceError

_REFUSED = "a lab reads no pickled objects"
_everywhere = threading.Event()
_here = threading.local()
_patching = threading.Lock()


class SealedError(ValueError):
    """A message held an object that would have to be unpickled."""


def seal(*, everywhere: bool) -> None:
    """Refuses pickled objects in messages from now on.

    Args:
        everywhere: In the whole process, which must be nagsdk's own; otherwise in this thread only, since the program
            may use dask for something else.

    Raises:
        DeviceError: This version of dask cannot be sealed.
    """
    _patch()
    if everywhere:
        _everywhere.set()
    _here.sealed = True
    if not _holds():
        raise DeviceError(
            "This version of dask unpickles messages in another place, so a lab would not be safe with it.",
            "Install the version of distributed that nagsdk names: pip install 'nagsdk[lab]'.",
        )


def _is_sealed() -> bool:
    return _everywhere.is_set() or getattr(_here, "sealed", False)


class _Pickle:
    """Stands for dask's module `pickle` where messages are read."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def loads(self, *arguments: Any, **named: Any) -> Any:
        if _is_sealed():
            raise SealedError(_REFUSED)
        return self._original.loads(*arguments, **named)


def _patch() -> None:
    from distributed.protocol import core

    with _patching:
        if isinstance(core.pickle, _Pickle):
            return
        core.pickle = _Pickle(core.pickle)
        deserialize = core.merge_and_deserialize

        def refusing(*arguments: Any, **named: Any) -> Any:
            if _is_sealed():
                raise SealedError(_REFUSED)
            return deserialize(*arguments, **named)

        core.merge_and_deserialize = refusing


class _Canary:
    """Tells when it is unpickled."""

    def __init__(self) -> None:
        self.where = threading.get_ident()

    def __reduce__(self) -> tuple[Any, ...]:
        return _sing, (self.where,)


_sung: set[int] = set()


def _sing(where: int) -> None:
    _sung.add(where)


def _holds() -> bool:
    """Whether no way of packing an object into a message of dask gets it unpickled now."""
    import logging

    from distributed.protocol import Serialize, core, dumps, loads
    from distributed.protocol.serialize import ToPickle

    _sung.clear()
    logger = core.logger
    level, logger.level = logger.level, logging.CRITICAL + 1  # dask logs what it cannot read
    try:
        for packed in (ToPickle(_Canary()), Serialize(_Canary()), _Canary()):
            try:
                loads(dumps({"op": packed}))
            except SealedError:
                continue
            return False
    finally:
        logger.level = level
    return not _sung
