"""What validation found, in words for people: pydantic's own texts are for those who write the types."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_MOST_SHOWN = 5


def what_is_wrong(error: Exception, known: Iterable[str] = ()) -> str:
    """What keeps a file from being used, as a part of a sentence.

    Args:
        error: Of reading or validating it.
        known: The keys that the file may have, to say which one may be meant.
    """
    from pydantic import ValidationError

    if isinstance(error, OSError):
        return error.strerror or str(error)
    if not isinstance(error, ValidationError):
        return str(error).rstrip(".")
    found, keys = error.errors(include_url=False), tuple(known)
    told = [_told(detail, keys) for detail in found[:_MOST_SHOWN]]
    return "; ".join(told) + (f"; and {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else "")


def _told(detail: ErrorDetails, known: tuple[str, ...]) -> str:
    parts = [str(part) for part in detail["loc"] if part != "[key]"]
    where, kind, text = ".".join(parts), detail["type"], detail["msg"]
    if kind == "missing":
        return f"{where} is missing"
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        near = difflib.get_close_matches(parts[-1], known, n=1)
        return f"{where} is no key that may stand there" + (f" (did you mean {near[0]}?)" if near else "")
    if kind == "json_invalid":
        return f"it is no JSON ({text.removeprefix('Invalid JSON: ')})"
    if kind == "string_pattern_mismatch":
        return f"{where}: it does not have the form {detail['ctx']['pattern']}"
    text = text.removeprefix("Value error, ").replace("Input should", "it should").rstrip(".")
    return f"{where}: {text[:1].lower()}{text[1:]}" if where else text
