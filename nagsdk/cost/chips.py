"""Names of processor cores: which design a core is of, and which measured one is the nearest."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection
from dataclasses import dataclass

from nagsdk.cost.pool import Kernels, Scale
from nagsdk.errors import UnknownNameError, UsageError
from nagsdk.ranges import FREQUENCY_GHZ

# Arm's designs in the order in which they followed each other; a design may begin two lines.
_IN_ORDER = ("Cortex-A7", "Cortex-A35", "Cortex-A53", "Cortex-A55", "Cortex-A510", "Cortex-A520")
_BIG = (
    "Cortex-A9", "Cortex-A15", "Cortex-A17", "Cortex-A57", "Cortex-A72", "Cortex-A73", "Cortex-A75", "Cortex-A76",
    "Cortex-A77", "Cortex-A78", "Cortex-A710", "Cortex-A715", "Cortex-A720", "Cortex-A725",
)  # fmt: skip
_PRIME = ("Cortex-A76", "Cortex-A77", "Cortex-X1", "Cortex-X2", "Cortex-X3", "Cortex-X4", "Cortex-X925")
LINES = (_IN_ORDER, _BIG, _PRIME)
# Names under which others sell a design of Arm.
_SOLD_AS = {
    "Kryo 260": "Cortex-A73", "Kryo 280": "Cortex-A73", "Kryo 360": "Cortex-A75", "Kryo 385": "Cortex-A75",
    "Kryo 460": "Cortex-A76", "Kryo 485": "Cortex-A76", "Kryo 495": "Cortex-A76", "Kryo 560": "Cortex-A77",
    "Kryo 585": "Cortex-A77", "Kryo 670": "Cortex-A78", "Kryo 680": "Cortex-X1",
}  # fmt: skip
_FREQUENCY = re.compile(r"(?P<name>.*?)\s*(?:@\s*)?(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>GHz|MHz)\s*", re.IGNORECASE)
# Standard deviations of the logarithm of the scale: of a processor of a known design and frequency (memory, caches
# and compilers differ), and for every design between this one and the nearest measured one.
_SAME_DESIGN, _EACH_DESIGN = 0.25, 0.2
_MOST_DESIGNS = 4


@dataclass(frozen=True)
class Core:
    """A core of a processor.

    Attributes:
        name: The name of its design, such as ``Cortex-A78``.
        ghz: Its frequency; None if it was not given.
    """

    name: str
    ghz: float | None = None

    @classmethod
    def parse(cls, text: str, measured: Collection[str] = ()) -> Core:
        """Reads a text such as ``Cortex-A78 2.4 GHz``.

        Args:
            text: The text; case, spaces and hyphens do not matter, and neither does ``Arm`` before the name.
            measured: Names of other cores that are legal.

        Raises:
            UnknownNameError: No design has this name; the message names all and the nearest ones.
            UsageError: The frequency is out of its range.
        """
        found = _FREQUENCY.fullmatch(text.strip())
        name, ghz = text.strip(), None
        if found:
            name, size = found["name"], 1.0 if found["unit"].lower() == "ghz" else 1e-3
            ghz = float(FREQUENCY_GHZ.check(float(found["number"]) * size))
        legal = names(measured)
        by_key = {_key(known): known for known in legal}
        if _key(name) not in by_key:
            near = difflib.get_close_matches(_key(name), by_key, n=3, cutoff=0.5)
            hint = f"Did you mean {' or '.join(by_key[key] for key in near)}? " if near else ""
            raise UnknownNameError(
                f"No chip with the name {name!r:.80} is known.",
                f"{hint}Write a core and its frequency, such as 'Cortex-A78 2.4 GHz'. Known: {', '.join(legal)}.",
            )
        known = by_key[_key(name)]
        return cls(_SOLD_AS.get(known, known), ghz)

    def __str__(self) -> str:
        return self.name if self.ghz is None else f"{self.name} {self.ghz:g} GHz"


def names(measured: Collection[str] = ()) -> list[str]:
    """All legal names of cores."""
    return list(dict.fromkeys((*(name for line in LINES for name in line), *_SOLD_AS, *sorted(measured))))


def nearest(core: Core, kernels: Kernels) -> tuple[str | None, Scale | None]:
    """Finds the measured design that is nearest to a core.

    Args:
        core: The core.
        kernels: The kernels that run on it.

    Returns:
        The name of the nearest measured design, with what it says of the scale; without a frequency, or where no design
        with a known speed is near, this very design if it was measured, and None.
    """
    steps = {core.name: 0}
    for line in LINES:
        if core.name in line:
            at = line.index(core.name)
            for place, name in enumerate(line):
                steps[name] = min(abs(place - at), steps.get(name, len(line)))
    same = core.name if core.name in kernels.chips else None
    timed = []
    for name, step in sorted(steps.items(), key=lambda one: one[1]):
        known = kernels.chips.get(name)
        if known is not None and known.cycles is not None and step <= _MOST_DESIGNS:
            timed.append((step, name, known.cycles))
    if core.ghz is None or not timed:
        return same, None
    step, name, cycles = timed[0]
    title = f"the name of its chip, {core}" + (f", by the speed of {name}" if step else "")
    return name, Scale(cycles - math.log(core.ghz), math.hypot(_SAME_DESIGN, _EACH_DESIGN * step), title)


def require_scale(core: Core, kernels: Kernels, name: str) -> None:
    """Raises an error if a core's name says nothing of the speed with these kernels.

    Raises:
        UsageError: The frequency is missing, or no measured design is near.
    """
    if core.ghz is None:
        raise UsageError(
            f"The speed of {core.name} is not known without its frequency.", f"Write it like '{core.name} 2.4 GHz'."
        )
    if nearest(core, kernels)[1] is None:
        timed = [chip for chip, found in kernels.chips.items() if found.cycles is not None]
        raise UsageError(
            f"Nothing is known of the speed of {core.name} with the kernels {name}.",
            f"Add one reading: --reading mobilenet_v3_large=7.7ms. Known with {name}: {', '.join(timed)}.",
        )


def _key(name: str) -> str:
    """A name without what people write in different ways."""
    plain = re.sub(r"[\s_-]+", "", name.lower()).removeprefix("arm").replace("kyro", "kryo")
    return re.sub(r"^(?=a\d|x\d)", "cortex", plain)
