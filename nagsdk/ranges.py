"""The legal range of every number that a caller can give; command line, project files and Python share it."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

from nagsdk.errors import NagsdkError, UsageError


@dataclass(frozen=True)
class Range:
    """The legal values of a number.

    Attributes:
        what: What the number is, as the beginning of a sentence.
        low: The lowest legal value.
        high: The highest legal value.
        whole: Whether only whole numbers are legal.
        low_open: Whether `low` itself is not legal.
        high_open: Whether `high` itself is not legal.
    """

    what: str
    low: float
    high: float
    whole: bool = True
    low_open: bool = False
    high_open: bool = False

    def check(self, value: Any, error: type[NagsdkError] = UsageError) -> Any:
        """Returns a value as a plain int or float.

        Args:
            value: Any value; numpy's numbers are numbers too, truth values and text are not.
            error: The kind of error to raise.

        Raises:
            UsageError: It is no number, or is out of the range; or an error of the given kind.
        """
        number = _plain(value, self.whole)
        if number is not None and self.holds(number):
            return number
        raise error(f"{self.what} cannot be {_shown(value)}.", f"Give {self.legal}.")

    def holds(self, number: float) -> bool:
        """Whether a number is legal."""
        above = self.low < number if self.low_open else self.low <= number
        return above and (number < self.high if self.high_open else number <= self.high)

    @property
    def legal(self) -> str:
        """The legal values as part of a sentence."""
        low = f"above {self.low:.12g}" if self.low_open else f"from {self.low:.12g}"
        high = f"below {self.high:.12g}" if self.high_open else f"{self.high:.12g}"
        between = "and" if self.low_open or self.high_open else "to"
        return f"a {'whole ' if self.whole else ''}number {low} {between} {high}"


def _plain(value: Any, whole: bool) -> int | float | None:
    """The value as a plain int or float; None if it is no such number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        if not whole:
            return float(value)
        return int(value) if isinstance(value, numbers.Integral) else None
    except OverflowError:
        return None


def _shown(value: object) -> str:
    """A value for messages; Python refuses to write numbers of thousands of digits."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of that size"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


# What random generators of numpy and torch take alike.
SEED = Range("A seed", 0, 2**32 - 1)
THREADS = Range("The number of threads", 1, 1024)
BATCH = Range("The number of images of one inference", 1, 4096)
RESOLUTION = Range("An input size", 1, 4096)

CONFIDENCE = Range("A confidence", 0.5, 1, whole=False, high_open=True)
PERCENTILE = Range("A percentile that can be measured", 1, 99, whole=False)
# In the unit in which the metric is stored: milliseconds, bytes, multiply-accumulates, or a plugin's unit.
LIMIT = Range("The limit of a budget", 1e-12, 1e18, whole=False)
MIN_TOP1 = Range("A minimum top-1 in per cent", 1, 100, whole=False, low_open=True)
# Strategies need memory for every limit that must hold together with others.
LIMITS = Range("The number of limits that hold together (budgets, times devices)", 1, 16)
ANSWERS = Range("The number of budgets that are answered one by one", 1, 10_000)
POINTS = Range("The number of points of a frontier", 2, 10_000)

SAMPLES = Range("The number of reference architectures", 5, 1000)
WITHIN_S = Range("The time to measure, in seconds,", 1, 7 * 24 * 3600, whole=False)
AGE_DAYS = Range("An age in days", 0, 36_500, whole=False)

EPOCHS = Range("The number of epochs", 1, 100_000)
FINETUNE_EPOCHS = Range("The number of epochs of fine-tuning", 0, 100_000)
TRAINING_BATCH = Range("The number of images per training step", 2, 65_536)
SUBNETS = Range("The number of subnets", 50, 100_000)
ITERATIONS = Range("The number of iterations", 1, 10_000_000)
