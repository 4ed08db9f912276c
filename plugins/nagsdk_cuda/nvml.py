"""Queries the NVIDIA driver through NVML: what kind of GPU there is, and its state while networks run on it."""

from __future__ import annotations

import time
from typing import Any

from nagsdk.common.pip import pip
from nagsdk.device.meter import Meter
from nagsdk.errors import DeviceError

# Properties that do not identify the kind of device: they differ between cards of one model or change over time.
OF_THE_CARD = frozenset({"uuid", "driver"})
_MEGA = 1e6
_FRESH_S = 0.2
# The counter has 64 bits of millijoules.
_COUNTER_WRAPS_J = 2.0**64 / 1000
# Cores per multiprocessor where they are not 128 (CUDA C++ Programming Guide, "Arithmetic Instructions", float32).
_CORES = {(6, 0): 64, (7, 0): 64, (7, 2): 64, (7, 5): 64, (8, 0): 64}


def describe(index: int) -> dict[str, str]:
    """Name, UUID, compute capability, multiprocessors, memory, driver, power limit and highest clock of a GPU.

    Args:
        index: Number of the GPU, as `nvidia-smi` counts them.

    Raises:
        DeviceError: NVML, the driver or the GPU is missing, or MIG splits the GPU; the message says which.
    """
    nvml, handle = _open(index)

    def ask(question: Any, *arguments: Any) -> Any:
        try:
            return question(handle, *arguments)
        except nvml.NVMLError:
            return None  # not every card supports every query

    mig = ask(nvml.nvmlDeviceGetMigMode)
    if mig is not None and mig[0]:
        raise DeviceError(
            f"MIG splits GPU {index} into parts.", "Use a whole GPU: the device option `index` chooses another one."
        )
    power, memory = ask(nvml.nvmlDeviceGetPowerManagementLimit), ask(nvml.nvmlDeviceGetMemoryInfo)
    cores, capability = ask(nvml.nvmlDeviceGetNumGpuCores), ask(nvml.nvmlDeviceGetCudaComputeCapability)
    facts = {
        "gpu": ask(nvml.nvmlDeviceGetName),
        "uuid": ask(nvml.nvmlDeviceGetUUID),
        "compute_capability": capability and "{}.{}".format(*capability),
        "multiprocessors": cores and capability and cores // _CORES.get(tuple(capability), 128),
        "memory_mb": memory and round(memory.total / _MEGA),
        "driver": ask(lambda handle: nvml.nvmlSystemGetDriverVersion()),
        "power_limit_w": power and round(power / 1000),
        "most_sm_clock_mhz": ask(nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_SM),
    }
    return {name: str(value) for name, value in facts.items() if value is not None}


class Watch:
    """Reads the state of a GPU.

    Args:
        index: Number of the GPU, as `nvidia-smi` counts them.
    """

    def __init__(self, index: int) -> None:
        self._nvml, self._handle = _open(index)
        self._last, self._asked_at = dict[str, float](), -_FRESH_S

    def state(self) -> dict[str, float]:
        """Clocks in MHz, temperature in °C, power in W, and whether the card throttles; unknown values are left out.

        A query takes as long as a burst of a small network, and the card may fall back to its idle clocks meanwhile. So
        an answer is used again for a short time.
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
                continue  # not every card supports every query
        return state


def meter(index: int) -> Meter:
    """What a GPU says about its energy: the counter since the driver was loaded (from Volta on), or the power now.

    Args:
        index: Number of the GPU, as `nvidia-smi` counts them.

    Raises:
        DeviceError: It has neither, or is missing.
    """
    nvml, handle = _open(index)
    try:
        return Meter(((nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000, _COUNTER_WRAPS_J),))
    except nvml.NVMLError:
        pass  # older cards
    try:
        return Meter(power_w=nvml.nvmlDeviceGetPowerUsage(handle) / 1000)
    except nvml.NVMLError as error:
        raise DeviceError(
            f"GPU {index} does not tell how much energy it uses ({error}).", "Limit the latency on it instead."
        ) from error


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
            f"This machine has no NVIDIA driver ({error}).", "Use a machine with an NVIDIA GPU and its driver."
        ) from error
    try:
        return pynvml, pynvml.nvmlDeviceGetHandleByIndex(index)
    except pynvml.NVMLError as error:
        count = pynvml.nvmlDeviceGetCount()
        raise DeviceError(
            f"There is no GPU with the number {index} ({error}).",
            f"Number of GPUs in this machine: {count}. The first one has the number 0.",
        ) from error
