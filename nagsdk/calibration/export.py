"""Exports networks with random weights for a calibration."""

from __future__ import annotations

import time
from pathlib import Path

from nagsdk.cost.model import LEAST_SAMPLES
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.events import Listener, ignore, stage
from nagsdk.families.space import NetworkSpace
from nagsdk.space.architecture import Architecture


def export_untrained(
    space: NetworkSpace,
    device: Device,
    backend: Backend,
    architectures: list[Architecture],
    folder: Path,
    seed: int,
    limit: float | None = None,
    on_event: Listener = ignore,
) -> dict[str, Path]:
    """Exports networks with random weights, which have the same latency as trained ones.

    Args:
        space: Search space of the architectures.
        device: The device to export for.
        backend: Exports and compiles for the device.
        architectures: The architectures to export.
        folder: Where to leave the files; created if missing.
        seed: Seed of the weights.
        limit: Value of `time.monotonic` after which no further network is exported, except the few that a fit needs.
        on_event: Receives the progress.

    Returns:
        Paths of the compiled artifacts by the text form of the architecture.
    """
    from nagsdk.families.torch_scope import seeded
    from nagsdk.graph.integer_passes import fed_with
    from nagsdk.graph.trace import trace

    folder.mkdir(parents=True, exist_ok=True)
    models = {}
    with stage(on_event, "Exporting", len(architectures)) as progress, seeded(seed):
        for number, architecture in enumerate(architectures):
            if limit is not None and number > LEAST_SAMPLES and time.monotonic() > limit:
                break
            path = folder / f"{architecture.hash}{backend.suffix}"
            graph = trace(space.build(architecture).eval(), architecture.resolution, device.batch)
            backend.export(fed_with(graph, device.io), path, device)
            models[architecture.text] = backend.compile(path, device, folder)
            progress(number + 1, f"Exporting network {number + 1} of {len(architectures)}")
    return models
