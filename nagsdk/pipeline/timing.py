"""Times artifacts on a target's device, beside a reference network that shows how fast the device runs now."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from nagsdk.calibration.references import most_expensive_architecture, reference_architecture
from nagsdk.common.temporary import temporary_folder
from nagsdk.device.description import Device
from nagsdk.device.reconnecting import reconnecting
from nagsdk.events import Notice
from nagsdk.measuring.key import MeasurementKey
from nagsdk.measuring.measure import Contest, measure, measure_together
from nagsdk.measuring.measurement import Measurement, Reading
from nagsdk.measuring.protocol import Protocol
from nagsdk.measuring.rewrites import RewriteChoice, keep_choice
from nagsdk.measuring.store import Kept
from nagsdk.pipeline.models import calibrated_model
from nagsdk.pipeline.target import Target
from nagsdk.space.architecture import Architecture


def timing_artifact(target: Target, architecture: Architecture, folder: Path, device: Device | None = None) -> Path:
    """A compiled artifact with random weights, which take as long as trained ones.

    Args:
        target: Bundle and device.
        architecture: Architecture of the network.
        folder: Folder for the artifact; created if missing.
        device: Device to export for; the target's device if None.
    """
    from nagsdk.graph.integer_passes import fed_with
    from nagsdk.graph.trace import trace

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{architecture.hash}{target.backend.suffix}"
    subnet, device = target.bundle.space.build(architecture).eval(), device or target.device
    target.backend.export(fed_with(trace(subnet, architecture.resolution, device.batch), device.io), path, device)
    return target.backend.compile(path, device, folder)


def _reference(target: Target, folder: Path) -> Path:
    """The compiled reference network; made only once, since compiling may take minutes, unless its folder is gone."""

    def make() -> Path:
        return timing_artifact(target, reference_architecture(target.bundle.space, target.costs.supported), folder)

    if not target.keep("compiled reference", make).is_file():
        target.forget("compiled reference")
    return target.keep("compiled reference", make)


def time_artifacts(
    target: Target, compiled: Mapping[str, Path], folder: Path, protocol: Protocol | None = None
) -> dict[str, Measurement]:
    """Measures compiled artifacts in one fresh session and stores every reading.

    Args:
        target: Bundle and device.
        compiled: Artifacts by the text form of their architectures.
        folder: Folder in which the reference network is built.
        protocol: How to time; the target's protocol if None.

    Raises:
        DeviceError: The device failed or was busy.
    """
    return time_together([(target, compiled, folder)], protocol)[0]


def time_together(
    jobs: Sequence[tuple[Target, Mapping[str, Path], Path]], protocol: Protocol | None = None
) -> list[dict[str, Measurement]]:
    """Measures compiled artifacts of several arms of one device in turns; see `time_artifacts`.

    Args:
        jobs: For each arm its target, artifacts by the text form of their architectures, and a folder of its own in
            which its reference network is built.
        protocol: How to time; the first target's protocol if None.

    Raises:
        DeviceError: The device failed or was busy.
    """
    first = jobs[0][0]
    chosen = protocol or first.protocol
    references = [_reference(target, folder) for target, _, folder in jobs]
    return reconnecting(lambda: _session(jobs, references, chosen), first.on_event)


def _session(
    jobs: Sequence[tuple[Target, Mapping[str, Path], Path]], references: Sequence[Path], protocol: Protocol
) -> list[dict[str, Measurement]]:
    # In the same order in every process, so that no two of them wait for each other.
    lockable = {target.presence.fingerprint: target for target, _, _ in jobs}
    with ExitStack() as stack:
        for _, target in sorted(lockable.items()):
            stack.enter_context(target.locked())
        contests = []
        for (target, compiled, _), reference in zip(jobs, references, strict=True):
            calibrated = calibrated_model(target)
            contests.append(
                Contest(
                    stack.enter_context(target.backend.open(target.device)),
                    compiled,
                    reference,
                    None if calibrated is None else calibrated.facts.get("reference_ms"),
                    target.presence.properties,
                    keeper(target, protocol),
                )
            )
        return measure_together(contests, protocol, on_event=jobs[0][0].on_event)


def keeper(target: Target, protocol: Protocol) -> Callable[[str, Reading], None]:
    """A function that stores readings of one session, with the text forms of their architectures."""
    key, session = MeasurementKey.of(target.device, target.presence, protocol), uuid.uuid4().hex

    def keep(name: str, reading: Reading) -> None:
        target.store.add(Kept(key, name, reading, session))

    return keep


def glance(target: Target, folder: Path) -> Measurement:
    """A short measurement of the reference network.

    Args:
        target: Bundle and device.
        folder: Folder in which the reference network is built.

    Raises:
        DeviceError: The device failed or was busy.
    """
    reference = reference_architecture(target.bundle.space, target.costs.supported)
    (found,) = time_artifacts(target, {reference.text: _reference(target, folder)}, folder, target.glance).values()
    return found


def pace_of(target: Target, folder: Path) -> float:
    """How many times longer networks take now than when the device was calibrated; see `Measurement.pace`.

    Args:
        target: Bundle and device.
        folder: Folder in which the reference network is built.

    Raises:
        DeviceError: The device failed or was busy.
    """
    return glance(target, folder).pace


def settle_rewrite(target: Target) -> None:
    """Measures once per device which of its backend's rewrites is the fastest, and uses it from then on.

    The probe is the most expensive architecture at the middle resolution. If all rewrites give the same file size, as
    in spaces without the layers in question, nothing is measured.

    Args:
        target: Bundle and device; its `rewrite` is set.

    Raises:
        DeviceError: The device failed or was busy.
    """
    if len(target.rewrites) < 2 or target.rewrite is not None:
        return
    probe = most_expensive_architecture(target.bundle.space, target.costs.supported)
    with temporary_folder() as folder:
        files = {
            name: timing_artifact(target, probe, folder / str(number), device)
            for number, (name, device) in enumerate(target.rewrites.items())
        }
        if len({path.stat().st_size for path in files.values()}) == 1:
            return
        target.on_event(
            Notice(f"Measuring which rewrite of graphs is fastest on {target.device.id}; the answer is stored.")
        )
        reference = _reference(target, folder)

        def time() -> dict[str, Measurement]:
            with target.locked(), target.backend.open(target.device) as session:
                return measure(session, files, reference, target.protocol, on_event=target.on_event)

        found = reconnecting(time, target.on_event)
    target.rewrite = RewriteChoice.of(probe.text, found)
    keep_choice(target.rewrite_file, target.rewrite)
    target.on_event(Notice(target.rewrite.told))
    target.write_as(target.rewrite.name)
