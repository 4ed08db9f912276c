"""Imports the checkpoints that Once-for-All released."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from nagsdk.families.mobilenet_v3.block import ElasticBlock
from nagsdk.families.mobilenet_v3.definition import MobileNetV3Definition
from nagsdk.families.mobilenet_v3.finished import is_finished
from nagsdk.families.mobilenet_v3.mapping import from_finished
from nagsdk.families.mobilenet_v3.supernet import MobileNetV3Supernet
from nagsdk.families.released import filled, with_their_classes
from nagsdk.families.state_file import read_state

_NORM = ("weight", "bias", "running_mean", "running_var")


def import_start(space: MobileNetV3Definition, path: Path) -> MobileNetV3Supernet:
    """Reads a checkpoint of Once-for-All, or the weights of a finished network; see `from_finished`.

    Args:
        space: Space of the supernet; its number of classes is replaced.
        path: The checkpoint; see `nagsdk.families.state_file.read_state`.

    Raises:
        DamagedBundleError: The file is neither, or it belongs to a space with other widths.
    """
    state = read_state(path)
    return from_finished(space, state, path) if is_finished(state) else _filled(space, state, path, True)


def import_ofa(space: MobileNetV3Definition, path: Path, *, any_classes: bool = False) -> MobileNetV3Supernet:
    """Reads a checkpoint released by Once-for-All (mit-han-lab/once-for-all, ``ofa_mbv3_*`` and ``ofa_proxyless_*``).

    The tensor names of all releases are understood (``mobile_inverted_conv`` or ``conv``, elastic or plain wrappers).

    Args:
        space: Space of the supernet.
        path: The checkpoint; see `nagsdk.families.state_file.read_state`.
        any_classes: Whether the supernet gets the checkpoint's number of classes instead of that of the space.

    Raises:
        DamagedBundleError: The file is not such a checkpoint, or it belongs to a space with other widths or classes.
    """
    return _filled(space, read_state(path), path, any_classes)


def _filled(
    space: MobileNetV3Definition, state: Mapping[str, Tensor], path: Path, any_classes: bool
) -> MobileNetV3Supernet:
    plain = {_plain_name(name): tensor for name, tensor in state.items()}
    space = with_their_classes(space, plain.get("classifier.linear.bias"), path, any_classes)
    supernet = MobileNetV3Supernet(space)
    return filled(supernet, plain, _ofa_names(supernet), path)


def _plain_name(name: str) -> str:
    return re.sub(r"\.(bn|conv|linear)\.\1\.", r".\1.", name.replace(".mobile_inverted_conv.", ".conv."))


def _ofa_names(supernet: MobileNetV3Supernet) -> dict[str, str]:
    """Maps Once-for-All's plain tensor names to the names in this supernet."""
    names: dict[str, str] = {}

    def unit(theirs: str, conv: str, norm: str | None) -> None:
        names[f"{theirs}.conv.weight"] = f"{conv}.weight"
        if norm is not None:
            names.update({f"{theirs}.bn.{part}": f"{norm}.{part}" for part in _NORM})

    unit("first_conv", "stem", "stem_bn")
    unit("blocks.0.conv.depth_conv", "first_depthwise", "first_depthwise_bn")
    unit("blocks.0.conv.point_linear", "first_project", "first_project_bn")
    for index, block in enumerate(supernet.blocks):
        assert isinstance(block, ElasticBlock)
        theirs, ours = f"blocks.{index + 1}.conv", f"blocks.{index}"
        unit(f"{theirs}.inverted_bottleneck", f"{ours}.expand", f"{ours}.expand_bn")
        unit(f"{theirs}.depth_conv", f"{ours}.depthwise", f"{ours}.depthwise_bn")
        unit(f"{theirs}.point_linear", f"{ours}.project", f"{ours}.project_bn")
        for transform in block.depthwise.transforms:
            names[f"{theirs}.depth_conv.conv.{transform}_matrix"] = f"{ours}.depthwise.transforms.{transform}"
        if block.se is not None:
            for layer in ("reduce", "expand"):
                names.update(
                    {f"{theirs}.depth_conv.se.fc.{layer}.{p}": f"{ours}.se.{layer}.{p}" for p in ("weight", "bias")}
                )
    if supernet.features is None:  # ProxylessNAS
        unit("feature_mix_layer", "head", "head_bn")
    else:
        unit("final_expand_layer", "head", "head_bn")
        unit("feature_mix_layer", "features", None)
    names.update({f"classifier.linear.{p}": f"classifier.{p}" for p in ("weight", "bias")})
    return names
