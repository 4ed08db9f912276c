"""Reads the state of a phone: temperatures, battery and clock frequencies."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

# Android's thermal status: 0 none, 1 light, 2 moderate, 3 severe, and higher. From moderate on the phone throttles.
THROTTLED_FROM = 2
_CPU = "/sys/devices/system/cpu"
_BATTERY_FOLDER = "/sys/class/power_supply/battery"
# Below this share of the processor's highest frequency the phone counts as throttled.
_CAPPED = 0.98
# Seconds for which the cap of a resting phone must stay equal to count as its own: fewer where the phone says that it
# is not hot (Android 10 and newer) than where it does not say so.
STEADY_S, STEADY_UNKNOWN_S = 4.0, 30.0
COMMAND = (
    "dumpsys thermalservice; dumpsys battery; "
    f"for f in {_CPU}/cpu[0-9]*/cpufreq; do "
    "echo freq $(cat $f/scaling_cur_freq $f/scaling_max_freq $f/cpuinfo_max_freq); done; "
    f"for f in current_now voltage_now; do echo $f: $(cat {_BATTERY_FOLDER}/$f); done"
)
# Every repetition is bounded, because a phone may print anything: no text takes long to read, no number is too large.
_STATUS = re.compile(r"Thermal Status:\s{0,9}([0-9]{1,2})\b")
_TEMPERATURE = re.compile(
    r"Temperature\{mValue=(-?[0-9]{1,4}(?:\.[0-9]{1,20})?), mType=([0-9]{1,4}), "
    r"mName=[^,}\n]{0,99}, mStatus=[0-9]{1,4}\}"
)
_CPU_TYPE = 0
# The temperatures before this line may be old.
_PRESENT = "Current temperatures from HAL:"
# Sensors that are absent or off report absolute zero.
_COLDEST_C = -100
_BATTERY = re.compile(r"(level|temperature):\s{0,9}(-?[0-9]{1,5})")
_POWERED = re.compile(r"(AC|USB|Wireless|Dock) powered:\s{0,9}(true|false)")
# By dumpsys or by the kernel; the current in microamperes or in milliamperes, below zero or above when it discharges.
_CURRENT = re.compile(r"current[_ ]now:\s{0,9}(-?[0-9]{1,9})", re.IGNORECASE)
_VOLTAGE = re.compile(r"(?:voltage|voltage_now):\s{0,9}([0-9]{1,9})")
# A phone that computes draws more than 20 mA, and less than 20 A.
_LEAST_MICROAMPERES = 20_000
# A battery has less than 20 V, and more than 0.1 V.
_LEAST_MICROVOLTS = 100_000
_FREQUENCY = re.compile(r"freq ([0-9]{1,9}) ([0-9]{1,9}) ([0-9]{1,9})")


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
        power_w: Power that the battery gives or takes in watts.
        charger: The kind of charger that is connected, such as ``USB``; empty if none is.
    """

    thermal_status: int | None
    hottest_c: float | None
    battery_percent: int | None
    battery_c: float | None
    frequency_share: float | None
    frequency_mhz: float | None
    power_w: float | None = None
    charger: str | None = None

    @property
    def hot(self) -> bool:
        """Whether the phone says that it reduces its speed because of heat."""
        return self.thermal_status is not None and self.thermal_status >= THROTTLED_FROM

    @property
    def throttled(self) -> bool:
        """Whether the phone throttles, that is, reduces its own speed."""
        return self.throttled_below(1.0)

    def throttled_below(self, ceiling: float) -> bool:
        """Whether the phone throttles, if it never allows more than a share of the hardware's highest frequency.

        Args:
            ceiling: The share that the phone allows when it is cool.
        """
        return self.hot or self.capped(ceiling)

    def capped(self, ceiling: float = 1.0) -> bool:
        """Whether the phone allows less than a share of the hardware's highest frequency."""
        return self.frequency_share is not None and self.frequency_share < _CAPPED * ceiling

    def to_properties(self) -> Mapping[str, float]:
        """The known values, as a burst records them."""
        known = {
            "thermal_status": self.thermal_status,
            "hottest_c": self.hottest_c,
            "battery_percent": self.battery_percent,
            "battery_c": self.battery_c,
            "frequency_share": self.frequency_share,
            "frequency_mhz": self.frequency_mhz,
            "power_w": None if self.charger else self.power_w,
        }
        return {name: float(value) for name, value in known.items() if value is not None} | {
            "throttled": float(self.throttled)
        }


def parse(text: str) -> State:
    """Reads what `COMMAND` printed; values that cannot be read are None, because the format differs between vendors."""
    statuses: list[int] = []
    battery: dict[str, int] = {}
    frequencies: list[tuple[int, int, int]] = []
    powered: list[tuple[str, bool]] = []
    current: list[int] = []
    voltage: list[int] = []
    for line in map(str.strip, text.splitlines()):
        if match := _STATUS.match(line):
            statuses.append(int(match[1]))
        elif match := _BATTERY.fullmatch(line):
            battery.setdefault(match[1], int(match[2]))
        elif match := _POWERED.fullmatch(line):
            powered.append((match[1], match[2] == "true"))
        elif match := _CURRENT.fullmatch(line):
            current.append(abs(int(match[1])))
        elif match := _VOLTAGE.fullmatch(line):
            voltage.append(int(match[1]))
        elif match := _FREQUENCY.fullmatch(line):
            frequencies.append((int(match[1]), int(match[2]), int(match[3])))
    on = [(now, most, own) for now, most, own in frequencies if most > 0 and own > 0]
    return State(
        statuses[0] if statuses else None,
        max(_temperatures(text.partition(_PRESENT)[2]) or _temperatures(text), default=None),
        battery.get("level"),
        battery["temperature"] / 10 if "temperature" in battery else None,  # in tenths of a degree
        min((most / own for _, most, own in on), default=None),
        max((now / 1e3 for now, _, _ in on), default=None),
        _power(current, voltage),
        next((kind for kind, connected in powered if connected), "") if powered else None,
    )


def _power(currents: list[int], voltages: list[int]) -> float | None:
    """Watts, from what was read last: the kernel is asked after dumpsys, and is more recent."""
    current, voltage = (next((v for v in reversed(values) if v), None) for values in (currents, voltages))
    if current is None or voltage is None:
        return None
    amperes = current / (1e6 if current >= _LEAST_MICROAMPERES else 1e3)
    return amperes * voltage / (1e6 if voltage >= _LEAST_MICROVOLTS else 1e3)


def _temperatures(text: str) -> list[float]:
    found = [float(value) for value, kind in _TEMPERATURE.findall(text) if int(kind) == _CPU_TYPE]
    return [value for value in found if value > _COLDEST_C]


class Steadiness:
    """Tells a cap on the frequency that belongs to a phone from throttling: it stays equal while the phone is cool.

    Some phones keep their processors below the hardware's highest frequency for good, for example in a power saving
    mode. Waiting does not change that, whereas a phone that throttles gets faster while it rests.

    Args:
        state: State of the phone when it begins to rest.
    """

    def __init__(self, state: State) -> None:
        self._since = time.monotonic()
        self._share = None if state.hot else state.frequency_share

    def ceiling(self, state: State) -> float | None:
        """The share of the highest frequency that the phone allows for good; None if that is not known yet.

        Args:
            state: State of the phone now, while it rests.
        """
        share = None if state.hot else state.frequency_share
        if share != self._share:
            self._since, self._share = time.monotonic(), share
        needed = STEADY_S if state.thermal_status is not None else STEADY_UNKNOWN_S
        return share if time.monotonic() - self._since >= needed else None
