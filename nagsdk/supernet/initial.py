"""What a supernet begins with: random weights, or those of another training of the same space."""

from __future__ import annotations

from pathlib import Path

import torch

from nagsdk.errors import DamagedBundleError, UsageError
from nagsdk.families.protocol import Supernet
from nagsdk.families.space import MOST_BYTES, NetworkSpace
from nagsdk.supernet.weights import load_supernet

# Classes of ImageNet, which released checkpoints were trained on.
_RELEASED = 1000


def read_weights(path: Path, space: NetworkSpace) -> Supernet:
    """A trained supernet of the space, for whatever number of classes.

    Args:
        path: A file ``.safetensors`` of a bundle, or a checkpoint that Once-for-All released (1000 classes).
        space: The space, its classes disregarded.

    Raises:
        UsageError: There is no such file.
        DamagedBundleError: It is torn, or of another space.
    """
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise UsageError(
            f"{path} is no file of weights.",
            "Name the supernet.safetensors of a bundle, or a checkpoint that Once-for-All released.",
        )
    if path.suffix != ".safetensors":
        return space.with_classes(_RELEASED).import_released(path)
    from safetensors import SafetensorError, safe_open

    with torch.device("meta"):
        name, *_ = space.supernet().class_tensors
    try:
        with safe_open(path, "pt") as file:
            classes = file.get_slice(name).get_shape()[0]
    except (SafetensorError, OSError, KeyError, IndexError) as error:
        raise DamagedBundleError(
            f"{path} cannot be read: {error}.", "Name the supernet.safetensors of a bundle."
        ) from error
    return load_supernet(space.with_classes(classes), path.read_bytes())


@torch.no_grad()
def adopt(supernet: Supernet, source: Supernet) -> None:
    """Takes over the weights of another training; a classifier for other classes begins at zero.

    Args:
        supernet: Changed in place.
        source: Of the same space, but for the classes.
    """
    state, own = source.state_dict(), supernet.state_dict()
    if any(state[name].shape != own[name].shape for name in supernet.class_tensors):
        state |= {name: torch.zeros_like(own[name]) for name in supernet.class_tensors}
    supernet.load_state_dict(state)
