"""A linear classifier on the frozen features of a pretrained network, from which its training starts."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

from nagsdk.families.protocol import Subnet, Supernet
from nagsdk.families.space import NetworkSpace
from nagsdk.supernet.recalibrate import teacher_of

# Of the squared weights of standardised features. Tried on 480 images with 1280 features: weaker ones fit every image,
# ten times stronger ones lose some points.
_DECAY = 3e-3
_ITERATIONS = 100


def reader_of(supernet: Supernet, space: NetworkSpace, recalibration: Tensor) -> Subnet:
    """Builds the largest network with its features, the inputs of the classifier, in place of its logits.

    Args:
        supernet: Source of the weights.
        space: Its space.
        recalibration: Normalised images at the highest resolution; see `recalibrate`.
    """
    weight, *rest = supernet.class_tensors
    state = supernet.state_dict()
    width, tail = state[weight].shape[1], state[weight].shape[2:]
    # A classifier whose weights are the unit matrix hands its inputs on, in any family.
    state |= {weight: torch.eye(width).view(width, width, *tail), **{name: torch.zeros(width) for name in rest}}
    reader = space.with_classes(width).supernet()
    reader.load_state_dict(state)
    return teacher_of(reader.to(next(supernet.parameters()).device), recalibration)


@torch.no_grad()
def features_of(reader: Subnet, pictures: Iterable[Tensor]) -> Tensor:
    """Computes features, float32, shape (n, width).

    Args:
        reader: See `reader_of`.
        pictures: Batches of normalised images, float32, shape (n, 3, h, w).
    """
    where = next(reader.parameters()).device
    return torch.cat([reader(images.to(where)).cpu() for images in pictures])


def fit_classifier(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Fits a linear classifier by L-BFGS.

    Args:
        features: Features, float32, shape (n, width).
        labels: Class of each row, int64, shape (n,).
        classes: Number of classes.

    Returns:
        Weights, shape (classes, width), and biases, shape (classes,).
    """
    centre, spread = features.mean(0), features.std(0).clamp_min(1e-6)
    inputs = (features - centre) / spread
    weight = torch.zeros(classes, features.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        found = functional.cross_entropy(inputs @ weight.T + bias, labels) + _DECAY * weight.square().sum()
        torch.autograd.backward(found)
        return found

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    weight, bias = weight.detach() / spread, bias.detach()
    return weight, bias - weight @ centre


@torch.no_grad()
def put_classifier(supernet: Supernet, weight: Tensor, bias: Tensor) -> None:
    """Replaces the classifier of a supernet; see `fit_classifier`."""
    name, *rest = supernet.class_tensors
    state = supernet.state_dict()
    state[name].copy_(weight.view_as(state[name]))
    for other in rest:
        state[other].copy_(bias)
