"""Puts the weights of a finished network into a supernet, so that its largest network computes the same if it can."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from nagsdk.common.wording import counted
from nagsdk.errors import DamagedBundleError
from nagsdk.families.mobilenet_v3.block import ElasticBlock
from nagsdk.families.mobilenet_v3.definition import MobileNetV3Definition
from nagsdk.families.mobilenet_v3.finished import NORM, Block, Network, Unit, read_network
from nagsdk.families.mobilenet_v3.sorting import sort_middle
from nagsdk.families.mobilenet_v3.supernet import MobileNetV3Supernet

# A gate with this bias and no weights is fully open: hardsigmoid(3) = 1.
_OPEN = 3.0


@torch.no_grad()
def from_finished(space: MobileNetV3Definition, state: Mapping[str, Tensor], path: Path) -> MobileNetV3Supernet:
    """Makes a supernet from the weights of a finished network.

    Smaller kernels lie in the centre of larger ones, with zeros around them. Blocks and channels that the network does
    not have compute nothing at first: their last batch normalisation, or their weights in the projection, are 0. Of
    larger kernels the centre is used, of more channels the most important ones, and of more blocks the first ones; what
    was left out is said in `Supernet.notes`. Middle channels are sorted by importance in all blocks.

    Args:
        space: Space of the supernet; its number of classes is replaced.
        state: Tensors by name.
        path: Their file, for messages.

    Raises:
        DamagedBundleError: The file is no such network, or its widths are not those of the space.
    """
    network = read_network(state, path)
    classes = len(network.classifier.weight)
    space = space.with_classes(classes)
    _require_widths(space, network, path)
    supernet = MobileNetV3Supernet(space)
    _fill(supernet.stem.weight, supernet.stem_bn, network.stem)
    first = network.blocks[0]
    lost = _depthwise(supernet.first_depthwise.weight, supernet.first_depthwise_bn, first.depthwise)
    _fill(supernet.first_project.weight, supernet.first_project_bn, first.project)
    left_out, cropped, narrowed, added = 0, int(lost), 0, 0
    blocks = {(b.shape.stage, b.shape.position): b for b in supernet.blocks if isinstance(b, ElasticBlock)}
    for (stage, position), block in blocks.items():
        given = network.stages[stage]
        if position < len(given):
            cropped += given[position].kernel > max(space.kernels)
            narrowed += given[position].middle > len(block.project.weight[0])
            _fill_block(block, given[position])
        else:
            added += 1
            nn.init.zeros_(block.project_bn.weight)
        sort_middle(block)
    for stage, given in enumerate(network.stages):
        left_out += max(0, len(given) - max(space.stages[stage].depths))
    _fill(supernet.head.weight, supernet.head_bn, network.head)
    shifted = False
    if supernet.features is not None:
        assert network.features is not None and network.features.bias is not None
        supernet.features.weight.copy_(network.features.weight)
        shifted = bool(network.features.bias.any())
    assert network.classifier.bias is not None
    supernet.classifier.weight.copy_(network.classifier.weight[:, :, 0, 0])
    supernet.classifier.bias.copy_(network.classifier.bias)
    gone = [
        *([f"{counted(left_out, 'block')} beyond the depths of the space"] if left_out else []),
        *([f"the edges of {counted(cropped, 'kernel')}"] if cropped else []),
        *([f"the least important channels of {counted(narrowed, 'block')}"] if narrowed else []),
        *(["the bias of the layer before the classifier"] if shifted else []),
    ]
    used = len(network.blocks) - left_out
    more = f" {counted(added, 'further block')} of the space pass their input on." if added else ""
    supernet.notes = (
        f"{path.name}: {counted(used, 'block')} were mapped, their channels sorted by importance. Left out: "
        f"{', '.join(gone) or 'nothing, so that the largest network computes what the file does'}.{more}",
    )
    return supernet.fill({k: v for k, v in supernet.state_dict().items() if not k.endswith("_tracked")}, str(path))


def _require_widths(space: MobileNetV3Definition, network: Network, path: Path) -> None:
    features = 0 if network.features is None else len(network.features.weight)
    theirs = (
        len(network.stem.weight),
        network.blocks[0].out,
        *(blocks[0].out for blocks in network.stages),
        len(network.head.weight),
        features,
    )
    ours = (
        space.width(space.stem_width),
        space.trunk,
        *(space.width(stage.width) for stage in space.stages),
        space.width(space.head_width),
        space.width(space.feature_width) if space.feature_width else 0,
    )
    if theirs != ours:
        raise DamagedBundleError(
            f"{path} has the widths {', '.join(map(str, theirs))}, and this space has {', '.join(map(str, ours))}.",
            "Use the space that the network is a point of, such as efficientnet-lite0 for EfficientNet-Lite0, or a "
            "JSON file of a space with these widths.",
        )
    first = network.blocks[0]
    gated = [any(block.se is not None for block in blocks) for blocks in network.stages]
    closed = [number for number, stage in enumerate(space.stages) if gated[number] and not stage.se]
    if first.expand is not None or first.se is not None or first.kernel != 3 or closed:
        raise DamagedBundleError(
            f"{path} has squeeze-and-excitation, or an expansion, where this space has none.",
            "Use a space whose stages have se where the network has it.",
        )


def _fill(weight: Tensor, norm: nn.BatchNorm2d, unit: Unit) -> None:
    weight.copy_(unit.weight)
    _fill_norm(norm, unit, torch.arange(len(unit.weight)))


def _fill_norm(norm: nn.BatchNorm2d, unit: Unit, kept: Tensor) -> None:
    assert unit.norm is not None
    for part in NORM:
        getattr(norm, part)[: len(kept)] = unit.norm[part][kept]


def _depthwise(weight: Tensor, norm: nn.BatchNorm2d, unit: Unit, kept: Tensor | None = None) -> bool:
    """Fills the first channels of a depthwise convolution; returns whether the edges of kernels were left out."""
    kept = torch.arange(len(unit.weight)) if kept is None else kept
    given = unit.weight[kept]
    theirs, ours = given.shape[-1], weight.shape[-1]
    edge, inner = max(0, (theirs - ours) // 2), max(0, (ours - theirs) // 2)
    size = min(theirs, ours)
    weight[: len(kept)] = 0
    weight[: len(kept), :, inner : inner + size, inner : inner + size] = given[
        :, :, edge : edge + size, edge : edge + size
    ]
    _fill_norm(norm, unit, kept)
    return edge > 0


def _fill_block(block: ElasticBlock, given: Block) -> None:
    assert given.expand is not None
    middle = len(block.depthwise.weight)
    importance = given.project.weight.abs().sum((0, 2, 3))
    kept = importance.argsort(descending=True, stable=True)[:middle]
    count = len(kept)
    block.expand.weight[:count] = given.expand.weight[kept]
    _fill_norm(block.expand_bn, given.expand, kept)
    _depthwise(block.depthwise.weight, block.depthwise_bn, given.depthwise, kept)
    block.project.weight.zero_()
    block.project.weight[:, :count] = given.project.weight[:, kept]
    _fill_norm(block.project_bn, given.project, torch.arange(given.out))
    if block.se is None:
        return
    reduce, expand = block.se.reduce, block.se.expand
    assert reduce.bias is not None and expand.bias is not None
    for tensor in (reduce.weight, reduce.bias, expand.weight, expand.bias):
        nn.init.zeros_(tensor)
    if given.se is None:
        nn.init.constant_(expand.bias, _OPEN)
        return
    theirs_in, theirs_out = given.se
    assert theirs_in.bias is not None and theirs_out.bias is not None
    inner = min(len(reduce.weight), len(theirs_in.weight))
    reduce.weight[:inner, :count] = theirs_in.weight[:inner, kept]
    reduce.bias[:inner] = theirs_in.bias[:inner]
    expand.weight[:count, :inner] = theirs_out.weight[kept, :inner]
    expand.bias[:count] = theirs_out.bias[kept]
