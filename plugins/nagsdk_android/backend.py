"""The backend for Android phones: it exports TFLite files and times them on the phone with benchmark_model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nagsdk.device.backend import Presence, Session
from nagsdk.device.description import Device
from nagsdk.device.finding import Finding
from nagsdk.errors import DeviceError, DeviceUnavailableError, printable
from nagsdk.events import Listener
from nagsdk_android import tool
from nagsdk_android.settings import AndroidSettings
from nagsdk_litert.backend import HOST, LiteRtBackend, numbers_of, rewrites_of
from nagsdk_litert.elsewhere import TfliteElsewhere
from nagsdk_litert.settings import REWRITES


class AndroidBackend(TfliteElsewhere):
    """Exports TFLite files and times them on a phone; see `AndroidSettings` for the device options."""

    id = "android"
    title = "Android phones (TFLite, by ADB)"
    suffix = ".tflite"
    precisions = LiteRtBackend.precisions
    integer_precisions = LiteRtBackend.integer_precisions
    ios = LiteRtBackend.ios

    def host_like(self, device: Device) -> Device:
        """A LiteRT device on this machine for which the same file is exported as for the phone."""
        split = "1" if AndroidSettings.of(device).split_depthwise else "0"
        return replace(HOST, precision=device.precision, io=device.io, options=(("split_depthwise", split),))

    def presence(self, device: Device) -> Presence:
        """Looks for the phone, reads its properties and checks that a benchmark_model for it is installed."""
        from nagsdk_android.discovery import find

        try:
            settings = AndroidSettings.of(device)
            attached = find(settings)
            _, digest = tool.find(attached.properties["abi"])
        except DeviceError as error:
            return Presence.refused(error)
        properties = {
            **attached.properties,
            "serial": printable(attached.serial),
            "runtime": "tflite benchmark_model",
            "runtime_version": digest,
            "delegate": settings.delegate,
            "allow_fallback": "yes" if settings.allow_fallback else "no",
            "threads": str(settings.threads),
            "precision": device.precision or self.precisions[0],
            # Tells readings from those of the former int8, which is now int8-dynamic.
            **({"arithmetic": "integers"} if device.precision in self.integer_precisions else {}),
            **numbers_of(device),
            "cores": settings.cores or "all",
            "rewrite": REWRITES[str(int(settings.split_depthwise))],
        }
        # By USB and by address the same phone has two different serials. Its own serial number is always the same, so
        # where it is known, only that one identifies the phone.
        if settings.one_per_model:
            return Presence.of(properties, ("serial", "phone_serial"))
        return Presence.of(properties, ("serial",) if "phone_serial" in properties else ())

    def rewrites(self, device: Device) -> Mapping[str, Device]:
        """The same rewrites as for LiteRT on this machine."""
        return rewrites_of(device)

    def diagnose(self) -> Sequence[Finding]:
        """Checks ADB and benchmark_model; see `nagsdk_android.diagnosis`."""
        from nagsdk_android.diagnosis import diagnose

        return diagnose()

    def setup(self, source: Path | None, on_event: Listener) -> Mapping[str, str]:
        """Installs a benchmark_model; see `nagsdk_android.tool.install`."""
        return tool.install(source, on_event)

    def open(self, device: Device) -> Session:
        """Connects to the phone."""
        from nagsdk_android.discovery import find
        from nagsdk_android.session import AndroidSession

        settings = AndroidSettings.of(device)
        host = self._litert.presence(HOST)
        if not host.available:
            raise DeviceUnavailableError(host.reason, "`nagsdk doctor` names what is missing and how to install it.")
        attached = find(settings)
        return AndroidSession(settings, attached, tool.find(attached.properties["abi"])[0])
