"""A device in a lab, which looks like one of this machine: exports happen here, whatever touches the device there."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nagsdk.device.backend import Backend, Presence
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError, NagsdkError
from nagsdk.lab.connection import Found
from nagsdk.lab.messages import Json, presence_of_message
from nagsdk.lab.session import LabSession
from nagsdk.lab.taking import Taking
from nagsdk.lab.upload import fetch, send
from nagsdk.plugin.guard import facts_of, stand_in


class InLab(Taking):
    """Passes the calls of a backend to the plugin on this machine, or to the device's worker in the lab."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._rewrites: dict[Device, str] = {}

    def stand_in(self, beside: bool) -> Backend:
        """The backend that the pipeline uses.

        Args:
            beside: Whether the worker runs on this machine, so that work here would disturb the device.
        """
        facts = facts_of(self.backend, Backend)
        facts["runs_elsewhere"] = facts["runs_elsewhere"] or not beside
        return stand_in(Backend, facts, self, lambda: type(self.backend))  # type: ignore[type-abstract]

    def __call__(self, method: str, arguments: Sequence[Any]) -> Any:
        """See `nagsdk.plugin.guard.Caller`."""
        if method == "presence":
            return self.presence(*arguments)
        if method == "open":
            return self.open(*arguments)
        if method == "compile" and self.backend.compiled_suffix:
            return self.compile(*arguments)
        answer = getattr(self.backend, method)(*arguments)
        if method == "rewrites":
            self._rewrites |= {device: name for name, device in answer.items()}
        return answer

    def settings(self, device: Device) -> Json:
        """What a worker must know besides its own description.

        Raises:
            DeviceError: The device has other options than on its worker.
        """
        names, rewrite = ("threads", "batch", "precision", "io"), self._rewrites.get(device)
        if rewrite is None and device.options != self.device.options:
            raise DeviceError(
                f"{device.id} has the options {dict(self.device.options)} in this lab, not {dict(device.options)}.",
                "Options of a device are those of its worker: change them there, and start the worker again.",
            )
        return {**{name: getattr(device, name) for name in names}, "rewrite": rewrite}

    def presence(self, device: Device) -> Presence:
        """Asks the workers that have the device until one has it available."""
        try:
            asked = {**self.which, "settings": self.settings(device)}
        except DeviceError as error:
            return Presence.refused(error)
        found = Presence(
            False, f"No worker of the lab has {self.device.id} now. `nagsdk lab devices` shows what it has."
        )
        for worker in self.candidates():
            try:
                answer, _ = self.lab.wait(self.lab.ask(worker.address, worker.name, "presence", asked))
                found = presence_of_message(answer["presence"])
            except NagsdkError as error:
                found = Presence.refused(error)
            if found.available:
                break
        return found

    def compile(self, artifact: Path, device: Device, folder: Path) -> Path:
        """Lets the worker compile an artifact, and fetches the result."""
        with self.reserved() as taken:
            name = send(self, [artifact], taken)[0]
            answer, _ = self.job("compile", {"name": name, "settings": self.settings(device)}, taken=taken)
            compiled = str(answer["name"])
            if compiled == name:
                return artifact
            path = folder / f"{artifact.name.removesuffix(self.backend.suffix)}{self.backend.compiled_suffix}"
            fetch(self, compiled, path, taken)
            return path

    def open(self, device: Device) -> LabSession:
        """Opens a session on the place that is taken, or takes one for as long as the session is open."""
        hold = self.reserved()
        taken = hold.__enter__()
        try:
            answer, _ = self.job("open", {"settings": self.settings(device)}, taken=taken)
            return LabSession(self, taken, int(answer["session"]), hold)
        except BaseException:
            hold.__exit__(None, None, None)
            raise


def is_beside(worker: Found) -> bool:
    """Whether a worker runs on this machine."""
    return worker.host == platform.node()
