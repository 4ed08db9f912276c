"""Meters of energy: what a device says about the energy that it uses, and the counters of this machine's processor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nagsdk.device.host_state import SYS, number
from nagsdk.errors import DeviceError

_MICRO = 1e-6
_NO_COUNTER = "Limit something else here. Counters (RAPL) need Linux on x86-64; virtual machines rarely pass them on."


@dataclass(frozen=True)
class Meter:
    """What the meters of a device show at one moment.

    Attributes:
        counters: Counters of used energy: joules, and the value at which the counter begins again at 0.
        power_w: Power that is drawn now, in watts, where there is no counter.
    """

    counters: tuple[tuple[float, float], ...] = ()
    power_w: float | None = None

    def since(self, before: Meter) -> float:
        """Joules that the counters counted since another moment, of a time in which none went round twice."""
        return sum((now - then) % wraps for (now, wraps), (then, _) in zip(self.counters, before.counters, strict=True))


def host_meter(root: Path = SYS) -> Meter:
    """Reads the counters of the processor packages of this machine (RAPL).

    Args:
        root: Where the kernel's files are.

    Raises:
        DeviceError: There are none, or they may not be read; the message says which.
    """
    packages = [zone for zone in sorted(root.glob("class/powercap/intel-rapl:*")) if zone.name.count(":") == 1]
    packages = [zone for zone in packages if _name(zone).startswith("package")]
    if not packages:
        raise DeviceError(
            f"This machine does not tell how much energy it uses: there is no counter in {root}/class/powercap.",
            _NO_COUNTER,
        )
    counters = []
    for zone in packages:
        used, wraps = number(zone / "energy_uj"), number(zone / "max_energy_range_uj")
        if used is None or not wraps:
            raise DeviceError(
                f"The counter {zone / 'energy_uj'} cannot be read, probably because only root may read it.",
                f"Allow it until the next start of the machine: sudo chmod a+r {root}/class/powercap/*/energy_uj",
            )
        counters.append((used * _MICRO, wraps * _MICRO))
    return Meter(tuple(counters))


def _name(zone: Path) -> str:
    try:
        return (zone / "name").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
