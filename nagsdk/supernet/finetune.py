"""Fine-tunes one subnet on the labels and on the outputs of the largest network.

Method: Cai et al., Once-for-All, ICLR 2020; Hinton et al., 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from nagsdk.events import Listener, ignore, stage
from nagsdk.families.protocol import Subnet
from nagsdk.graph.integers import IntegerGraph
from nagsdk.graph.trainable import TrainableGraph
from nagsdk.images.batches import Batches
from nagsdk.supernet.processes import torch_device
from nagsdk.supernet.recalibrate import recalibrate

RATE, INTEGER_RATE = 5e-4, 1e-4
_DECAY, _SMOOTHING, _WARMUP = 0.02, 0.05, 0.05


def finetune(
    subnet: Subnet,
    teacher: Subnet,
    batches: Batches,
    steps: int,
    recalibration: Tensor,
    rate: float = RATE,
    on_event: Listener = ignore,
) -> None:
    """Trains a subnet in place with AdamW and a cosine schedule; uses a GPU if available.

    Args:
        subnet: Network to train, changed in place; it ends on the CPU, in eval mode, with recalibrated batch
            normalisation.
        teacher: Network in eval mode. It sees the same crops at its own resolution, at which the largest network of a
            supernet was trained.
        batches: Training data; see `Batches`.
        steps: Number of weight updates.
        recalibration: Normalised images for batch normalisation; see `recalibrate`.
        rate: Peak learning rate.
        on_event: Receives progress.
    """
    where = torch_device()
    subnet.to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    resolution = subnet.architecture.resolution
    _train(subnet, resolution, teacher.to(where), batches, range(steps), rate, "Fine-tuning", on_event)
    # The file is made and checked on the CPU, from statistics that were computed there.
    recalibrate(subnet.cpu(), recalibration)


def finetune_integers(
    graph: IntegerGraph,
    teacher: Subnet,
    batches: Batches,
    steps: range,
    fed: Callable[[Tensor], Tensor] = lambda images: images,
    rate: float = INTEGER_RATE,
    on_event: Listener = ignore,
) -> IntegerGraph:
    """Trains the weights of a network in integers, which rounds in training as its file does; its ranges stay.

    Gradients pass the rounding unchanged (the straight-through estimator of Bengio et al., 2013). A GPU is used if
    available.

    Args:
        graph: The network in integers, made of a trained one.
        teacher: See `finetune`.
        batches: See `finetune`.
        steps: Numbers of the weight updates.
        fed: Turns normalised images into what the file is fed with.
        rate: Peak learning rate.
        on_event: Receives progress.
    """
    where = torch_device()
    network = TrainableGraph(graph).to(where)
    resolution = graph.input_shape[-1]
    _train(network, resolution, teacher.to(where), batches, steps, rate, "Fine-tuning in integers", on_event, fed)
    return network.cpu().trained()


def _train(
    network: nn.Module,
    resolution: int,
    teacher: Subnet,
    batches: Batches,
    steps: range,
    rate: float,
    title: str,
    on_event: Listener,
    fed: Callable[[Tensor], Tensor] = lambda images: images,
) -> None:
    where = next(network.parameters()).device
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=_DECAY)
    count = len(steps)
    rising = max(1, round(_WARMUP * count))
    with stage(on_event, title, count) as advance:
        for done, step in enumerate(steps):
            for group in optimizer.param_groups:
                group["lr"] = rate * min((done + 1) / rising, 0.5 * (1 + math.cos(math.pi * done / count)))
            images, labels = batches(step, resolution)
            with torch.no_grad():
                soft = teacher(batches(step, teacher.architecture.resolution)[0].to(where)).softmax(1)
            network.train()
            logits, labels = network(fed(images).to(where)), labels.to(where)
            loss = functional.cross_entropy(logits, labels, label_smoothing=_SMOOTHING) + functional.cross_entropy(
                logits, soft
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            advance(done + 1, f"Step {done + 1} of {count}, loss {loss.item():.3f}")
