"""Fine-tunes one subnet on the labels and on the outputs of the largest network.

Method: Cai et al., Once-for-All, ICLR 2020; Hinton et al., 2015.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from nagsdk.events import Listener, ignore, stage
from nagsdk.families.protocol import Subnet
from nagsdk.images.batches import Batches
from nagsdk.supernet.recalibrate import recalibrate

RATE = 5e-4
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
    """Trains a subnet in place with AdamW and a cosine schedule.

    Args:
        subnet: Network to train, changed in place; it ends in eval mode with recalibrated batch normalisation.
        teacher: Network in eval mode. It sees the same crops at its own resolution, at which the largest network of a
            supernet was trained.
        batches: Training data; see `Batches`.
        steps: Number of weight updates.
        recalibration: Normalised images for batch normalisation; see `recalibrate`.
        rate: Peak learning rate.
        on_event: Receives progress.
    """
    subnet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(subnet.parameters(), lr=rate, weight_decay=_DECAY)
    rising = max(1, round(_WARMUP * steps))
    with stage(on_event, "Fine-tuning", steps) as advance:
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = rate * min((step + 1) / rising, 0.5 * (1 + math.cos(math.pi * step / steps)))
            images, labels = batches(step, subnet.architecture.resolution)
            with torch.no_grad():
                soft = teacher(batches(step, teacher.architecture.resolution)[0]).softmax(1)
            subnet.train()
            logits = subnet(images)
            loss = functional.cross_entropy(logits, labels, label_smoothing=_SMOOTHING) + functional.cross_entropy(
                logits, soft
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            advance(step + 1, f"Step {step + 1} of {steps}, loss {loss.item():.3f}")
    recalibrate(subnet, recalibration)
