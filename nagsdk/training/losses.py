"""Measures how much accuracy a bundle's subnets lose in int8."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from nagsdk.bundle.bundle import Bundle
from nagsdk.events import Listener, ignore, stage
from nagsdk.predictor.losses import SUBNETS, Loss

if TYPE_CHECKING:
    from nagsdk.training.source import Source


def integer_loss(bundle: Bundle, source: Source, part: str = "val", seed: int = 0, on_event: Listener = ignore) -> Loss:
    """Measures subnets from all over the space in float32 and with integers, on the same images.

    Args:
        bundle: The bundle.
        source: Its images.
        part: The part of the images to measure on.
        seed: Seed of the choice of subnets.
        on_event: Receives the progress.
    """
    from nagsdk.graph.integer_passes import without_hard_functions
    from nagsdk.graph.integers import approximated, integer_graph
    from nagsdk.graph.trace import trace
    from nagsdk.supernet.recalibrate import recalibrate

    space, losses = bundle.space, []
    architectures = space.decode(space.sample(SUBNETS, np.random.default_rng(seed)))
    with stage(on_event, "Measuring the loss in int8", SUBNETS) as progress, torch.no_grad():
        for number, architecture in enumerate(architectures):
            calibration = source.recalibration(architecture.resolution)
            subnet = bundle.supernet.extract(architecture)
            recalibrate(subnet, calibration)
            graph = without_hard_functions(trace(subnet, architecture.resolution))
            made = integer_graph(graph, calibration.contiguous().numpy())
            right = np.zeros(2)
            for images, labels in source.shown(part)(architecture.resolution):
                for kind, logits in enumerate((subnet(images), approximated(made, images))):
                    right[kind] += int((logits.argmax(1) == labels).sum())
            losses.append(100 * float(right[0] - right[1]) / source.count(part))
            progress(number + 1, architecture.text)
    return Loss.measured(losses, f"{SUBNETS} subnets, {source.count(part)} images, per-channel weights, min-max ranges")
