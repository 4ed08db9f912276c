"""Settings of Vela, read from the options of a device description."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from nagsdk.device.description import Device
from nagsdk.errors import DeviceError

# Accelerators by their name in Vela.
ACCELERATORS = (
    "ethos-u55-32",
    "ethos-u55-64",
    "ethos-u55-128",
    "ethos-u55-256",
    "ethos-u65-256",
    "ethos-u65-512",
    "ethos-u85-128",
    "ethos-u85-256",
    "ethos-u85-512",
    "ethos-u85-1024",
    "ethos-u85-2048",
)
DEFAULT = "ethos-u55-128"
# What Vela itself takes: system and memory mode by the family of the accelerator.
_SYSTEMS = {
    "Ethos_U55": ("Ethos_U55_High_End_Embedded", "Shared_Sram"),
    "Ethos_U65": ("Ethos_U65_Client_Server", "Dedicated_Sram_384KB"),
    "Ethos_U85": ("Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram_384KB"),
}
_SECTION = re.compile(r"^\[(System_Config|Memory_Mode)\.(\w+)\]", re.MULTILINE)


@dataclass(frozen=True)
class VelaSettings:
    """What Vela compiles for.

    Attributes:
        accelerator: The accelerator, one of `ACCELERATORS`.
        system: System configuration of Vela: the speed of clock and memories.
        memory: Memory mode of Vela: where weights and tensors lie.
    """

    accelerator: str
    system: str
    memory: str

    @classmethod
    def of(cls, device: Device) -> VelaSettings:
        """Reads the options `accelerator`, `system_config` and `memory_mode` of a description.

        Raises:
            DeviceError: An option is unknown or has an invalid value, or more than one image or thread is asked for.
        """
        options = dict(device.options)
        accelerator = options.pop("accelerator", DEFAULT)
        family = accelerator.rpartition("-")[0].replace("ethos-u", "Ethos_U")
        systems, memories = _configurations()
        system, memory = (
            options.pop(name, default)
            for name, default in zip(("system_config", "memory_mode"), _SYSTEMS.get(family, ("", "")), strict=True)
        )
        fitting = [name for name in systems if name.startswith(f"{family}_")]
        known = accelerator in ACCELERATORS and (not systems or (system in fitting and memory in memories))
        if options or not known:
            raise DeviceError(
                f"The options of the device {device.id} are not valid for Vela: {dict(device.options)}.",
                f"Use accelerator ({', '.join(ACCELERATORS)}), system_config "
                f"({', '.join(fitting or systems) or 'a name from its vela.ini'}) and memory_mode "
                f"({', '.join(memories) or 'a name from its vela.ini'}).",
            )
        if device.batch != 1 or device.threads != 1:
            raise DeviceError(
                f"{device.id} runs one image at a time, in one thread.", "Leave out --batch and --threads, or use 1."
            )
        return cls(accelerator, system, memory)

    @property
    def arguments(self) -> list[str]:
        """Arguments of Vela's command line."""
        return [
            f"--accelerator-config={self.accelerator}",
            f"--system-config={self.system}",
            f"--memory-mode={self.memory}",
        ]


def configuration_file() -> Path | None:
    """The file in which Vela describes systems and memory modes; None if Vela is not installed."""
    found = importlib.util.find_spec("ethosu")
    folders = [] if found is None else list(found.submodule_search_locations or ())
    files = [Path(folder) / "config_files" / "Arm" / "vela.ini" for folder in folders]
    return next((file for file in files if file.is_file()), None)


def _configurations() -> tuple[list[str], list[str]]:
    """The names of systems and of memory modes; empty if Vela is not installed."""
    file = configuration_file()
    sections = [] if file is None else _SECTION.findall(file.read_text(encoding="utf-8"))
    systems, memories = (
        [name for kind, name in sections if kind == wanted] for wanted in ("System_Config", "Memory_Mode")
    )
    return systems, memories
