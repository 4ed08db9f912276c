"""Content hashes of the inputs of a declared deployment; the times of files do not matter."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from nagsdk.bundle.bundle import RECALIBRATION_IMAGES, bundle_at_hand
from nagsdk.bundle.imported import SUPERNET_WEIGHTS
from nagsdk.bundle.names import DESCRIPTION
from nagsdk.common.files import sha256
from nagsdk.common.folders import shipped
from nagsdk.device.description import Device, read_device
from nagsdk.errors import UsageError
from nagsdk.images.entries import image_files
from nagsdk.project.lock import Inputs
from nagsdk.project.toml import Declared


def inputs_of(declared: Declared) -> Inputs:
    """Hashes the inputs of a deployment.

    Calibrations, priors and the version of nagsdk are not inputs: a file that was measured and held its budget still
    holds it when they change. The output folder is not an input either.

    Raises:
        UnknownNameError: There is no such device.
        NagsdkError: The description of the device or the bundle cannot be read.
    """
    bundle = bundle_at_hand(declared.arguments["bundle"])
    device, images = device_of(declared.arguments["device"]), declared.arguments["images"]
    model = declared.arguments["model"]
    if model is not None:
        weights = sha256(Path(model)) if Path(model).is_file() else None
    elif bundle is None or SUPERNET_WEIGHTS in bundle.description.files or not bundle.has_weights:
        weights = None
    else:
        weights = bundle.weights_sha256
    described = {name: getattr(device, name) for name in ("id", "backend", "threads", "batch", "precision", "options")}
    if device.io:  # descriptions without it have the hash of earlier lock files
        described["io"] = device.io
    return Inputs(
        options=declared.options,
        device=hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest(),
        bundle=None if bundle is None else sha256(bundle.folder / DESCRIPTION),
        weights=weights,
        images=_images(Path(images)) if images is not None and Path(images).is_dir() else None,
    )


def changed(pinned: Inputs, now: Inputs) -> list[str]:
    """Names of the inputs that differ from the pinned ones.

    Bundle, weights (also those of a finished network) and images are only compared if they are on this machine: a
    machine that takes artifacts by their hash needs none of them.
    """
    names = [name for name, value in now.options.items() if pinned.options.get(name) != value]
    names += ["device"] if pinned.device != now.device else []
    names += [
        name for name in ("bundle", "weights", "images") if getattr(now, name) not in (None, getattr(pinned, name))
    ]
    return list(dict.fromkeys(names))


def device_of(name: str) -> Device:
    """The description of a declared device.

    Raises:
        UnknownNameError: There is no such device.
        UsageError: The description names the address of a phone.
        NagsdkError: It cannot be read.
    """
    if name.endswith(".toml"):
        device = read_device(Path(name))
        if ":" in dict(device.options).get("serial", ""):
            raise UsageError(
                f"{name} names the address of a phone, which a project's file must not choose.",
                "Give the address in ANDROID_SERIAL, and remove the option serial.",
            )
        return device
    for path in sorted(shipped("devices").glob("*.toml")):
        device = read_device(path)
        if name.lower() in (device.id, *device.aliases):
            return device
    # Plugins are loaded only if necessary, since that takes longer than everything else in this module.
    from nagsdk.plugin.host import host

    return host().devices.get(name)


def _images(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in image_files(folder, RECALIBRATION_IMAGES):
        digest.update(bytes.fromhex(sha256(path)))
    return digest.hexdigest()
