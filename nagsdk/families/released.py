"""What importing the checkpoints that Once-for-All released has in common for all of its families."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from nagsdk.errors import DamagedBundleError
from nagsdk.families.protocol import Supernet
from nagsdk.families.space import NetworkSpace

Space = TypeVar("Space", bound=NetworkSpace)
Network = TypeVar("Network", bound=Supernet)


def with_their_classes(space: Space, bias: Tensor | None, path: Path, any_classes: bool) -> Space:
    """Returns the space with the number of classes of a checkpoint.

    Args:
        space: Space of the supernet.
        bias: Bias of the checkpoint's classifier; None if it has none, which `filled` refuses.
        path: The checkpoint.
        any_classes: Whether another number than that of the space is taken over.

    Raises:
        DamagedBundleError: The checkpoint has another number of classes.
    """
    if bias is None or bias.dim() != 1 or len(bias) == space.classes:
        return space
    if not any_classes or len(bias) < 1:
        raise DamagedBundleError(
            f"{path} has {len(bias)} classes, and {space.classes} are expected of this checkpoint.",
            f"Train on your images from it: nagsdk train DIR --init {path.name}; its other weights are adopted.",
        )
    return space.with_classes(len(bias))


def filled(supernet: Network, state: Mapping[str, Tensor], names: Mapping[str, str], path: Path) -> Network:
    """Fills a supernet with the tensors of a checkpoint.

    Args:
        supernet: The supernet.
        state: Tensors by the checkpoint's names.
        names: The supernet's names by those of the checkpoint.
        path: The checkpoint.

    Raises:
        DamagedBundleError: The tensors belong to another space.
    """
    if unknown := sorted(state.keys() - names.keys()):
        raise DamagedBundleError(
            f"{path} has tensors that this space does not have ({', '.join(unknown[:3])}, …).",
            "Use a checkpoint of this space.",
        )
    return supernet.fill({names[name]: tensor for name, tensor in state.items()}, str(path))
