"""EfficientNet-Lite as it was published, in plain functions: the judge of what nagsdk makes of its weights."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

State = dict[str, Tensor]

_STRIDES = (1, 2, 2, 2, 1, 2, 1)
DEPTHS = {0: (1, 2, 2, 3, 3, 4, 1), 1: (1, 3, 3, 4, 4, 5, 1), 2: (1, 3, 3, 4, 4, 5, 1)}


def logits(state: State, images: Tensor, number: int) -> Tensor:
    """The logits of images, shape (n, 3, r, r), by the tensors of EfficientNet-Lite with this number."""
    strides = [
        stride if position == 0 else 1
        for stride, depth in zip(_STRIDES, DEPTHS[number], strict=True)
        for position in range(depth)
    ]
    x = functional.relu6(_normal(state, "_bn0", _same(images, state["_conv_stem.weight"], 2)))
    for index, stride in enumerate(strides):
        block, before = f"_blocks.{index}", x
        if f"{block}._expand_conv.weight" in state:
            x = functional.conv2d(x, state[f"{block}._expand_conv.weight"])
            x = functional.relu6(_normal(state, f"{block}._bn0", x))
        x = _same(x, state[f"{block}._depthwise_conv.weight"], stride, x.shape[1])
        x = functional.relu6(_normal(state, f"{block}._bn1", x))
        x = _normal(state, f"{block}._bn2", functional.conv2d(x, state[f"{block}._project_conv.weight"]))
        x = x + before if stride == 1 and x.shape == before.shape else x
    x = functional.relu6(_normal(state, "_bn1", functional.conv2d(x, state["_conv_head.weight"])))
    return functional.linear(x.mean((2, 3)), state["_fc.weight"], state["_fc.bias"])


def _same(x: Tensor, weight: Tensor, stride: int, groups: int = 1) -> Tensor:
    (size, *_), kernel = x.shape[2:], weight.shape[2]
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    sides = (total // 2, total - total // 2)
    return functional.conv2d(functional.pad(x, (*sides, *sides)), weight, stride=stride, groups=groups)


def _normal(state: State, name: str, x: Tensor) -> Tensor:
    tensors = [state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    return functional.batch_norm(x, *tensors, eps=1e-3)


def load(path: Path) -> State:
    """The tensors of a checkpoint by name."""
    state: State = torch.load(path, weights_only=True)
    return state
