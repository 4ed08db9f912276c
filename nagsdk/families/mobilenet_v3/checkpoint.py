"""Imports the checkpoints that Once-for-All released."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import torch
from torch import Tensor

from nagsdk.errors import DamagedBundleError
from nagsdk.families.mobilenet_v3.block import ElasticBlock
from nagsdk.families.mobilenet_v3.definition import MobileNetV3Definition
from nagsdk.families.mobilenet_v3.supernet import MobileNetV3Supernet
from nagsdk.families.space import MOST_BYTES

_NORM = ("weight", "bias", "running_mean", "running_var")


def import_ofa(space: MobileNetV3Definition, path: Path) -> MobileNetV3Supernet:
    """Reads a checkpoint released by Once-for-All (mit-han-lab/once-for-all, ``ofa_mbv3_*``).

    The tensor names of all releases are understood (``mobile_inverted_conv`` or ``conv``, elastic or plain wrappers).
    The pickle is opened with ``weights_only=True``, so that only tensors are loaded and no code runs.

    Raises:
        DamagedBundleError: The file is not such a checkpoint, or it belongs to a space with other widths.
    """
    if path.stat().st_size > MOST_BYTES:
        raise DamagedBundleError(
            f"{path} is larger than {MOST_BYTES // 10**6} MB.", "Give the checkpoint of a single supernet."
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, OSError, UnicodeDecodeError) as error:
        raise DamagedBundleError(
            f"{path} cannot be read as a PyTorch checkpoint of tensors.",
            "Download it again. A checkpoint that contains code is never opened.",
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise DamagedBundleError(f"{path} contains no state dict.", "Use a checkpoint that Once-for-All released.")
    plain = {_plain_name(k): v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    supernet = MobileNetV3Supernet(space)
    names = _ofa_names(supernet)
    unknown = sorted(plain.keys() - names.keys())
    if unknown:
        raise DamagedBundleError(
            f"{path} has tensors that this space does not have ({', '.join(unknown[:3])}, …).",
            "Use a checkpoint of this space.",
        )
    return supernet.fill({names[k]: v for k, v in plain.items()}, str(path))


def _plain_name(name: str) -> str:
    name = name.removeprefix("module.").replace(".mobile_inverted_conv.", ".conv.")
    return re.sub(r"\.(bn|conv|linear)\.\1\.", r".\1.", name)


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
    unit("final_expand_layer", "head", "head_bn")
    unit("feature_mix_layer", "features", None)
    names.update({f"classifier.linear.{p}": f"classifier.{p}" for p in ("weight", "bias")})
    return names
