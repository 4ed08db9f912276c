"""Training-free proxies: what the untrained network of an architecture tells about its accuracy."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from nagsdk.bundle.bundle import Bundle
from nagsdk.predictor.features import Floats
from nagsdk.space.space import Codes

IMAGES = 4


def proxies(bundle: Bundle, codes: Codes) -> dict[str, Floats]:
    """Computes the proxies of architectures, each of shape (n,), on a few test images of the bundle.

    GradSign (Zhang and Jia, 2022) counts, over all weights at their random initial values, by how much the signs of the
    gradients of single images agree. Its mean and spread over the layers say where in the network they do, as ParZC
    (Dong et al., 2024) does with a small network of its own. MACs and parameters need no images.
    """
    supernet = type(bundle.supernet)(bundle.space)
    supernet.initialise(0)
    shown = {resolution: _images(bundle, resolution) for resolution in bundle.space.resolutions}
    found = []
    for architecture in bundle.space.decode(codes):
        images, labels = shown[architecture.resolution]
        network = supernet.extract(architecture).train()
        losses = cross_entropy(network(images), labels, reduction="none")
        weights = [weight for weight in network.parameters() if weight.ndim > 1]
        signs = [torch.zeros_like(weight) for weight in weights]
        for loss in losses:
            for total, gradient in zip(signs, torch.autograd.grad(loss, weights, retain_graph=True), strict=True):
                total += gradient.sign()
        layers = np.log1p([float(total.abs().sum()) for total in signs])
        cost = bundle.space.layers(architecture)
        found.append(
            (
                np.log(np.expm1(layers).sum()),
                layers.mean(),
                layers.std(),
                np.log(sum(layer.macs for layer in cost)),
                np.log(sum(layer.parameters for layer in cost)),
            )
        )
    names = ("GradSign", "GradSign, mean of layers", "GradSign, spread of layers", "MACs", "parameters")
    return dict(zip(names, np.array(found, np.float64).T, strict=True))


def _images(bundle: Bundle, resolution: int) -> tuple[torch.Tensor, torch.Tensor]:
    test = bundle.test_set(resolution)
    assert test is not None
    # Spread over the classes, in case the images are sorted by class.
    rows = np.linspace(0, len(test.labels) - 1, IMAGES).astype(int)
    return torch.from_numpy(test.inputs[rows]), torch.from_numpy(test.labels[rows])
