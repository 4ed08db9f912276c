"""Initial weights of a supernet, taken from an earlier training of the same space."""

from __future__ import annotations

from pathlib import Path

import torch

from nagsdk.errors import DamagedBundleError, UsageError
from nagsdk.families.protocol import Supernet
from nagsdk.families.space import MOST_BYTES, NetworkSpace
from nagsdk.supernet.weights import load_supernet


def read_weights(path: Path, space: NetworkSpace) -> Supernet:
    """Reads a trained supernet of the space with any number of classes.

    Args:
        path: Path of the ``.safetensors`` file of a bundle, of a checkpoint with the tensors of those that
            Once-for-All released, or of the weights of a finished network; see `NetworkSpace.import_start`.
        space: Space of the supernet; its number of classes is ignored.

    Raises:
        UsageError: There is no such file, or it is too large.
        DamagedBundleError: The file is damaged, or it belongs to another space.
    """
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise UsageError(
            f"{path} is not a file of weights.",
            "Give the supernet.safetensors of a bundle, a checkpoint that Once-for-All released, one of torchvision or "
            "timm, or the name of a finished network, such as efficientnet-lite0.",
        )
    if path.suffix != ".safetensors":
        return space.import_start(path)
    from safetensors import SafetensorError, safe_open

    with torch.device("meta"):
        name, *_ = space.supernet().class_tensors
    try:
        with safe_open(path, "pt") as file:
            if name not in file.keys():  # noqa: SIM118 — the file is no mapping
                return space.import_start(path)
            classes = file.get_slice(name).get_shape()[0]
    except (SafetensorError, OSError, KeyError, IndexError) as error:
        raise DamagedBundleError(
            f"{path} cannot be read: {error}.", "Give the supernet.safetensors of a bundle."
        ) from error
    return load_supernet(space.with_classes(classes), path.read_bytes())


@torch.no_grad()
def adopt(supernet: Supernet, source: Supernet) -> None:
    """Copies the weights of another training; if the number of classes differs, the classifier starts at zero.

    Args:
        supernet: Supernet to change in place.
        source: Supernet of the same space, possibly with another number of classes.
    """
    state, own = source.state_dict(), supernet.state_dict()
    if any(state[name].shape != own[name].shape for name in supernet.class_tensors):
        state |= {name: torch.zeros_like(own[name]) for name in supernet.class_tensors}
    supernet.load_state_dict(state)
