"""Checkpoints of a training; whenever a run is killed, the last complete checkpoint remains on the disk."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from nagsdk.common.files import write_atomically
from nagsdk.common.reading import read_json
from nagsdk.common.validation import PLAIN_NAME, what_is_wrong
from nagsdk.errors import DamagedBundleError, UsageError
from nagsdk.families.protocol import Supernet
from nagsdk.space.space import SearchSpace

if TYPE_CHECKING:
    from nagsdk.supernet.recipe import TrainRecipe
    from nagsdk.supernet.validation import Best

STATE = "state.json"
_MOST_STATE = 10**6
# Version of the training step, raised whenever a step of the same recipe computes something else, so that no training
# is resumed by code that trains in another way.
RULE = 2


class Average:
    """A running average of the weights (Polyak & Juditsky, 1992) that covers fewer steps at the start.

    Args:
        supernet: Supernet whose weights are averaged.
        most: Share of the old average that each step keeps after many steps.
    """

    def __init__(self, supernet: Supernet, most: float) -> None:
        self.most = most
        self.values = {name: parameter.detach().clone() for name, parameter in supernet.named_parameters()}

    @torch.no_grad()
    def update(self, supernet: Supernet, step: int) -> None:
        """Adds the weights after a step to the average."""
        kept = min(self.most, (1 + step) / (10 + step))
        for name, parameter in supernet.named_parameters():
            self.values[name].lerp_(parameter, 1 - kept)

    @torch.no_grad()
    def put_into(self, supernet: Supernet) -> None:
        """Replaces the weights of a supernet by the average."""
        for name, parameter in supernet.named_parameters():
            parameter.copy_(self.values[name])


@dataclass(frozen=True)
class Identity:
    """Identity of a training: its recipe, its space, and the version of the training step (`RULE`)."""

    recipe: dict[str, Any]
    space: str
    rule: int = RULE

    @classmethod
    def of(cls, space: SearchSpace, recipe: TrainRecipe) -> Identity:
        """Returns the identity of a training with this space and recipe."""
        return cls(asdict(recipe), space.fingerprint)


def save_state(
    folder: Path,
    identity: Identity,
    supernet: Supernet,
    optimizer: torch.optim.Optimizer,
    average: Average | None,
    step: int,
    best: Best | None = None,
) -> None:
    """Writes a checkpoint and removes the previous one."""
    tensors = {f"supernet.{name}": tensor for name, tensor in supernet.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in (average.values if average else {}).items()}
    tensors |= {f"best.{name}": tensor for name, tensor in (best.weights if best else {}).items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    weights = folder / f"step-{step:07d}.safetensors"
    write_atomically(weights, content)
    # state.json is replaced last, so that it names a complete file even if the run is killed here.
    state = {"step": step, "file": weights.name, "sha256": hashlib.sha256(content).hexdigest(), **asdict(identity)}
    if best is not None:
        state["validation"] = best.to_dict()
    write_atomically(folder / STATE, json.dumps(state, indent=1).encode())
    for old in folder.glob("step-*.safetensors"):
        if old != weights:
            old.unlink()


def load_state(
    folder: Path,
    identity: Identity,
    supernet: Supernet,
    optimizer: torch.optim.Optimizer,
    average: Average | None,
    best: Best | None = None,
) -> int:
    """Loads the last checkpoint if there is one.

    Returns:
        Number of steps done so far; 0 without a checkpoint.

    Raises:
        UsageError: The checkpoint belongs to another recipe, space or version of the training step.
        DamagedBundleError: The checkpoint is damaged.
    """
    if not (folder / STATE).exists():
        return 0
    try:
        state = read_json(folder / STATE, _MOST_STATE)
        if not isinstance(state, dict):
            raise ValueError(f"{STATE} holds no settings")
        if {key: state.get(key) for key in asdict(identity)} != asdict(identity):
            raise UsageError(
                f"The checkpoint in {folder} belongs to another recipe, space or version of nagsdk.",
                "Choose another folder, or delete this one to start again.",
            )
        step, name = state.get("step"), str(state.get("file"))
        if type(step) is not int or step < 0 or not re.fullmatch(PLAIN_NAME, name):
            raise ValueError(f"{STATE} names no step or no file")
        content = (folder / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != state.get("sha256"):
            raise ValueError(f"{name} has another hash")
        _restore(load(content), supernet, optimizer, average, best)
        if best is not None:
            best.restore(state.get("validation"))
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, SafetensorError) as error:
        raise DamagedBundleError(
            f"The checkpoint in {folder} is damaged: {what_is_wrong(error)}.", f"Delete {folder} to start again."
        ) from error
    return step


def _restore(
    tensors: dict[str, Tensor],
    supernet: Supernet,
    optimizer: torch.optim.Optimizer,
    average: Average | None,
    best: Best | None,
) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    slots: dict[int, dict[str, Tensor]] = {}
    weights: dict[str, Tensor] = {}
    averaged = average.values if average else {}
    for name, tensor in tensors.items():
        kind, rest = name.split(".", 1)
        if kind == "supernet":
            weights[rest] = tensor
        elif kind == "average":
            averaged[rest].copy_(tensor)
        elif kind == "best":
            if best is not None:
                best.weights[rest] = tensor
        else:
            index, key = rest.split(".")
            like = parameters[int(index)]
            # The fused optimiser requires its moments to have the same memory layout as the weights.
            slots.setdefault(int(index), {})[key] = (
                torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
            )
    supernet.load_state_dict(weights)
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
