"""The ``net.config`` of Once-for-All: a subnet as a list of layers, without its resolution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nagsdk.errors import ArchitectureError
from nagsdk.families.mobilenet_v3.definition import MobileNetV3Definition, Stage
from nagsdk.families.widths import make_divisible

_SHOWN = 40


def refused(content: Mapping[str, Any], space: MobileNetV3Definition) -> ArchitectureError:
    """Returns the error for a net.config; its next step has the dictionary that misses the resolution alone.

    Args:
        content: The net.config.
        space: Space of the architecture.
    """
    name = str(content.get("name", "network"))[:_SHOWN]
    try:
        kernels, expansions, depths = _choices(content, space)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return ArchitectureError(
            f"This is a net.config of Once-for-All. Its {name} is not in this space.",
            "Give {'ks': […], 'e': […], 'd': […], 'r': 224} of a network of this space.",
        )
    return ArchitectureError(
        f"This is a net.config of Once-for-All, which lists layers. It does not hold the resolution of its {name}.",
        f"Give this with the right resolution: {{'ks': {kernels}, 'e': {expansions}, 'd': {depths}, 'r': "
        f"{space.resolution_choices[-1]}}}. Once-for-All has it as image_size in run.config.",
    )


def _choices(content: Mapping[str, Any], space: MobileNetV3Definition) -> tuple[list[int], list[int], list[int]]:
    """Kernels and expansions of all places, inactive ones included, and depths; raises where a layer does not fit."""
    layers = [block.get("mobile_inverted_conv") or block["conv"] for block in content["blocks"][1:]]
    kernels: list[int] = []
    expansions: list[int] = []
    depths: list[int] = []
    channels = space.width(space.stem_width)
    for stage in space.stages:
        width = space.width(stage.width)
        own = [channels]
        while layers and len(own) <= max(stage.depths) and _fits(layers[0], stage, own[-1], width, len(own) == 1):
            layer = layers.pop(0)
            kernels.append(_known(layer["kernel_size"], space.kernels))
            expansions.append(_expansion(layer, own[-1], space))
            own.append(width)
        depths.append(_known(len(own) - 1, stage.depths))
        idle = max(stage.depths) - depths[-1]
        kernels += [space.kernels[0]] * idle
        expansions += [space.expansions[0]] * idle
        channels = width
    if layers:
        raise ValueError("it has more blocks than the space")
    return kernels, expansions, depths


def _fits(layer: Mapping[str, Any], stage: Stage, channels: int, width: int, first: bool) -> bool:
    return (
        layer["in_channels"] == channels
        and layer["out_channels"] == width
        and layer["stride"] == (stage.stride if first else 1)
        and layer["use_se"] is stage.se
        and str(layer["act_func"]).replace("_", "") == stage.activation
    )


def _expansion(layer: Mapping[str, Any], channels: int, space: MobileNetV3Definition) -> int:
    middle = layer.get("mid_channels") or make_divisible(channels * layer["expand_ratio"])
    return {make_divisible(channels * expansion): expansion for expansion in space.expansions}[middle]


def _known(value: int, choices: tuple[int, ...]) -> int:
    if value not in choices:
        raise ValueError(f"{value} is not one of {choices}")
    return value
