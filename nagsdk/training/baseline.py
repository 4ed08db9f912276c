"""Plain networks that are trained alone on the same images, as long as the supernet was: what anybody would have."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor, nn
from torch.nn import functional

from nagsdk.events import Listener, ignore, stage
from nagsdk.families.torch_scope import seeded
from nagsdk.images.batches import Batches
from nagsdk.manifest.task_schema import NetworkRecord
from nagsdk.networks.catalogue import NETWORKS
from nagsdk.supernet.evaluate import Pictures, labelled_logits, wilson
from nagsdk.supernet.processes import torch_device
from nagsdk.supernet.recalibrate import recalibrate
from nagsdk.training.reference import ReferenceNetwork

REFERENCE = "mobilenet_v3_small"
PLAIN_NETWORKS = 2
_DECAY, _SMOOTHING, _WARMUP = 0.02, 0.1, 0.05


def reference_network(classes: int, seed: int) -> ReferenceNetwork:
    """The well-known network, with random weights."""
    with seeded(seed):
        return ReferenceNetwork(NETWORKS[REFERENCE].build(), classes)


def train_alone(
    network: nn.Module,
    batches: Batches,
    resolution: int,
    seconds: float,
    rate: float,
    title: str,
    on_event: Listener = ignore,
) -> int:
    """Trains one network in place for a time, with AdamW, label smoothing and a cosine schedule over that time.

    Args:
        network: The network.
        batches: Training data; see `Batches`.
        resolution: Side of the images.
        seconds: For so long; one step at least.
        rate: Peak learning rate.
        title: Name of the stage that is reported.
        on_event: Receives progress.

    Returns:
        The number of steps.
    """
    device = torch_device()
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=_DECAY)
    began, step, passed = time.monotonic(), 0, 0.0
    with stage(on_event, title, 100) as advance:
        while passed < 1 or not step:
            for group in optimizer.param_groups:
                group["lr"] = rate * max(1e-3, min(passed / _WARMUP, 0.5 * (1 + math.cos(math.pi * min(passed, 1)))))
            images, labels = batches(step, resolution)
            loss = functional.cross_entropy(network(images.to(device)), labels.to(device), label_smoothing=_SMOOTHING)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            step += 1
            passed = (time.monotonic() - began) / max(seconds, 1e-9)
            advance(min(100, int(100 * passed)), f"{title}: step {step}, loss {loss.item():.3f}")
    return step


def record_of(name: str, macs: int, network: nn.Module, recalibration: Tensor, pictures: Pictures) -> NetworkRecord:
    """Measures a network that was trained alone, with batch normalisation recalibrated as that of subnets is."""
    recalibrate(network, recalibration)
    logits, labels = labelled_logits(network, pictures)
    return network_record(name, macs, float((logits.argmax(1) == labels).mean()), len(labels))


def network_record(name: str, macs: int, share: float, images: int) -> NetworkRecord:
    """The record of a network that knows a share of so many test images."""
    low, high = wilson(share, images)
    return NetworkRecord(
        name=name, macs=macs, top1=100 * share, top1_low=max(0.0, 100 * low), top1_high=min(100.0, 100 * high)
    )
