"""Progressive shrinking (Cai et al., Once-for-All, ICLR 2020, section 3.3): small subnets join when the larger ones have learnt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nagsdk.families.elastic import ElasticBatchNorm
from nagsdk.families.mobilenet_v3.block import ElasticBlock
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from nagsdk.families.mobilenet_v3.supernet import Supernet
from nagsdk.space.space import Codes


@dataclass(frozen=True)
class Open:
    """How many choices of each kind may be drawn, from the largest down.

    Attributes:
        kernels: Of a block's kernels.
        depths: Of a stage's numbers of blocks.
        expansions: Of a block's expansions.
    """

    kernels: int
    depths: int
    expansions: int


def draw(space: MobileNetV3Space, opened: Open, count: int, rng: np.random.Generator) -> Codes:
    """Draws architectures, every decision uniform over its open choices; resolutions are all open."""
    kernels, expansions = space.kernels[-opened.kernels :], space.expansions[-opened.expansions :]
    pairs = (space.block_choice(c) for c in range(len(space.kernels) * len(space.expansions)))
    blocks = [c for c, (kernel, expansion) in enumerate(pairs) if kernel in kernels and expansion in expansions]
    at_blocks = {block.decision for block in space.blocks}
    columns = []
    for index, size in enumerate(space.sizes.tolist()):
        depths = list(range(size))[-opened.depths :]
        columns.append(rng.choice(blocks if index in at_blocks else depths if index else list(range(size)), count))
    return space.validate(np.column_stack(columns))


@torch.no_grad()
def sort_channels(supernet: Supernet) -> None:
    """Orders the middle channels of every block by their weight in its projection, so that small expansions keep what counts.

    The largest network computes what it did before; the smaller ones lose less.
    """
    for block in supernet.blocks:
        assert isinstance(block, ElasticBlock)
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
