"""Measures how much accuracy a bundle's subnets lose in int8, by each scheme."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nagsdk.errors import DataError, UnsupportedLayerError
from nagsdk.events import Listener, Notice, ignore, stage
from nagsdk.families.protocol import Supernet
from nagsdk.families.space import NetworkSpace
from nagsdk.graph.schemes import SCHEMES
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
        space: See `integer_losses`.
        supernet: See `integer_losses`.
        recalibration: See `integer_losses`.
        shown: See `integer_losses`.
        count: See `integer_losses`.
        seed: See `integer_losses`.
        on_event: See `integer_losses`.
        subnets: See `integer_losses`; 0 measures nothing.
    """
    if not subnets:
        return {}
    try:
        found = integer_losses(space, supernet, recalibration, shown, count, seed, on_event, subnets)
        return {LOSSES: {name: loss.to_dict() for name, loss in found.items()}}
    except (DataError, UnsupportedLayerError) as error:
        on_event(Notice(f"What networks lose in int8 is not known: {error.message}", warning=True))
        return {}


def integer_losses(
    space: NetworkSpace,
    supernet: Supernet,
    recalibration: Callable[[int], Tensor],
    shown: Callable[[int], Pictures],
    count: int,
    seed: int = 0,
    on_event: Listener = ignore,
    subnets: int = SUBNETS,
) -> dict[str, Loss]:
    """Measures subnets from all over the space in float32 and with the integers of every scheme, on the same images.

    Args:
        space: The search space.
        supernet: Source of the weights.
        recalibration: Maps a resolution to normalised images, from which ranges are taken too.
        shown: Maps a resolution to the labelled batches to measure on.
        count: Number of images in these batches.
        seed: Seed of the choice of subnets.
        on_event: Receives the progress.
        subnets: Number of subnets to measure.

    Returns:
        The loss of each scheme, by its name.
    """
    from nagsdk.graph.integers import approximated
    from nagsdk.graph.trace import trace
    from nagsdk.supernet.recalibrate import recalibrate

    losses = []
    architectures = space.decode(space.sample(subnets, np.random.default_rng(seed)))
    with stage(on_event, "Measuring the loss in int8", subnets) as progress, torch.no_grad():
        for number, architecture in enumerate(architectures):
            calibration = recalibration(architecture.resolution)
            subnet = supernet.extract(architecture)
            recalibrate(subnet, calibration)
            graph = trace(subnet, architecture.resolution)
            # Schemes that differ in layers which the network has not are computed once.
            effective = [scheme.in_effect(graph) for scheme in SCHEMES]
            seen = calibration.contiguous().numpy()
            made = {scheme: scheme.quantised(graph, seen) for scheme in dict.fromkeys(effective)}
            lost = dict.fromkeys(made, 0)
            for images, labels in shown(architecture.resolution):
                right = int((subnet(images).argmax(1) == labels).sum())
                for scheme, integers in made.items():
                    lost[scheme] += right - int((approximated(integers, images).argmax(1) == labels).sum())
            losses.append([100 * lost[scheme] / count for scheme in effective])
            progress(number + 1, architecture.text)
    source = f"{subnets} subnets, {count} images"
    columns = zip(SCHEMES, np.array(losses).T, strict=True)
    # Answers that differ for reasons of the runtime gain and lose by chance.
    return {
        scheme.name: Loss.measured(column, source, 100 * math.sqrt(scheme.unlike / count)) for scheme, column in columns
    }
