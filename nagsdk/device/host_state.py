"""Temperature and clock frequency of the processor of this machine, where the kernel of Linux shows them."""

from __future__ import annotations

from pathlib import Path

SYS = Path("/sys")
# Parts of the names of sensors that belong to the processor.
_PROCESSOR = ("x86_pkg_temp", "cpu", "coretemp", "k10temp", "zenpower", "soc")
_COLDEST_C, _HOTTEST_C = -50.0, 200.0


def host_state(root: Path = SYS) -> dict[str, float]:
    """The values that are known, by the names that bursts use (`nagsdk.device.backend.Burst.properties`).

    Args:
        root: Where the kernel's files are.

    Returns:
        Any of `hottest_c`, `frequency_mhz` (the fastest core) and `frequency_share` (the highest frequency allowed now
        as a share of that of the hardware, the minimum over the cores).
    """
    values: dict[str, float] = {}
    zones = [*root.glob("class/thermal/thermal_zone*"), *root.glob("class/hwmon/hwmon*")]
    found = (number(path) for zone in zones if _of_processor(zone) for path in zone.glob("temp*") if _is_reading(path))
    temperatures = [c for milli in found if milli is not None and _COLDEST_C < (c := milli / 1e3) < _HOTTEST_C]
    if temperatures:
        values["hottest_c"] = max(temperatures)
    cores = list(root.glob("devices/system/cpu/cpu[0-9]*/cpufreq"))
    now = [khz for core in cores if (khz := number(core / "scaling_cur_freq"))]
    if now:
        values["frequency_mhz"] = max(now) / 1e3
    pairs = [(number(core / "scaling_max_freq"), number(core / "cpuinfo_max_freq")) for core in cores]
    shares = [allowed / own for allowed, own in pairs if allowed and own]
    if shares:
        values["frequency_share"] = min(shares)
    return values


def number(path: Path) -> float | None:
    """The number in a file of the kernel; None if there is none."""
    try:
        return float(path.read_text("ascii"))
    except (OSError, ValueError):
        return None


def _is_reading(path: Path) -> bool:
    return path.name == "temp" or path.name.endswith("_input")


def _of_processor(zone: Path) -> bool:
    for name in ("type", "name"):
        try:
            return (zone / name).read_text("ascii").strip().lower().startswith(_PROCESSOR)
        except (OSError, ValueError):
            continue
    return False
