"""Training a supernet: sandwich rule and in-place distillation (Yu et al., BigNAS, ECCV 2020; Cai et al., Once-for-All, ICLR 2020)."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from nagsdk.errors import DamagedBundleError, UsageError
from nagsdk.events import Advanced, Event, Finished, Listener, Notice, Started, ignore
from nagsdk.files import write_atomically
from nagsdk.space.base import Codes, SearchSpace
from nagsdk.supernet.data import Batches
from nagsdk.supernet.layers import ElasticBlock
from nagsdk.supernet.network import Supernet


@dataclass(frozen=True)
class TrainRecipe:
    """How a supernet is trained.

    Attributes:
        steps: Updates of the weights.
        learning_rate: Peak of AdamW's rate; it rises linearly, then falls along a cosine to zero.
        warmup: Share of the steps in which it rises.
        weight_decay: On weights of convolutions and the classifier.
        random_subnets: Drawn per step beside the smallest and the largest.
        label_smoothing: Of the largest network's loss; the others learn from its outputs.
        largest_first: Steps at the start in which the largest network learns alone, as in Once-for-All's progressive shrinking:
            a teacher that knows nothing yet only holds the others back.
        seed: Decides resolutions and subnets of every step.
        checkpoint_every: Steps between checkpoints.
    """

    steps: int
    learning_rate: float = 4e-3
    warmup: float = 0.05
    weight_decay: float = 0.02
    random_subnets: int = 2
    label_smoothing: float = 0.05
    largest_first: int = 0
    seed: int = 0
    checkpoint_every: int = 500

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        rising = max(1, round(self.warmup * self.steps))
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, self.steps - rising)))


@dataclass(frozen=True)
class TrainAdvanced(Advanced):
    """A step of training was done.

    Attributes:
        loss_largest: Cross-entropy of the largest network.
        loss_smallest: Cross-entropy of the smallest network against the largest one's outputs; nan while the largest learns alone.
        top1_largest: Of the largest network on the batch, percent.
    """

    loss_largest: float = 0.0
    loss_smallest: float = 0.0
    top1_largest: float = 0.0


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """A checkpoint after `step` steps is on the disk."""

    step: int = 0


def extremes(space: SearchSpace) -> Codes:
    """Codes of the smallest and the largest architecture: first and last choice of every decision."""
    return space.validate(np.stack([np.zeros_like(space.sizes), space.sizes - 1]))


def sandwich(space: SearchSpace, recipe: TrainRecipe, step: int) -> Codes:
    """Codes that a step trains, all at one resolution drawn for the step: the largest, then random ones, then the smallest."""
    rng = np.random.default_rng((recipe.seed, step))
    smallest, largest = extremes(space)
    resolution = int(rng.choice(space.resolutions))
    codes = np.vstack([largest, space.sample(recipe.random_subnets, rng), smallest])
    codes[:, 0] = space.resolution_index(resolution)
    return codes[:1] if step < recipe.largest_first else codes


def initialise(supernet: Supernet, seed: int) -> None:
    """Draws the weights of an untrained supernet anew; residual branches begin at zero (Goyal et al., 2017), so that depth is no burden.

    Args:
        supernet: Changed in place.
        seed: Of the draw; the global random state of torch is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        supernet.load_state_dict(Supernet(supernet.space).state_dict())
    nn.init.zeros_(supernet.first_project_bn.weight)
    for block in supernet.blocks:
        assert isinstance(block, ElasticBlock)
        if block.shape.residual:
            nn.init.zeros_(block.project_bn.weight)


def train(
    supernet: Supernet, batches: Batches, recipe: TrainRecipe, on_event: Listener = ignore, checkpoint_dir: Path | None = None
) -> None:
    """Trains a supernet in place, from the last checkpoint where there is one.

    Everything random is a function of the recipe's seed and the step, so that a run that was killed and
    resumed ends in the weights of one that was not.

    Args:
        supernet: Trained in place on the device it lies on.
        batches: See `Batches`.
        recipe: How.
        on_event: Listener: `TrainAdvanced` after every step, `CheckpointSaved` after every checkpoint.
        checkpoint_dir: Where checkpoints go; None keeps none.

    Raises:
        UsageError: The checkpoint belongs to another recipe or space.
        DamagedBundleError: The checkpoint is torn.
    """
    supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _optimizer(supernet, recipe)
    device = supernet.classifier.weight.device
    start = _resume(supernet, optimizer, recipe, checkpoint_dir) if checkpoint_dir else 0
    on_event(Started("Training", recipe.steps))
    if start:
        on_event(Notice(f"Resumed after step {start}."))
    supernet.train()
    for step in range(start, recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        codes = sandwich(supernet.space, recipe, step)
        images, labels = (t.to(device) for t in batches(step, supernet.space.resolutions[int(codes[0, 0])]))
        on_event(_step(supernet, optimizer, recipe, codes, images, labels, step))
        done = step + 1
        if checkpoint_dir and (done % recipe.checkpoint_every == 0 or done == recipe.steps):
            _save(supernet, optimizer, recipe, checkpoint_dir, done)
            on_event(CheckpointSaved(f"Checkpoint after step {done}", done))
    supernet.eval()
    on_event(Finished("Training"))


def _step(
    supernet: Supernet, optimizer: torch.optim.Optimizer, recipe: TrainRecipe, codes: Codes, images: Tensor, labels: Tensor, step: int
) -> TrainAdvanced:
    optimizer.zero_grad()
    logits = supernet(images, codes[0].tolist())
    first = functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
    torch.autograd.backward(first)
    teacher = logits.detach().softmax(1)
    last = math.nan
    for code in codes[1:].tolist():
        loss = functional.cross_entropy(supernet(images, code), teacher)
        torch.autograd.backward(loss)
        last = loss.item()
    optimizer.step()
    accuracy = 100.0 * (teacher.argmax(1) == labels).float().mean().item()
    text = f"step {step + 1} of {recipe.steps}, loss {first.item():.3f}"
    return TrainAdvanced(text, step + 1, first.item(), last, accuracy)


def _optimizer(supernet: Supernet, recipe: TrainRecipe) -> torch.optim.Optimizer:
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in supernet.named_parameters():
        # The kernel transformations begin as identities: decay would pull them to zero.
        (free if parameter.ndim < 2 or ".transforms." in name else decayed).append(parameter)
    return torch.optim.AdamW([{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}])


def _identity(supernet: Supernet, recipe: TrainRecipe) -> dict[str, Any]:
    return {"recipe": asdict(recipe), "space": supernet.space.fingerprint}


def _save(supernet: Supernet, optimizer: torch.optim.Optimizer, recipe: TrainRecipe, folder: Path, step: int) -> None:
    tensors = {f"supernet.{name}": tensor for name, tensor in supernet.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    weights = folder / f"step-{step:07d}.safetensors"
    write_atomically(weights, content)
    # state.json is replaced last: whenever the run is killed, it names a whole file.
    state = {"step": step, "file": weights.name, "sha256": hashlib.sha256(content).hexdigest(), **_identity(supernet, recipe)}
    write_atomically(folder / "state.json", json.dumps(state, indent=1).encode())
    for old in folder.glob("step-*.safetensors"):
        if old != weights:
            old.unlink()


def _resume(supernet: Supernet, optimizer: torch.optim.Optimizer, recipe: TrainRecipe, folder: Path) -> int:
    if not (folder / "state.json").exists():
        return 0
    state = json.loads((folder / "state.json").read_text())
    if {key: state.get(key) for key in ("recipe", "space")} != _identity(supernet, recipe):
        raise UsageError(
            f"The checkpoint in {folder} belongs to another recipe or space.", "Choose another folder, or delete it to start anew."
        )
    file = folder / state["file"]
    content = file.read_bytes() if file.is_file() else b""
    if hashlib.sha256(content).hexdigest() != state["sha256"]:
        raise DamagedBundleError(f"The checkpoint {file} is torn.", f"Delete {folder} to start anew.")
    tensors = load(content)
    supernet.load_state_dict({name.removeprefix("supernet."): t for name, t in tensors.items() if name.startswith("supernet.")})
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        kind, index, key = (*name.split(".", 2), "", "")[:3]
        if kind == "optimizer":
            slots.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(state["step"])
