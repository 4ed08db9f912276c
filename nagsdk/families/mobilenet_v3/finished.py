"""Reads the weights of finished networks of inverted residual blocks, under the names that other libraries give them.

The names of torchvision, timm and the ports of TensorFlow's EfficientNet are understood. They differ in many ways, so
tensors are recognised by the block that they belong to and by their shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from nagsdk.errors import DamagedBundleError

NORM = ("weight", "bias", "running_mean", "running_var")
# Names of the first convolution, by which such files are known.
_STEMS = ("_conv_stem.weight", "conv_stem.weight", "features.0.0.weight")
# timm numbers blocks within their stage.
_BLOCK = re.compile(r"_?blocks\.(\d+)\.(?:(\d+)\.)?|features\.(\d+)\.")
_NEXT_STEP = (
    "Give a checkpoint of MobileNetV2, MobileNetV3 or EfficientNet-Lite from torchvision or timm, or one of a supernet."
)


@dataclass(frozen=True)
class Unit:
    """A convolution or linear layer, with batch normalisation or a bias behind it.

    Attributes:
        weight: Weight, shape (out, in / groups, k, k).
        norm: Tensors of batch normalisation by the names in `NORM`; None if there is none.
        bias: Bias of its own; None if there is none.
    """

    weight: Tensor
    norm: Mapping[str, Tensor] | None = None
    bias: Tensor | None = None


@dataclass(frozen=True)
class Block:
    """An inverted residual block.

    Attributes:
        expand: First pointwise convolution; None if the block has none.
        depthwise: Depthwise convolution.
        se: Both layers of squeeze-and-excitation; None if the block has none.
        project: Last pointwise convolution.
    """

    expand: Unit | None
    depthwise: Unit
    se: tuple[Unit, Unit] | None
    project: Unit

    @property
    def middle(self) -> int:
        """Number of channels of the depthwise convolution."""
        return len(self.depthwise.weight)

    @property
    def out(self) -> int:
        """Number of output channels."""
        return len(self.project.weight)

    @property
    def kernel(self) -> int:
        """Height and width of the depthwise kernel."""
        return int(self.depthwise.weight.shape[-1])


@dataclass(frozen=True)
class Network:
    """The weights of a finished network.

    Attributes:
        stem: First convolution.
        blocks: The blocks, the first one without expansion.
        head: Last pointwise convolution before pooling.
        features: Layer between pooling and the classifier; None if there is none.
        classifier: The classifier.
    """

    stem: Unit
    blocks: tuple[Block, ...]
    head: Unit
    features: Unit | None
    classifier: Unit

    @property
    def stages(self) -> tuple[tuple[Block, ...], ...]:
        """The blocks after the first, in groups of equal width."""
        groups: list[list[Block]] = []
        for block in self.blocks[1:]:
            if groups and groups[-1][-1].out == block.out:
                groups[-1].append(block)
            else:
                groups.append([block])
        return tuple(map(tuple, groups))


def is_finished(state: Mapping[str, Tensor]) -> bool:
    """Whether tensors have the names of a finished network of another library."""
    return any(stem in state for stem in _STEMS)


def read_network(state: Mapping[str, Tensor], path: Path) -> Network:
    """Arranges the tensors of a finished network.

    Args:
        state: Tensors by name.
        path: Their file, for messages.

    Raises:
        DamagedBundleError: They are not those of a network of inverted residual blocks.
    """
    groups: dict[tuple[int, ...], list[str]] = {}
    for name in sorted(state, key=_natural):
        match = _BLOCK.match(name)
        place = tuple(int(number) for number in match.groups() if number is not None) if match else ()
        groups.setdefault(place, []).append(name)
    blocks, outside = [], groups.pop((), [])
    for place in sorted(groups):
        weights = [state[name] for name in groups[place]]
        if any(weight.dim() == 4 and weight.shape[1] == 1 < weight.shape[2] for weight in weights):
            blocks.append(_block(state, groups[place], path))
        else:
            outside += groups[place]
    layers, norms = _parts(state, outside, path)
    layers = [unit if unit.bias is not None else _with_norm(unit, norms, path) for unit in layers]
    stem = [unit for unit in layers if unit.weight.shape[1] == 3]
    head = [unit for unit in layers if unit.norm is not None and unit.weight.shape[1] != 3]
    ends = [unit for unit in layers if unit.bias is not None]
    if len(stem) != 1 or len(head) != 1 or not 1 <= len(ends) <= 2 or not blocks:
        raise _other(path, "it has another beginning or end")
    ends.sort(key=lambda unit: unit.weight.shape[1] != len(head[0].weight))
    network = Network(stem[0], tuple(blocks), head[0], ends[0] if len(ends) == 2 else None, ends[-1])
    _check(network, path)
    return network


def _block(state: Mapping[str, Tensor], names: Sequence[str], path: Path) -> Block:
    layers, norms = _parts(state, names, path)
    squeeze = [unit for unit in layers if unit.bias is not None]
    plain = [unit for unit in layers if unit.bias is None]
    depthwise = [unit for unit in plain if unit.weight.shape[1] == 1 < unit.weight.shape[2]]
    pointwise = [unit for unit in plain if unit.weight.shape[2] == 1]
    if len(depthwise) != 1 or len(pointwise) not in (1, 2) or len(squeeze) not in (0, 2) or len(plain) != len(norms):
        raise _other(path, f"{names[0]} is in a block of another kind")
    middle = len(depthwise[0].weight)
    # The projection reads the middle channels, and the expansion writes them.
    pointwise.sort(key=lambda unit: (unit.weight.shape[1] == middle, len(unit.weight) != middle))
    squeeze.sort(key=lambda unit: unit.weight.shape[1] != middle)
    ordered = [*pointwise[:-1], *depthwise, pointwise[-1]]
    units = [Unit(unit.weight, norm) for unit, norm in zip(ordered, norms, strict=True)]
    expand = units[0] if len(units) == 3 else None
    return Block(expand, units[-2], (squeeze[0], squeeze[1]) if squeeze else None, units[-1])


def _parts(
    state: Mapping[str, Tensor], names: Sequence[str], path: Path
) -> tuple[list[Unit], list[Mapping[str, Tensor]]]:
    """Layers without normalisation, and the tensors of batch normalisation, both in the order of their names."""
    layers: list[Unit] = []
    norms: list[Mapping[str, Tensor]] = []
    used: set[str] = set()
    for name in names:
        prefix, _, last = name.rpartition(".")
        if last == "running_mean":
            parts = {part: f"{prefix}.{part}" for part in NORM}
            if missing := [one for one in parts.values() if one not in state]:
                raise _other(path, f"{missing[0]} is missing")
            norms.append({part: state[full] for part, full in parts.items()})
            used.update(parts.values())
        elif last == "weight" and state[name].dim() in (2, 4):
            weight = state[name] if state[name].dim() == 4 else state[name][:, :, None, None]
            layers.append(Unit(weight, None, state.get(f"{prefix}.bias")))
            used.update((name, f"{prefix}.bias"))
    if unknown := [name for name in names if name not in used]:
        raise _other(path, f"{unknown[0]} belongs to no layer")
    return layers, norms


def _with_norm(unit: Unit, norms: Sequence[Mapping[str, Tensor]], path: Path) -> Unit:
    fitting = [norm for norm in norms if len(norm["weight"]) == len(unit.weight)]
    if len(fitting) != 1:
        raise _other(path, "its batch normalisation does not fit its first or last convolution")
    return Unit(unit.weight, fitting[0])


def _check(network: Network, path: Path) -> None:
    """Checks that every layer reads as many channels as the one before it writes."""
    width = len(network.stem.weight)
    chain = []
    for block in network.blocks:
        if block.expand is not None:
            chain.append((block.expand, width))
        chain += [(block.depthwise, 1), (block.project, block.middle)]
        if block.expand is None and block.middle != width:
            raise _other(path, "a block without expansion has another width than the layer before it")
        if block.se is not None:
            chain += [(block.se[0], block.middle), (block.se[1], len(block.se[0].weight))]
        width = block.out
    chain += [(network.head, width)]
    width = len(network.head.weight)
    if network.features is not None:
        chain.append((network.features, width))
        width = len(network.features.weight)
    for unit, into in (*chain, (network.classifier, width)):
        sizes = [len(tensor) for tensor in (*(unit.norm or {}).values(), unit.bias) if tensor is not None]
        square = unit.weight.shape[2] == unit.weight.shape[3] and unit.weight.shape[2] % 2
        if unit.weight.shape[1] != into or not square or any(size != len(unit.weight) for size in sizes):
            raise _other(path, "two layers that follow each other do not fit")


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts numbers in names by their value."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _other(path: Path, why: str) -> DamagedBundleError:
    return DamagedBundleError(f"{path} is no network of inverted residual blocks: {why}.", _NEXT_STEP)
