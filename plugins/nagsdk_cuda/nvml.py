"""What the NVIDIA driver tells (NVML): which GPU, and its state while networks run on it."""

from __future__ import annotations

import time
from typing import Any

from nagsdk.common.pip import pip
from nagsdk.errors import DeviceError

# Facts that differ between cards of one model, or from minute to minute.
OF_THE_CARD = frozenset({"uuid", "driver"})
_MEGA = 1e6
_FRESH_S = 0.2
# Cores per multiprocessor where they are not 128 (CUDA C++ Programming Guide, "Arithmetic Instructions", float32).
_CORES = {(6, 0): 64, (7, 0): 64, (7, 2): 64, (7, 5): 64, (8, 0): 64}


def describe(index: int) -> dict[str, str]:
    """Name, identity, multiprocessors, memory, driver, power limit and clock of a GPU.

    Raises:
        DeviceError: NVML, the driver or the GPU is not there, or MIG splits it; the message says which.
    """
    nvml, handle = _open(index)

    def asked(question: Any, *arguments: Any) -> Any:
        try:
            return question(handle, *arguments)
        except nvml.NVMLError:
            return None  # not every card answers everything

    mig = asked(nvml.nvmlDeviceGetMigMode)
    if mig is not None and mig[0]:
        raise DeviceError(
            f"MIG splits GPU {index} into parts.", "Use a whole GPU: the device option `index` names another one."
        )
    power, memory = asked(nvml.nvmlDeviceGetPowerManagementLimit), asked(nvml.nvmlDeviceGetMemoryInfo)
    cores, capability = asked(nvml.nvmlDeviceGetNumGpuCores), asked(nvml.nvmlDeviceGetCudaComputeCapability)
    facts = {
        "gpu": asked(nvml.nvmlDeviceGetName),
        "uuid": asked(nvml.nvmlDeviceGetUUID),
        "compute_capability": capability and "{}.{}".format(*capability),
        "multiprocessors": cores and capability and cores // _CORES.get(tuple(capability), 128),
        "memory_mb": memory and round(memory.total / _MEGA),
        "driver": asked(lambda handle: nvml.nvmlSystemGetDriverVersion()),
        "power_limit_w": power and round(power / 1000),
        "most_sm_clock_mhz": asked(nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_SM),
    }
    return {name: str(value) for name, value in facts.items() if value is not None}


class Watch:
    """Reads the state of a GPU.

    Args:
        index: As `nvidia-smi` numbers them.
    """

    def __init__(self, index: int) -> None:
        self._nvml, self._handle = _open(index)
        self._last, self._asked_at = dict[str, float](), -_FRESH_S

    def state(self) -> dict[str, float]:
        """Clocks in MHz, temperature in °C, power in W, and whether the card slows itself down; what it does not tell is left out.

        Asking takes as long as a burst of a small network, and lets the card fall asleep: an answer counts for a moment.
        """
        if time.monotonic() - self._asked_at >= _FRESH_S:
            self._last, self._asked_at = self._ask(), time.monotonic()
        return self._last

    def _ask(self) -> dict[str, float]:
        nvml, handle = self._nvml, self._handle
        questions = {
            "sm_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "memory_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            "temperature_c": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            "power_w": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
            "throttled": lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle) & _slowing(nvml) != 0,
        }
        state = {}
        for name, ask in questions.items():
            try:
                state[name] = float(ask())  # type: ignore[no-untyped-call]
            except nvml.NVMLError:
                continue  # not every card answers everything
        return state


def _slowing(nvml: Any) -> int:
    return int(
        nvml.nvmlClocksThrottleReasonSwPowerCap
        | nvml.nvmlClocksThrottleReasonHwSlowdown
        | nvml.nvmlClocksEventReasonSwThermalSlowdown
    )


def _open(index: int) -> tuple[Any, Any]:
    try:
        import pynvml
    except ImportError as error:
        raise DeviceError("nvidia-ml-py is not installed.", f"Install it: {pip('install', 'nagsdk[cuda]')}") from error
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise DeviceError(
            f"There is no NVIDIA driver here ({error}).", "Use a machine with an NVIDIA GPU and its driver."
        ) from error
    try:
        return pynvml, pynvml.nvmlDeviceGetHandleByIndex(index)
    except pynvml.NVMLError as error:
        count = pynvml.nvmlDeviceGetCount()
        raise DeviceError(
            f"There is no GPU number {index} ({error}).", f"This machine has {count}; numbers begin at 0."
        ) from error
