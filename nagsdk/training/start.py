"""The supernet before the first step of a training: its initial weights, and its first classifier."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from nagsdk.bundle.bundle import load_bundle
from nagsdk.common.files import write_atomically
from nagsdk.errors import UsageError
from nagsdk.events import Listener, ignore, stage
from nagsdk.families.protocol import Supernet
from nagsdk.families.space import NetworkSpace
from nagsdk.images.batches import prepare, stratified
from nagsdk.images.decoded import Labelled
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.supernet.initial import read_weights
from nagsdk.supernet.linear import features_of, fit_classifier, put_classifier, reader_of
from nagsdk.training.plan import start_of

_BATCH = 32


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


def learn_classifier(
    supernet: Supernet,
    space: NetworkSpace,
    images: Labelled,
    count: int,
    recalibration: Callable[[int], Tensor],
    preprocessing: Preprocessing,
    flip: bool,
    kept: Path,
    on_event: Listener = ignore,
) -> None:
    """Fits the classifier of a pretrained supernet to frozen features of its largest network, in place.

    Args:
        supernet: The supernet; all weights but those of the classifier stay.
        space: Its space.
        images: The training images.
        count: Number of images that are used.
        recalibration: Maps a resolution to normalised images for batch normalisation.
        preprocessing: Preprocessing of the images.
        flip: Whether mirrored images are used too.
        kept: File in which the features are kept: they are computed once.
        on_event: Receives progress.
    """
    rows = stratified(images.labels, count, seed=0)
    labels = torch.from_numpy(np.asarray(images.labels[rows])).long()
    features = _read(kept)
    if features is None:
        highest = max(space.resolutions)
        reader, parts = reader_of(supernet, space, recalibration(highest)), []
        places = range(0, len(rows), _BATCH)
        with stage(on_event, "Computing features", len(places)) as advance:
            for done, start in enumerate(places, 1):
                shown = prepare(images.images[rows[start : start + _BATCH]], highest, preprocessing)
                # A mirrored image comes right after its own, so that features are in the order of the labels.
                both = [shown, shown.flip(3)] if flip else [shown]
                parts.append(torch.stack([features_of(reader, [view]) for view in both], 1).flatten(0, 1))
                advance(done, f"Computing features, {done} of {len(places)}")
        features = torch.cat(parts)
        write_atomically(kept, save({"features": features}))
    views = len(features) // len(labels)
    put_classifier(supernet, *fit_classifier(features, labels.repeat_interleave(views), space.classes))


def _read(kept: Path) -> Tensor | None:
    """Features that were kept; None if there are none, or if the file is damaged."""
    try:
        return load(kept.read_bytes())["features"]
    except (OSError, KeyError, SafetensorError):
        return None
