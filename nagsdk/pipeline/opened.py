"""An opened deployment: its manifest, its files, and the device that runs them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nagsdk.common.files import line_ends_advice
from nagsdk.device.backend import Backend, Presence, Tensor
from nagsdk.device.description import Device, Overrides
from nagsdk.errors import DamagedBundleError
from nagsdk.events import Listener, ignore
from nagsdk.graph.numbers import FLOAT, SHIFTS
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.manifest.manifest import is_pinned, pinned_files, precision_of, read_manifest, with_other_line_ends
from nagsdk.pipeline.build import infer
from nagsdk.pipeline.reach import reach


@dataclass(frozen=True)
class OpenedDeployment:
    """A deployment and the device that runs it.

    Attributes:
        manifest: The content of its manifest.json.
        folder: The folder of the deployment.
        backend: The backend of the device.
        device: The description of the device, with the settings of the manifest.
        presence: Whether the device is available.
    """

    manifest: dict[str, Any]
    folder: Path
    backend: Backend
    device: Device
    presence: Presence

    @classmethod
    def of(
        cls,
        folder: Path,
        device: str | Path | None = None,
        serial: str | None = None,
        lab: str | None = None,
        on_event: Listener = ignore,
    ) -> OpenedDeployment:
        """Opens a deployment; its files are not checked yet.

        Args:
            folder: Folder that holds the manifest.json.
            device: Device to run the model on; the manifest's device if None.
            serial: Which of several attached phones is meant.
            lab: Address of a lab whose device is meant; a device of this machine if None.
            on_event: Receives notices of a lab.

        Raises:
            UsageError: The folder is not a deployment.
            DamagedBundleError: Its manifest is not valid.
            UnknownNameError: The device is unknown.
            DeviceError: No plugin provides the device's backend.
        """
        manifest = read_manifest(folder)
        overrides = Overrides(manifest["threads"], manifest["batch"], precision_of(manifest), serial, io_of(manifest))
        return cls(manifest, folder, *reach(device or manifest["device"], overrides, None, lab, on_event))

    @property
    def artifact(self) -> Path:
        """The model file."""
        return self.folder / str(self.manifest["artifact"]["path"])

    @property
    def compiled(self) -> Path:
        """The file that runs on the device: the model file unless the backend compiled it."""
        return self.folder / str((self.manifest.get("compiled") or self.manifest["artifact"])["path"])

    @property
    def preprocessing(self) -> Preprocessing:
        """How images become inputs."""
        steps = self.manifest["preprocessing"]
        return Preprocessing(tuple(steps["mean"]), tuple(steps["std"]), steps["crop_fraction"])

    def require_files(self) -> None:
        """Raises an error if the files are not those that were deployed.

        Raises:
            DamagedBundleError: Files are missing or changed; the message names them.
        """
        wrong = wrong_files(self.folder, self.manifest)
        if wrong and set(wrong) <= set(rewritten := with_other_line_ends(self.folder, self.manifest)):
            raise DamagedBundleError(f"{line_ends_advice(self.folder, rewritten)}.", "Or deploy again.")
        if wrong:
            raise DamagedBundleError(
                f"{', '.join(wrong)} in {self.folder}: missing, or the hash differs from the manifest.",
                "Deploy again.",
            )

    def infer(self, inputs: Tensor) -> Tensor | None:
        """Logits of the model, computed by the device if it is available, else emulated by its backend if possible.

        Args:
            inputs: Normalised inputs, float32, shape (n, 3, resolution, resolution).

        Returns:
            Logits, shape (n, classes); None if nothing on this machine runs the file.
        """
        compiled = self.compiled if self.presence.available else None
        return infer(self.backend, self.device, self.artifact, compiled, inputs)


def io_of(manifest: dict[str, Any]) -> str:
    """The numbers of input and output of a deployment's file, as in `nagsdk.device.description.Device`."""
    numbers = (manifest.get("integers") or {}).get("input") or {}
    return str(numbers["type"]) if numbers.get("type") in SHIFTS else FLOAT


def wrong_files(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """Names of the files that are missing or do not have the hash of the manifest."""
    return [name for name, record in pinned_files(manifest).items() if not is_pinned(folder / name, record)]
