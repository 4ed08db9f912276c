"""Measures the accuracy of subnets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nagsdk.common.memory import memory_kept
from nagsdk.events import Listener, ignore, stage
from nagsdk.families.protocol import Subnet, Supernet
from nagsdk.space.architecture import Architecture
from nagsdk.supernet.processes import Ranks, torch_device
from nagsdk.supernet.recalibrate import recalibrate

Pictures = Iterable[tuple[Tensor, Tensor]]


@torch.no_grad()
def top1(subnet: nn.Module, pictures: Pictures) -> float:
    """Computes the top-1 accuracy in percent: the share of images whose most likely class is the correct one.

    Args:
        subnet: Network in eval mode.
        pictures: Batches of normalised images, float32, shape (n, 3, h, w), and labels, int64, shape (n,).
    """
    device = next(subnet.parameters(), torch.empty(0)).device
    correct = count = 0
    for images, labels in pictures:
        correct += int((subnet(images.to(device)).argmax(1).cpu() == labels).sum())
        count += len(labels)
    return 100.0 * correct / count


@torch.no_grad()
def outputs(subnet: nn.Module, inputs: NDArray[np.float32], batch: int = 64) -> NDArray[np.float32]:
    """Computes the logits of a network, shape (n, classes).

    Args:
        subnet: Network in eval mode.
        inputs: Normalised images, shape (n, 3, h, w).
        batch: Number of images that are computed together.
    """
    parts = [subnet(torch.from_numpy(inputs[start : start + batch])) for start in range(0, len(inputs), batch)]
    logits: NDArray[np.float32] = torch.cat(parts).numpy()
    return logits


@torch.no_grad()
def logits_of(
    supernet: Supernet, architecture: Architecture, recalibration: Tensor, pictures: Pictures
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Computes the logits of one subnet for labelled images, as `measure` does.

    Args:
        supernet: Source of the weights.
        architecture: The architecture.
        recalibration: Normalised images; see `recalibrate`.
        pictures: Labelled batches; see `top1`.

    Returns:
        Logits, shape (n, classes), and labels, shape (n,).
    """
    subnet = prepared(supernet.extract(architecture), recalibration)
    return labelled_logits(subnet, pictures)


def prepared(subnet: Subnet, recalibration: Tensor) -> Subnet:
    """Recalibrates the batch normalisation of a subnet and folds it, on a GPU if available."""
    subnet.to(torch_device())
    recalibrate(subnet, recalibration)
    subnet.fold()
    return subnet


@torch.no_grad()
def labelled_logits(network: nn.Module, pictures: Pictures) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Computes the logits of a network in eval mode for labelled batches, and returns them with the labels."""
    device = next(network.parameters(), torch.empty(0)).device
    found = [(network(images.to(device)).cpu(), labels) for images, labels in pictures]
    logits, labels = (torch.cat(parts).numpy() for parts in zip(*found, strict=True))
    return logits, labels


def wilson(share: float, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Computes the confidence interval of a share observed in `count` independent trials (Wilson, 1927).

    Args:
        share: Observed share, 0 to 1.
        count: Number of trials, at least 1.
        confidence: Confidence of the two-sided interval.

    Returns:
        Lower and upper end of the interval, 0 to 1.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    centre = share + z * z / (2 * count)
    reach = z * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    scale = 1 + z * z / count
    return (centre - reach) / scale, (centre + reach) / scale


@memory_kept()
def measure(
    supernet: Supernet,
    architectures: Sequence[Architecture],
    recalibration: Callable[[int], Tensor],
    validation: Callable[[int], Pictures],
    on_event: Listener = ignore,
    ranks: Ranks | None = None,
) -> NDArray[np.float64]:
    """Measures the top-1 of many subnets after recalibrating the batch normalisation of each; uses a GPU if available.

    Args:
        supernet: Source of the weights.
        architectures: Architectures to measure.
        recalibration: Maps a resolution to normalised images; see `recalibrate`.
        validation: Maps a resolution to labelled batches, which are iterated several times; see `top1`.
        on_event: Receives progress.
        ranks: Processes that share the work.

    Returns:
        Top-1 in percent, shape (architectures,), in the given order; the same in every process.
    """
    ranks = ranks or Ranks()
    result = np.zeros(len(architectures))
    # Sorted by resolution, so that only the images of one resolution are in memory at a time.
    order = sorted(range(len(architectures)), key=lambda i: architectures[i].resolution)[ranks.rank :: ranks.count]
    ready: tuple[int, Tensor, Pictures] | None = None
    with stage(on_event, "Measuring subnets", len(order)) as advance:
        for done, index in enumerate(order, 1):
            resolution = architectures[index].resolution
            if ready is None or ready[0] != resolution:
                ready = resolution, recalibration(resolution), validation(resolution)
            result[index] = top1(prepared(supernet.extract(architectures[index]), ready[1]), ready[2])
            advance(done, f"Measuring subnet {done} of {len(order)}")
    return ranks.sum(result)
