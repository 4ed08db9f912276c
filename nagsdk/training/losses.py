"""Measures how much accuracy a bundle's subnets lose in int8."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from nagsdk.events import Listener, ignore, stage
from nagsdk.families.protocol import Supernet
from nagsdk.families.space import NetworkSpace
from nagsdk.predictor.losses import SUBNETS, Loss
from nagsdk.supernet.evaluate import Pictures


def integer_loss(
    space: NetworkSpace,
    supernet: Supernet,
    recalibration: Callable[[int], Tensor],
    shown: Callable[[int], Pictures],
    count: int,
    seed: int = 0,
    on_event: Listener = ignore,
) -> Loss:
    """Measures subnets from all over the space in float32 and with integers, on the same images.

    Args:
        space: The search space.
        supernet: Source of the weights.
        recalibration: Maps a resolution to normalised images, from which ranges are taken too.
        shown: Maps a resolution to the labelled batches to measure on.
        count: Number of images in these batches.
        seed: Seed of the choice of subnets.
        on_event: Receives the progress.
    """
    from nagsdk.graph.integer_passes import without_hard_functions
    from nagsdk.graph.integers import approximated, integer_graph
    from nagsdk.graph.trace import trace
    from nagsdk.supernet.recalibrate import recalibrate

    losses = []
    architectures = space.decode(space.sample(SUBNETS, np.random.default_rng(seed)))
    with stage(on_event, "Measuring the loss in int8", SUBNETS) as progress, torch.no_grad():
        for number, architecture in enumerate(architectures):
            calibration = recalibration(architecture.resolution)
            subnet = supernet.extract(architecture)
            recalibrate(subnet, calibration)
            graph = without_hard_functions(trace(subnet, architecture.resolution))
            made = integer_graph(graph, calibration.contiguous().numpy())
            right = np.zeros(2)
            for images, labels in shown(architecture.resolution):
                for kind, logits in enumerate((subnet(images), approximated(made, images))):
                    right[kind] += int((logits.argmax(1) == labels).sum())
            losses.append(100 * float(right[0] - right[1]) / count)
            progress(number + 1, architecture.text)
    return Loss.measured(losses, f"{SUBNETS} subnets, {count} images, per-channel weights, min-max ranges")
