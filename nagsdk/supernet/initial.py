"""What a supernet begins with: random weights, or those of another training of the same space."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from nagsdk.errors import DamagedBundleError, UsageError
from nagsdk.families.mobilenet_v3.checkpoint import MOST_BYTES, import_ofa, load_supernet
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from nagsdk.families.mobilenet_v3.supernet import Supernet

_RELEASED = 1000
_HEAD = "classifier.weight"


def read_weights(path: Path, space: MobileNetV3Space) -> Supernet:
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
            f"{path} is no file of weights.", "Name the supernet.safetensors of a bundle, or a checkpoint that Once-for-All released."
        )
    if path.suffix != ".safetensors":
        return import_ofa(replace(space, classes=_RELEASED), path)
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            classes = file.get_slice(_HEAD).get_shape()[0]
    except (SafetensorError, OSError, KeyError, IndexError) as error:
        raise DamagedBundleError(f"{path} cannot be read: {error}.", "Name the supernet.safetensors of a bundle.") from error
    return load_supernet(replace(space, classes=classes), path.read_bytes())


@torch.no_grad()
def adopt(supernet: Supernet, source: Supernet) -> None:
    """Takes over the weights of another training; a classifier for other classes begins at zero.

    Args:
        supernet: Changed in place.
        source: Of the same space, but for the classes.
    """
    state = source.state_dict()
    if source.classifier.weight.shape != supernet.classifier.weight.shape:
        for name in ("classifier.weight", "classifier.bias"):
            state[name] = torch.zeros_like(supernet.state_dict()[name])
    supernet.load_state_dict(state)
