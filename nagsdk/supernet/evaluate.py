"""Measured accuracy of subnets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nagsdk.events import Listener, ignore, stage
from nagsdk.families.protocol import Supernet
from nagsdk.space.architecture import Architecture
from nagsdk.supernet.processes import Ranks, torch_device
from nagsdk.supernet.recalibrate import recalibrate

Pictures = Iterable[tuple[Tensor, Tensor]]


@torch.no_grad()
def top1(subnet: nn.Module, pictures: Pictures) -> float:
    """Share of images whose most likely class is the right one, in percent.

    Args:
        subnet: In eval mode.
        pictures: Batches of normalised images, float32, shape (n, 3, h, w), and labels, int64, shape (n,).
    """
    where = next(subnet.parameters(), torch.empty(0)).device
    right = count = 0
    for images, labels in pictures:
        right += int((subnet(images.to(where)).argmax(1).cpu() == labels).sum())
        count += len(labels)
    return 100.0 * right / count


def wilson(share: float, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share observed on `count` independent trials (Wilson, 1927).

    Args:
        share: Observed, 0 to 1.
        count: Trials, at least 1.
        confidence: Of the two-sided interval.

    Returns:
        Its ends, 0 to 1.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    centre = share + z * z / (2 * count)
    reach = z * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    scale = 1 + z * z / count
    return (centre - reach) / scale, (centre + reach) / scale


def measure(
    supernet: Supernet,
    architectures: Sequence[Architecture],
    recalibration: Callable[[int], Sequence[Tensor]],
    validation: Callable[[int], Pictures],
    on_event: Listener = ignore,
    ranks: Ranks | None = None,
) -> NDArray[np.float64]:
    """Top-1 of many subnets, each with statistics of batch normalisation of its own; on a GPU where there is one.

    Args:
        supernet: Where the weights come from.
        architectures: What to measure.
        recalibration: Resolution to normalised batches; see `recalibrate`.
        validation: Resolution to labelled batches; see `top1`. It may be asked for several times.
        on_event: Listener of progress.
        ranks: Processes that share the work.

    Returns:
        Percent, shape (architectures,), in their order; the same in every process.
    """
    ranks = ranks or Ranks()
    where = torch_device()
    result = np.zeros(len(architectures))
    # One resolution after the other: only the pictures of one are held at a time.
    order = sorted(range(len(architectures)), key=lambda i: architectures[i].resolution)[ranks.rank :: ranks.count]
    ready: tuple[int, Sequence[Tensor], Pictures] | None = None
    with stage(on_event, "Measuring subnets", len(order)) as advance:
        for done, index in enumerate(order, 1):
            resolution = architectures[index].resolution
            if ready is None or ready[0] != resolution:
                ready = resolution, recalibration(resolution), validation(resolution)
            subnet = supernet.extract(architectures[index]).to(where)
            subnet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            recalibrate(subnet, (images.to(where) for images in ready[1]))
            subnet.fold()
            result[index] = top1(subnet, ready[2])
            advance(done, f"{done} of {len(order)} subnets")
    return ranks.sum(result)
