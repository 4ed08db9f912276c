"""Groups images by a pattern of their names: one patient, one camera, one day."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence

from nagsdk.errors import DataError, UsageError
from nagsdk.images.entries import one_line

OPTION = "--group-by"
# A million names take a second or two.
_MOST_SECONDS = 30.0
_MOST_PATTERN = 1000
_EXAMPLE = r"Give a pattern such as 'patient\d+', which is searched in the path of every image inside its class folder."
# Another process: a pattern such as (a+)+b may take years for one name, and nothing ends `re` in this one.
_SEARCH = """
import json, re, sys
pattern, names = json.load(sys.stdin)
found = map(re.compile(pattern).search, names)
json.dump([m and "\\0".join(g or "" for g in (m.groups() or (m[0],))) for m in found], sys.stdout)
"""


def check_pattern(pattern: str | None) -> None:
    """Raises an error if a pattern is not a regular expression that can name groups.

    Raises:
        UsageError: See above.
    """
    if pattern is None:
        return
    try:
        if len(pattern) > _MOST_PATTERN:
            raise ValueError(f"it is longer than {_MOST_PATTERN} characters")
        if not pattern.isprintable():
            raise ValueError("it has characters that cannot be printed")
        re.compile(pattern)
    except (ValueError, re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"{OPTION} {one_line(pattern)[:100]!r} is not a pattern: {error}.", _EXAMPLE) from error


def groups_of(pattern: str, names: Sequence[str], *, required: bool = True) -> list[str | None]:
    """Searches a pattern in names.

    Args:
        pattern: A regular expression; see `check_pattern`.
        names: Paths of images inside their class folders, with ``/`` between folders.
        required: Whether it must be found in some name.

    Returns:
        The group of each name: the parts in parentheses if the pattern has some, else what was found; None where
        nothing was found.

    Raises:
        UsageError: The pattern is found in no name, or the search takes too long.
    """
    given = json.dumps([pattern, list(names)])
    try:
        done = subprocess.run(  # noqa: S603 — the pattern is data for our own script
            [sys.executable, "-I", "-c", _SEARCH], input=given, capture_output=True, text=True, check=True,
            timeout=_MOST_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"{OPTION} {pattern!r} was not found or excluded in the names within {_MOST_SECONDS:g} s.",
            "Simplify it: nested repetitions such as (a+)+ take exponentially long.",
        ) from error
    except subprocess.CalledProcessError as error:
        raise DataError(f"{OPTION} {pattern!r} cannot be searched: {error.stderr[-200:]}", _EXAMPLE) from error
    found: list[str | None] = [group or None for group in json.loads(done.stdout)]
    if required and names and not any(found):
        raise UsageError(f"{OPTION} {pattern!r} is found in no name, such as {one_line(names[0])}.", _EXAMPLE)
    return found
