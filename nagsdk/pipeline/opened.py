"""A deployment's folder, opened: its manifest, its files, and the device that runs them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nagsdk.device.backend import Backend, Presence, Tensor
from nagsdk.device.description import Device, Overrides
from nagsdk.errors import DamagedBundleError
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.manifest.manifest import is_pinned, pinned_files, read_manifest
from nagsdk.pipeline.build import infer
from nagsdk.pipeline.target import reach


@dataclass(frozen=True)
class OpenedDeployment:
    """A deployment and what runs it here.

    Attributes:
        manifest: The content of its manifest.json.
        folder: Where it lies.
        backend: Reaches the device.
        device: The description, with the settings of the manifest.
        presence: Whether the device is here.
    """

    manifest: dict[str, Any]
    folder: Path
    backend: Backend
    device: Device
    presence: Presence

    @classmethod
    def of(cls, folder: Path, device: str | None = None, serial: str | None = None) -> OpenedDeployment:
        """Opens a deployment; its files are not looked at yet.

        Args:
            folder: With the manifest.json.
            device: Where to run it; the manifest's device where None.
            serial: Which of several attached phones is meant.

        Raises:
            UsageError: The folder is no deployment.
            DamagedBundleError: Its manifest is not valid.
            UnknownNameError: The device is not known here.
            DeviceError: No plugin reaches it.
        """
        manifest = read_manifest(folder)
        overrides = Overrides(manifest["threads"], manifest["batch"], manifest["precision"], serial)
        return cls(manifest, folder, *reach(device or manifest["device"], overrides))

    @property
    def artifact(self) -> Path:
        """The model file."""
        return self.folder / str(self.manifest["artifact"]["path"])

    @property
    def compiled(self) -> Path:
        """What runs on the device: the model file, unless the backend compiled it."""
        return self.folder / str((self.manifest.get("compiled") or self.manifest["artifact"])["path"])

    @property
    def preprocessing(self) -> Preprocessing:
        """How images become inputs."""
        steps = self.manifest["preprocessing"]
        return Preprocessing(tuple(steps["mean"]), tuple(steps["std"]), steps["crop_fraction"])

    def require_files(self) -> None:
        """Refuses files that are not those that were deployed.

        Raises:
            DamagedBundleError: With their names.
        """
        wrong = wrong_files(self.folder, self.manifest)
        if wrong:
            raise DamagedBundleError(
                f"{', '.join(wrong)} in {self.folder}: missing, or not with the hash of the manifest.", "Deploy again."
            )

    def infer(self, inputs: Tensor) -> Tensor | None:
        """Logits of the model: on the device where it is here, else by its backend on this machine, where that can.

        Args:
            inputs: Normalised, float32, shape (n, 3, resolution, resolution).

        Returns:
            Logits, shape (n, classes); None where nothing here runs the file.
        """
        compiled = self.compiled if self.presence.available else None
        return infer(self.backend, self.device, self.artifact, compiled, inputs)


def wrong_files(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """Names of the files that are missing or do not have the hash of the manifest."""
    return [name for name, record in pinned_files(manifest).items() if not is_pinned(folder / name, record)]
