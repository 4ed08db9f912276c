"""Reads what a traced family says of its decisions, and refuses what cannot be a space."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence

from nagsdk.errors import UsageError
from nagsdk.ranges import Range
from nagsdk.space.architecture import MOST_TEXT
from nagsdk.space.decisions import Decision

RESOLUTION = "resolution"
_PIXELS = Range("The resolution", 1, 4096)
# Text forms are printable ASCII, without the signs between their parts.
_WORD = re.compile(r"[!-+\--<>-~]+")


def plain_decisions(
    family: str, choices: Mapping[str, Sequence[Hashable]], conditions: Mapping[str, tuple[str, Hashable]]
) -> tuple[Decision, ...]:
    """The decisions of a family, without what they read.

    Args:
        family: Its name, with which text forms begin.
        choices: Legal values by the name of the decision.
        conditions: For decisions that are not always active: an earlier one, and its smallest value that activates it.

    Raises:
        UsageError: They cannot be a space; the message names the decision.
    """
    names = list(choices)
    if not names or names[0] != RESOLUTION:
        raise UsageError("The first decision of a family is the resolution.", "Put `resolution` first in `choices`.")
    pixels = [_PIXELS.check(value) for value in choices[RESOLUTION]]
    if pixels != sorted(pixels):
        raise UsageError(f"The resolutions are {_listed(pixels)}.", "List them from the smallest to the largest.")
    if unknown := conditions.keys() - choices.keys():
        raise UsageError(f"{min(unknown)} has a condition, but no choices.", "Give it choices.")
    _check_texts(family, choices)
    found = []
    for index, (name, values) in enumerate(choices.items()):
        active_if = None
        if name in conditions:
            parent, least = conditions[name]
            if parent not in names[1:index] or least not in choices[parent]:
                raise UsageError(
                    f"The condition of {name} is {parent} >= {least}.",
                    f"Name a decision before {name} and one of its choices. Known before it: "
                    f"{_listed(names[1:index]) or 'none'}.",
                )
            active_if = names.index(parent), list(choices[parent]).index(least)
        found.append(Decision(name, tuple(values), active_if))
    return tuple(found)


def shown(value: Hashable) -> str:
    """A choice as in text forms."""
    return "x".join(map(shown, value)) if isinstance(value, tuple) else str(value)


def _check_texts(family: str, choices: Mapping[str, Sequence[Hashable]]) -> None:
    """Checks that architectures have text forms that tell them apart and are not too long."""
    longest = len(family)
    for name, values in choices.items():
        texts = [shown(value) for value in values]
        if not texts or len(set(texts)) != len(texts) or len(texts) > 100:
            raise UsageError(f"The decision {name} has no choices, or one twice.", "Give 1 to 100 different choices.")
        if wrong := [text for text in (name, *texts) if not _WORD.fullmatch(text)]:
            raise UsageError(
                f"{wrong[0][:40]!r} of the decision {name} cannot be in the text form of an architecture.",
                "Use printable ASCII without blanks, commas and '='.",
            )
        longest += len(name) + 2 + max(map(len, texts))
    if longest > MOST_TEXT:
        raise UsageError(
            f"Architectures of {family} have text forms of up to {longest:,} characters; {MOST_TEXT:,} are allowed.",
            "Give decisions and choices shorter names.",
        )


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))
