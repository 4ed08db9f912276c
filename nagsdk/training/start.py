"""The weights of a supernet before the first step of a training."""

from __future__ import annotations

from pathlib import Path

from nagsdk.bundle.bundle import load_bundle
from nagsdk.errors import UsageError
from nagsdk.families.protocol import Supernet
from nagsdk.families.space import NetworkSpace
from nagsdk.supernet.initial import read_weights
from nagsdk.training.plan import start_of


def first_weights(init: str, space: NetworkSpace) -> Supernet | None:
    """Returns a supernet with the initial weights of a training; None if it starts with random weights.

    Args:
        init: ``none``, ``ofa``, the name of a finished network, or a file of weights; see `read_weights`.
        space: Search space of the training.

    Raises:
        UsageError: The file does not exist, or Once-for-All has no weights for this space.
        BundleError: The weights are not on this machine, or a file is damaged or belongs to another space.
    """
    if init == "none":
        return None
    if (network := start_of(init)) is not None:
        return network.supernet(space)
    if init != "ofa":
        return read_weights(Path(init), space)
    ofa = load_bundle("imagenet")
    alike = space.family == ofa.space.family and space.with_classes(ofa.space.classes)
    if not alike or alike.with_resolutions(ofa.space.resolutions) != ofa.space:
        raise UsageError(
            "Once-for-All's weights belong to the space mobilenetv3.", "Use --space mobilenetv3, or --init none."
        )
    return ofa.supernet
