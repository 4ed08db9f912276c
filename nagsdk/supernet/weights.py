"""Reads and writes supernet weights as safetensors."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load, save

from nagsdk.common.files import write_atomically
from nagsdk.errors import DamagedBundleError
from nagsdk.families.protocol import Supernet
from nagsdk.families.space import NetworkSpace


def save_supernet(supernet: Supernet, path: Path) -> None:
    """Writes the weights as safetensors, atomically, with the fingerprint of the space in the header."""
    state = {k: v.contiguous() for k, v in supernet.state_dict().items() if not k.endswith("num_batches_tracked")}
    write_atomically(path, save(state, metadata={"space": supernet.space.fingerprint}))


def half(supernet: Supernet) -> bytes:
    """Returns the weights as float16 safetensors; running statistics stay float32, as variances may exceed float16."""
    state = {name: tensor for name, tensor in supernet.state_dict().items() if not name.endswith("num_batches_tracked")}
    stored = {
        name: (tensor if "running_" in name else tensor.to(torch.float16)).contiguous().cpu()
        for name, tensor in state.items()
    }
    return save(stored, metadata={"space": supernet.space.fingerprint})


def load_supernet(space: NetworkSpace, content: bytes, what: str = "The supernet's weight file") -> Supernet:
    """Builds a supernet from the bytes of a safetensors file (float16 or float32).

    Args:
        space: Space of the supernet.
        content: The bytes of the file.
        what: What it is, such as its path, for error messages.

    Raises:
        DamagedBundleError: The file is damaged, or its tensors do not belong to the space.
    """
    try:
        state = load(content)
    except Exception as error:  # for damaged headers it raises many kinds, such as OverflowError for a shape
        raise DamagedBundleError(f"{what} cannot be read: {error}.", "Fetch or build the bundle again.") from error
    return space.supernet().fill(state, what)
