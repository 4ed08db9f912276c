"""Timing artifacts on a target's device, beside a reference network that shows how fast the device runs now."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

from nagsdk.calibration.references import most_expensive_architecture, reference_architecture
from nagsdk.device.description import Device
from nagsdk.events import Notice
from nagsdk.measuring.key import MeasurementKey
from nagsdk.measuring.measure import measure
from nagsdk.measuring.measurement import Measurement
from nagsdk.measuring.protocol import Protocol
from nagsdk.measuring.rewrites import RewriteChoice, keep_choice
from nagsdk.measuring.store import Kept
from nagsdk.pipeline.models import calibrated_model
from nagsdk.pipeline.target import Target
from nagsdk.space.architecture import Architecture


def timing_artifact(target: Target, architecture: Architecture, folder: Path, device: Device | None = None) -> Path:
    """A compiled artifact with random weights, which cost as much time as trained ones.

    Args:
        target: Bundle and device.
        architecture: Of the network.
        folder: Where to leave it; made where missing.
        device: What to write it for; the target's device where None.
    """
    from nagsdk.graph.trace import trace

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{architecture.hash}{target.backend.suffix}"
    subnet, device = target.bundle.space.build(architecture).eval(), device or target.device
    target.backend.export(trace(subnet, architecture.resolution, device.batch), path, device)
    return target.backend.compile(path, device, folder)


def _reference(target: Target, folder: Path) -> Path:
    """The compiled reference network: made once, because compiling may take minutes, unless the folder that holds it is gone."""

    def make() -> Path:
        return timing_artifact(target, reference_architecture(target.bundle.space, target.costs.supported), folder)

    if not target.keep("compiled reference", make).is_file():
        target.forget("compiled reference")
    return target.keep("compiled reference", make)


def time_artifacts(
    target: Target, compiled: Mapping[str, Path], folder: Path, protocol: Protocol | None = None
) -> dict[str, Measurement]:
    """Measures compiled artifacts in one fresh session and keeps every reading.

    Args:
        target: Bundle and device.
        compiled: Artifacts by the text form of their architectures.
        folder: Where the reference network is built.
        protocol: How to time; the target's own protocol where None.

    Raises:
        DeviceError: The device failed or was busy.
    """
    reference = _reference(target, folder)
    calibrated = calibrated_model(target)
    protocol = protocol or target.protocol
    key, connection = MeasurementKey.of(target.device, target.presence, protocol), uuid.uuid4().hex
    with target.locked(), target.backend.open(target.device) as session:
        return measure(
            session,
            compiled,
            reference,
            protocol,
            reference_quiet_ms=None if calibrated is None else calibrated.facts.get("reference_ms"),
            environment=target.presence.properties,
            on_event=target.on_event,
            on_reading=lambda name, reading: target.store.add(Kept(key, name, reading, connection)),
        )


def pace_of(target: Target, folder: Path) -> float:
    """How much longer networks take now than when the device was calibrated; see `Measurement.pace`.

    Args:
        target: Bundle and device.
        folder: Where the reference network is built.

    Raises:
        DeviceError: The device failed or was busy.
    """
    reference = reference_architecture(target.bundle.space, target.costs.supported)
    (found,) = time_artifacts(target, {reference.text: _reference(target, folder)}, folder, target.glance).values()
    return found.pace


def settle_rewrite(target: Target) -> None:
    """Measures, once for a device, which of its backend's ways of writing a graph is the fastest, and uses it from then on.

    The probe is the most expensive architecture at the middle resolution. Where all ways write it equally, as in spaces without
    the layers in question, nothing is measured.

    Args:
        target: Bundle and device; its `rewrite` is set.

    Raises:
        DeviceError: The device failed or was busy.
    """
    if len(target.rewrites) < 2 or target.rewrite is not None:
        return
    probe = most_expensive_architecture(target.bundle.space, target.costs.supported)
    with tempfile.TemporaryDirectory(prefix="nagsdk-") as name:
        folder = Path(name)
        files = {
            way: timing_artifact(target, probe, folder / str(number), device)
            for number, (way, device) in enumerate(target.rewrites.items())
        }
        if len({path.stat().st_size for path in files.values()}) == 1:
            return
        target.on_event(Notice(f"Measuring how graphs are best written for {target.device.id}; the answer is kept."))
        reference = _reference(target, folder)
        with target.locked(), target.backend.open(target.device) as session:
            found = measure(session, files, reference, target.protocol, on_event=target.on_event)
    target.rewrite = RewriteChoice.of(probe.text, found)
    keep_choice(target.rewrite_file, target.rewrite)
    target.on_event(Notice(target.rewrite.told))
    target.write_as(target.rewrite.name)
