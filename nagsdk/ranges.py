"""The legal range of every number that a caller can give; command line, project files and Python share it."""

from __future__ import annotations

import numbers
import re
from dataclasses import dataclass
from typing import Any

from nagsdk.errors import NagsdkError, UsageError

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_REAL = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")


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
        example: End of the sentence that names the legal values.
    """

    what: str
    low: float
    high: float
    whole: bool = True
    low_open: bool = False
    high_open: bool = False
    example: str = ""

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
        raise error(f"{self.what} cannot be {_shown(value)}.", f"Give {self.legal}{self.example}.")

    def parse(self, text: str, error: type[NagsdkError] = UsageError) -> Any:
        """Reads a number that was written as text, in ASCII digits; see `check`.

        Raises:
            UsageError: As `check`.
        """
        text = text.strip(" \t\r\n")
        if not (_WHOLE if self.whole else _REAL).fullmatch(text):
            raise error(f"{self.what} cannot be {_shown(text)}.", f"Give {self.legal}{self.example}.")
        return self.check(int(text) if self.whole else float(text), error)

    def holds(self, number: float) -> bool:
        """Whether a number is legal."""
        above = self.low < number if self.low_open else self.low <= number
        return above and (number < self.high if self.high_open else number <= self.high)

    @property
    def legal(self) -> str:
        """The legal values as part of a sentence."""
        kind, low, high = "a whole number" if self.whole else "a number", f"{self.low:.12g}", f"{self.high:.12g}"
        if not (self.low_open or self.high_open):
            return f"{kind} from {low} to {high}"
        least, most = "above" if self.low_open else "of at least", "below" if self.high_open else "at most"
        return f"{kind} {least} {low} and {most} {high}"


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
# Each is calibrated, which takes about a minute.
ARMS = Range("The number of arms (precisions, times numbers of threads)", 1, 12)
RESOLUTION = Range("An input size", 1, 4096)

CONFIDENCE = Range("A confidence", 0.5, 1, whole=False, high_open=True)
PERCENTILE = Range("A percentile", 1, 99, whole=False, example=", such as 80ms@p90")
SUSTAINED_S = Range("The time of load, in seconds,", 10, 3600, whole=False, example=", such as @sustained=10min")
# In the unit in which the metric is stored: milliseconds, bytes, multiply-accumulates, or a plugin's unit.
UNIT = Range("The factor of a unit", 1e-18, 1e18, whole=False)
LIMIT = Range("The limit of a budget", 1e-12, 1e18, whole=False, example=", such as 80ms")
MIN_TOP1 = Range("A minimum top-1", 1, 100, whole=False, low_open=True, example=": 76, not 0.76")
SHARE = Range("A share of users in per cent", 50, 99.9, whole=False, example=": 95, not 0.95")
MODELS = Range("The number of models", 1, 4)
# Strategies need memory for every limit that must hold together with others.
LIMITS = Range("The number of limits that hold together (budgets, times devices)", 1, 12)
ANSWERS = Range("The number of budgets that are answered one by one", 1, 10_000)
STRATEGIES = Range("The number of strategies", 1, 100)
EVALUATIONS = Range("The number of evaluations", 1, 10_000_000)
SEEDS = Range("The number of seeds", 1, 100)
POINTS = Range("The number of points of a frontier", 2, 10_000)

READING_MS = Range("The latency of a network in milliseconds", 1e-3, 1e6, whole=False)
FREQUENCY_GHZ = Range("The frequency of a processor in GHz", 0.05, 10, whole=False)
SAMPLES = Range("The number of reference architectures", 5, 1000)
WITHIN_S = Range("The time to measure, in seconds,", 1, 7 * 24 * 3600, whole=False)
AGE_DAYS = Range("An age in days", 0, 36_500, whole=False)

EPOCHS = Range("The number of epochs", 1, 100_000)
MINUTES = Range("The time of a training, in minutes,", 1, 10_000, whole=False)
FINETUNE_EPOCHS = Range("The number of epochs of fine-tuning", 0, 100_000)
TRAINING_BATCH = Range("The number of images per training step", 2, 65_536)
SUBNETS = Range("The number of subnets", 50, 100_000)
ITERATIONS = Range("The number of iterations", 1, 10_000_000)

# Settings of devices.
CORE = Range("The number of a core", 0, 4095)
GPU = Range("The number of a GPU", 0, 255)
PORT = Range("A port", 1, 65_535)
COOLDOWN_S = Range("The time to cool down, in seconds,", 0, 3600)


# By the name of the argument of a verb.
_ARGUMENTS = {
    "seed": SEED,
    "resolution": RESOLUTION,
    "min_top1": MIN_TOP1,
    "limits": LIMITS,
    "answers": ANSWERS,
    "strategies": STRATEGIES,
    "points": POINTS,
    "evaluations": EVALUATIONS,
    "seeds": SEEDS,
    "samples": SAMPLES,
    "within_s": WITHIN_S,
    "epochs": EPOCHS,
    "minutes": MINUTES,
    "finetune": FINETUNE_EPOCHS,
    "batch": TRAINING_BATCH,
    "subnets": SUBNETS,
    "iterations": ITERATIONS,
    "days": AGE_DAYS,
    "share": SHARE,
    "models": MODELS,
}


def check(**given: Any) -> None:
    """Checks arguments of a verb before any work starts.

    Args:
        **given: Arguments by name; None stands for an argument that was left out.

    Raises:
        UsageError: One is no number, or is out of its range.
    """
    for name, value in given.items():
        if value is not None:
            _ARGUMENTS[name].check(value)
