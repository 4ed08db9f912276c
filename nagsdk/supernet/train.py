"""Trains a supernet.

Methods: sandwich rule with in-place distillation (Yu et al., BigNAS, ECCV 2020), or progressive shrinking
(Once-for-All).
"""

from __future__ import annotations

import copy
import functools
import math
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nagsdk.errors import UsageError
from nagsdk.events import Advanced, Event, Finished, Listener, Notice, Started, ignore
from nagsdk.families.protocol import Supernet
from nagsdk.images.ahead import Ahead
from nagsdk.images.batches import Batches, classes_of
from nagsdk.space.space import Codes, SearchSpace, extremes
from nagsdk.supernet.nest import nest
from nagsdk.supernet.processes import Ranks
from nagsdk.supernet.recipe import TrainRecipe
from nagsdk.supernet.resume import Average, Identity, load_state, save_state
from nagsdk.supernet.validation import Best, Validation

TRAINING = "Training"
# From this share of the steps on, the learning rate is below half of its peak.
_LATE = 0.55


@dataclass(frozen=True)
class TrainAdvanced(Advanced):
    """Event after each training step.

    Attributes:
        loss_largest: Cross-entropy of the largest network, or of the smallest while it learns alone; in progressive
            shrinking, of the first subnet drawn.
        loss_smallest: Cross-entropy of the smallest network against the outputs of the largest; nan while one network
            learns alone. In progressive shrinking, of the last subnet drawn against the outputs of the teacher.
        top1_largest: Top-1 of the network of `loss_largest` on the batch, in percent.
        rate: Learning rate of the step.
        top1_validation: Top-1 of the largest network on the validation images, in percent, with the weights that the
            training would end with here; nan after steps in which it was not measured.
    """

    loss_largest: float = 0.0
    loss_smallest: float = 0.0
    top1_largest: float = 0.0
    rate: float = 0.0
    top1_validation: float = math.nan


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """Event after a checkpoint was written, with the number of steps done."""

    step: int = 0


def sandwich(space: SearchSpace, recipe: TrainRecipe, step: int) -> Codes:
    """Returns the codes that a step trains by the sandwich rule.

    In this order: the largest network at the highest resolution, random subnets at their own resolutions, and the
    smallest network at the lowest resolution. Where the smallest learns alone, it has a random resolution.
    """
    smallest, largest = extremes(space)
    if step < recipe.smallest_first:
        alone: Codes = smallest[None]
        alone[0, 0] = np.random.default_rng((recipe.seed, step)).integers(len(space.resolutions))
        return alone
    random = space.sample(recipe.random_subnets, np.random.default_rng((recipe.seed, step)))
    return largest[None] if step < recipe.largest_first else np.vstack([largest, random, smallest])


def subnets_of(space: SearchSpace, recipe: TrainRecipe, step: int) -> Codes:
    """Returns the codes that a step trains, in order.

    In progressive shrinking, all have the same resolution, at which the teacher runs too.
    """
    if recipe.opened is None:
        return sandwich(space, recipe, step)
    rng = np.random.default_rng((recipe.seed, step))
    codes = space.draw(recipe.opened, recipe.random_subnets, rng)
    codes[:, 0] = codes[0, 0]
    return codes


def train(
    supernet: Supernet,
    batches: Batches,
    recipe: TrainRecipe,
    on_event: Listener = ignore,
    checkpoint_dir: Path | None = None,
    ranks: Ranks | None = None,
    teacher: nn.Module | None = None,
    validation: Validation | None = None,
) -> None:
    """Trains a supernet in place and resumes from the last checkpoint if there is one.

    All random choices depend only on the recipe's seed and the step, so that a run that was killed and resumed ends
    with the same weights as one without interruption.

    Several processes average their gradients once per step, in one message. DistributedDataParallel is not used,
    because it expects one backward pass that reaches every weight; here there are several, and most subnets leave
    weights unused.

    Args:
        supernet: Supernet to train in place, on the torch device where it is.
        batches: Training data; see `Batches`. With several processes, each one gets its own part.
        recipe: Settings of the training.
        on_event: Receives `TrainAdvanced` after every step and `CheckpointSaved` after every checkpoint.
        checkpoint_dir: Folder of the checkpoints, the same for all processes; None stores none.
        ranks: Processes that train together.
        teacher: Network in eval mode; progressive shrinking needs it as soon as smaller choices are open.
        validation: Measures the largest network now and then; see `TrainRecipe.validate_every`.

    Raises:
        UsageError: The checkpoint belongs to another recipe or space, not all processes see it, or the training
            diverged.
        DamagedBundleError: The checkpoint is damaged.
    """
    ranks = ranks or Ranks()
    supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Machines with different processors round random weights differently.
    ranks.same_(list(supernet.parameters()))
    optimizer = optimizer_of(supernet, recipe)
    average = Average(supernet, recipe.ema) if recipe.ema else None
    best = Best(validation.count) if validation is not None and recipe.validate_every else None
    identity = Identity.of(supernet.space, recipe)
    start = load_state(checkpoint_dir, identity, supernet, optimizer, average, best) if checkpoint_dir else 0
    if ranks.sum(np.array([float(start)]))[0] != start * ranks.count:
        raise UsageError(
            f"Not every process sees the checkpoints in {checkpoint_dir}.", "Use a folder that all machines share."
        )
    if start == 0 and (recipe.sorts or recipe.smallest_first):
        if recipe.sorts:
            supernet.sort_channels()
        if recipe.smallest_first:
            nest(supernet)
        average = average and Average(supernet, recipe.ema)
    on_event(Started(TRAINING, recipe.steps))
    if start:
        on_event(Notice(f"Resumed after step {start}."))
    supernet.train()
    with ExitStack() as stack:
        if next(supernet.parameters()).is_cuda:
            # A GPU would wait for every batch; a processor that also computes the steps has no time to spare.
            batches = stack.enter_context(Ahead(batches, functools.partial(_resolutions, supernet.space, recipe)))
        for step in range(start, recipe.steps):
            if best is not None and recipe.ends_early and best.ended:
                break
            codes = subnets_of(supernet.space, recipe, step)
            advanced = train_step(supernet, optimizer, recipe, codes, batches, step, ranks, teacher)
            if not math.isfinite(advanced.loss_largest):
                on_event(advanced)
                restart = f"delete {checkpoint_dir.parent} and start again" if checkpoint_dir else "start again"
                raise UsageError(
                    f"The training diverged: after step {step} the loss is not a number.",
                    f"Use a smaller batch, which lowers the learning rate, and {restart}.",
                )
            if average:
                average.update(supernet, step)
            done = step + 1
            if best is not None and (done % recipe.validate_every == 0 or done == recipe.steps):
                assert validation is not None
                shown = copy.deepcopy(supernet)
                if average:
                    average.put_into(shown)
                advanced = replace(advanced, top1_validation=validation.measure(shown, ranks))
                best.see(shown, done, advanced.top1_validation, done > _LATE * recipe.steps)
            on_event(advanced)
            ends = done == recipe.steps or (best is not None and recipe.ends_early and best.ended)
            if checkpoint_dir and (done % recipe.checkpoint_every == 0 or ends):
                if ranks.first:
                    save_state(checkpoint_dir, identity, supernet, optimizer, average, done, best)
                ranks.wait()
                on_event(CheckpointSaved(f"Checkpoint after step {done}", done))
    if average:
        average.put_into(supernet)
    if best is not None and recipe.ends_early and best.overfitted:
        best.put_into(supernet)
        on_event(
            Notice(
                f"The largest network overfitted: on the validation images its top-1 was {best.top1:.1f} % after step "
                f"{best.step} and {best.last:.1f} % at the end. The weights of step {best.step} are kept."
            )
        )
    supernet.eval()
    on_event(Finished(TRAINING))


def _resolutions(space: SearchSpace, recipe: TrainRecipe, step: int) -> list[int]:
    """The resolutions at which a step needs its batch; none after the last step."""
    if step >= recipe.steps:
        return []
    return [space.resolutions[place] for place in dict.fromkeys(subnets_of(space, recipe, step)[:, 0].tolist())]


def train_step(
    supernet: Supernet,
    optimizer: torch.optim.Optimizer,
    recipe: TrainRecipe,
    codes: Codes,
    batches: Batches,
    step: int,
    ranks: Ranks,
    teacher: nn.Module | None,
) -> TrainAdvanced:
    """Updates the weights once, from several subnets that see one batch at their own resolutions; see `train`."""
    torch_device = next(supernet.parameters()).device

    @functools.cache
    def batch(resolution: int) -> tuple[Tensor, Tensor]:
        images, labels = batches(step, supernet.space.resolutions[resolution])
        return images.to(torch_device, non_blocking=True), labels.to(torch_device, non_blocking=True)

    rate = recipe.rate(step)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    half = torch.autocast(
        torch_device.type,
        torch.bfloat16,
        enabled=torch_device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False),
    )
    soft: Tensor | None = None
    if teacher is not None:
        with torch.no_grad(), half:
            soft = teacher(batch(int(codes[0, 0]))[0]).float().softmax(1)
    first, last, right = torch.zeros(3, device=torch_device).unbind()
    for number, code in enumerate(codes.tolist()):
        images, labels = batch(code[0])
        with half:
            logits = supernet(images, code).float()
        own = recipe.opened is not None or number == 0
        loss = (
            functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
            if own
            else torch.zeros((), device=torch_device)
        )
        if number == 0:
            first, right = loss.detach(), (logits.detach().argmax(1) == classes_of(labels)).float().mean()
        last = torch.full_like(first, math.nan)
        if soft is not None:
            distilled = functional.cross_entropy(logits, soft)
            loss, last = loss + distilled, distilled.detach()
        torch.autograd.backward(loss)
        if soft is None:
            soft = logits.detach().softmax(1)
    figures = torch.stack([first, last, 100 * right])
    ranks.mean_([figures, *(p.grad for p in supernet.parameters() if p.grad is not None)])
    optimizer.step()
    loss_first, loss_last, accuracy = figures.tolist()
    return TrainAdvanced(
        f"Step {step + 1} of {recipe.steps}, loss {loss_first:.3f}", step + 1, loss_first, loss_last, accuracy, rate
    )


def optimizer_of(network: nn.Module, recipe: TrainRecipe) -> torch.optim.Optimizer:
    """Creates AdamW with weight decay on the weights of convolutions and the classifier only.

    Where the smallest network learns first, it leaves the kernel transformations as they are.
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        transforms = ".transforms." in name
        if transforms and recipe.smallest_first:
            continue  # as identities, so that what the smallest kernels learn is what the larger ones compute
        # The kernel transformations start as identities, and weight decay would pull them towards zero.
        (free if parameter.ndim < 2 or transforms else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    # The fused implementation updates all tensors at once: a supernet has hundreds of small tensors, and the other
    # implementations take a tenth of the time of a step.
    return torch.optim.AdamW(groups, fused=True)
