"""Patterns of names and hashes, and readable descriptions of validation errors.

The texts of pydantic itself are meant for developers.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nagsdk.errors import NagsdkError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# The name of a file that lies beside the description which names it, and a hash in hexadecimal.
PLAIN_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"
SHA256 = r"^[0-9a-f]{64}$"
_MOST_SHOWN = 5


def what_is_wrong(error: Exception, known: Iterable[str] = ()) -> str:
    """Describes why a file cannot be used, as part of a sentence.

    Args:
        error: The error of reading or validating the file.
        known: The keys that the file may have, for suggestions.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    from pydantic import ValidationError

    if isinstance(error, NagsdkError):
        return f"{error.message} {error.next_step}".rstrip(".")
    if isinstance(error, json.JSONDecodeError):
        return f"it is not valid JSON ({error})"
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    if isinstance(error, KeyError):
        return f"the key {error} is missing"
    if not isinstance(error, ValidationError):
        return str(error).rstrip(".")
    found, keys = error.errors(include_url=False), tuple(known)
    described = [_described(detail, keys) for detail in found[:_MOST_SHOWN]]
    return "; ".join(described) + (f"; and {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else "")


def _described(detail: ErrorDetails, known: tuple[str, ...]) -> str:
    parts = [str(part) for part in detail["loc"] if part != "[key]"]
    where, kind, text = ".".join(parts), detail["type"], detail["msg"]
    if kind == "missing":
        return f"{where} is missing"
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        near = difflib.get_close_matches(parts[-1], known, n=1)
        return f"{where} is not a known key" + (f" (did you mean {near[0]}?)" if near else "")
    if kind == "json_invalid":
        return f"it is not valid JSON ({text.removeprefix('Invalid JSON: ')})"
    if kind == "string_pattern_mismatch":
        return f"{where}: it does not have the form {detail['ctx']['pattern']}"
    text = text.removeprefix("Value error, ").replace("Input should", "it should").rstrip(".")
    return f"{where}: {text[:1].lower()}{text[1:]}" if where else text
