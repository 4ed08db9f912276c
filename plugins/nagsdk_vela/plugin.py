"""The entry point of the plugin: registers the backend, devices and metrics without importing Vela."""

from __future__ import annotations

from nagsdk.cost.metric import Metric
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.plugin import Registry, hookimpl

nagsdk_api = 1


@hookimpl
def nagsdk_register_backends(registry: Registry[Backend]) -> None:
    """Registers the backend."""
    from nagsdk_vela.backend import VelaBackend

    registry.add(VelaBackend())


@hookimpl
def nagsdk_register_devices(registry: Registry[Device]) -> None:
    """Registers the usual accelerator; `nagsdk_resolve_device` knows the others."""
    from nagsdk_vela.settings import DEFAULT

    registry.add(_device(DEFAULT))


@hookimpl
def nagsdk_resolve_device(query: str) -> Device | None:
    """Makes a device of the name of an accelerator, such as ``ethos-u65-512``."""
    from nagsdk_vela.settings import ACCELERATORS

    return _device(query.lower()) if query.lower() in ACCELERATORS else None


@hookimpl
def nagsdk_register_metrics(registry: Registry[Metric]) -> None:
    """Registers the cycles and the memories that Vela reports."""
    from nagsdk_vela.metrics import Cycles, Flash, Sram

    for metric in (Cycles(), Sram(), Flash()):
        registry.add(metric)


def _device(accelerator: str) -> Device:
    title = f"Arm {accelerator.replace('ethos-u', 'Ethos-U')} (as estimated by Arm's compiler Vela)"
    return Device(accelerator, title, "vela", options=(("accelerator", accelerator),))
