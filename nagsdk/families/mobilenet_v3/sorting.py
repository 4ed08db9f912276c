"""Sorts the channels of a block by importance."""

from __future__ import annotations

import torch
from torch import Tensor

from nagsdk.families.elastic import ElasticBatchNorm
from nagsdk.families.mobilenet_v3.block import ElasticBlock


@torch.no_grad()
def sort_middle(block: ElasticBlock) -> None:
    """Sorts the middle channels of a block by the magnitude of their weights in its projection.

    The full block computes the same as before; its slices lose less, since small expansions keep the most important
    channels.
    """
    order = block.project.weight.abs().sum((0, 2, 3)).argsort(descending=True, stable=True)
    _reorder(block.expand.weight, order)
    for norm in (block.expand_bn, block.depthwise_bn):
        _reorder_norm(norm, order)
    _reorder(block.depthwise.weight, order)
    _reorder(block.project.weight, order, 1)
    if block.se is not None:
        reduce, expand = block.se.reduce, block.se.expand
        assert reduce.bias is not None and expand.bias is not None
        _reorder(reduce.weight, order, 1)
        _reorder(expand.weight, order)
        _reorder(expand.bias, order)
        squeezed = expand.weight.abs().sum((0, 2, 3)).argsort(descending=True, stable=True)
        _reorder(reduce.weight, squeezed)
        _reorder(reduce.bias, squeezed)
        _reorder(expand.weight, squeezed, 1)


def _reorder(tensor: Tensor, order: Tensor, dimension: int = 0) -> None:
    tensor.copy_(tensor.index_select(dimension, order))


def _reorder_norm(norm: ElasticBatchNorm, order: Tensor) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        _reorder(tensor, order)
