"""Measures how much accuracy a bundle's subnets lose in int8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nagsdk.errors import DataError, UnsupportedLayerError
from nagsdk.events import Listener, Notice, ignore, stage
from nagsdk.families.protocol import Supernet
from nagsdk.families.space import NetworkSpace
from nagsdk.predictor.losses import LOSSES, SUBNETS, Loss
from nagsdk.supernet.evaluate import Pictures

# Of the validation images of a training; more would make the loss no more certain than networks differ.
LOSS_IMAGES = 2560


def card_of_losses(
    space: NetworkSpace,
    supernet: Supernet,
    recalibration: Callable[[int], Tensor],
    shown: Callable[[int], Pictures],
    count: int,
    seed: int = 0,
    on_event: Listener = ignore,
    subnets: int = SUBNETS,
) -> dict[str, Any]:
    """The entry of a predictor's card with the loss in int8; empty, with a notice, if networks have no integer form.

    Args:
        space: See `integer_loss`.
        supernet: See `integer_loss`.
        recalibration: See `integer_loss`.
        shown: See `integer_loss`.
        count: See `integer_loss`.
        seed: See `integer_loss`.
        on_event: See `integer_loss`.
        subnets: See `integer_loss`; 0 measures nothing.
    """
    if not subnets:
        return {}
    try:
        found = integer_loss(space, supernet, recalibration, shown, count, seed, on_event, subnets)
        return {LOSSES: {"int8": found.to_dict()}}
    except (DataError, UnsupportedLayerError) as error:
        on_event(Notice(f"What networks lose in int8 is not known: {error.message}", warning=True))
        return {}


def integer_loss(
    space: NetworkSpace,
    supernet: Supernet,
    recalibration: Callable[[int], Tensor],
    shown: Callable[[int], Pictures],
    count: int,
    seed: int = 0,
    on_event: Listener = ignore,
    subnets: int = SUBNETS,
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
        subnets: Number of subnets to measure.
    """
    from nagsdk.graph.integer_passes import without_hard_functions
    from nagsdk.graph.integers import approximated, integer_graph
    from nagsdk.graph.trace import trace
    from nagsdk.supernet.recalibrate import recalibrate

    losses = []
    architectures = space.decode(space.sample(subnets, np.random.default_rng(seed)))
    with stage(on_event, "Measuring the loss in int8", subnets) as progress, torch.no_grad():
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
    return Loss.measured(losses, f"{subnets} subnets, {count} images, per-channel weights, min-max ranges")
