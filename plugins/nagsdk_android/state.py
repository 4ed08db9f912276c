"""Reads the state of a phone: temperatures, battery and clock frequencies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

# Android's thermal status: 0 none, 1 light, 2 moderate, 3 severe, and higher. From moderate on the phone throttles.
THROTTLED_FROM = 2
_CPU = "/sys/devices/system/cpu"
# Below this share of the processor's highest frequency the phone counts as throttled.
_CAPPED = 0.98
COMMAND = (
    "dumpsys thermalservice; dumpsys battery; "
    f"for f in {_CPU}/cpu[0-9]*/cpufreq; do "
    "echo freq $(cat $f/scaling_cur_freq $f/scaling_max_freq $f/cpuinfo_max_freq); done"
)
_STATUS = re.compile(r"^\s*Thermal Status:\s*(\d+)", re.MULTILINE)
_TEMPERATURE = re.compile(r"Temperature\{mValue=(-?[0-9.]+), mType=(\d+), mName=([^,}]*), mStatus=\d+\}")
_CPU_TYPE = 0
_BATTERY = re.compile(r"^\s*(level|temperature|AC powered|USB powered):\s*(\S+)", re.MULTILINE)
_FREQUENCY = re.compile(r"^\s*freq (\d+) (\d+) (\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class State:
    """What a phone reports about itself at one moment; values that it does not report are None.

    Attributes:
        thermal_status: Android's thermal status; see `THROTTLED_FROM`.
        hottest_c: Highest temperature of the processor's sensors in °C.
        battery_percent: Charge of the battery in percent.
        battery_c: Temperature of the battery in °C.
        frequency_share: Highest frequency allowed now, as a share of the highest frequency that the hardware has; the
            minimum over the cores.
        frequency_mhz: Present frequency of the fastest core in MHz.
    """

    thermal_status: int | None
    hottest_c: float | None
    battery_percent: int | None
    battery_c: float | None
    frequency_share: float | None
    frequency_mhz: float | None

    @property
    def throttled(self) -> bool:
        """Whether the phone throttles, that is, reduces its own speed."""
        hot = self.thermal_status is not None and self.thermal_status >= THROTTLED_FROM
        return hot or (self.frequency_share is not None and self.frequency_share < _CAPPED)

    def to_properties(self) -> Mapping[str, float]:
        """The known values, as a burst records them."""
        known = {
            "thermal_status": self.thermal_status,
            "hottest_c": self.hottest_c,
            "battery_percent": self.battery_percent,
            "battery_c": self.battery_c,
            "frequency_share": self.frequency_share,
            "frequency_mhz": self.frequency_mhz,
        }
        return {name: float(value) for name, value in known.items() if value is not None} | {
            "throttled": float(self.throttled)
        }


def parse(text: str) -> State:
    """Reads what `COMMAND` printed; values that cannot be read are None, because the format differs between vendors."""
    status = _STATUS.search(text)
    temperatures = [
        float(value) for value, kind, _ in _TEMPERATURE.findall(text) if int(kind) == _CPU_TYPE and _number(value)
    ]
    battery = dict(_BATTERY.findall(text))
    frequencies = [(int(now), int(most), int(own)) for now, most, own in _FREQUENCY.findall(text) if int(own) > 0]
    level, warmth = battery.get("level", ""), battery.get("temperature", "")
    return State(
        None if status is None else int(status[1]),
        max(temperatures, default=None),
        int(level) if level.isdecimal() else None,
        int(warmth) / 10 if warmth.isdecimal() else None,  # in tenths of a degree
        min((most / own for _, most, own in frequencies), default=None),
        max((now / 1e3 for now, _, _ in frequencies), default=None),
    )


def _number(text: str) -> bool:
    return text.count(".") <= 1 and any(c.isdigit() for c in text)
