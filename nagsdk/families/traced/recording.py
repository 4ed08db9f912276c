"""Lists the layers of a torch network by running it without numbers, on torch's meta device.

Layers are named by modules, so that the same layer has the same name in every network of a family.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nagsdk.errors import UnsupportedLayerError, UsageError
from nagsdk.space.layer import LayerSpec, same_sides

_aten: Any = torch.ops.aten
_ACTIVATIONS = {
    **dict.fromkeys((_aten.relu, _aten.relu_), "relu"),
    **dict.fromkeys((_aten.hardswish, _aten.hardswish_), "hswish"),
    _aten.gelu: "gelu",
}
_CLIPS = (_aten.hardtanh, _aten.hardtanh_)
_GATES = (_aten.hardsigmoid, _aten.hardsigmoid_)
_NORMS = (_aten._native_batch_norm_legit_no_training, _aten.native_batch_norm, _aten.cudnn_batch_norm)
_ALIKE = (_aten.relu, _aten.hardswish, _aten.hardsigmoid, _aten.gelu, _aten.add, _aten.mul)
# They only change the shape of a tensor, or nothing.
_VIEWS = (
    *(_aten.view, _aten._unsafe_view, _aten.reshape, _aten.flatten, _aten.squeeze, _aten.unsqueeze, _aten.t),
    *(_aten.transpose, _aten.permute),
    *(_aten.detach, _aten.clone, _aten.contiguous, _aten.dropout, _aten.alias),
)
_NEXT_STEP = (
    "Build the networks of the family from square convolutions with odd kernels and a padding of half of the kernel "
    "or TensorFlow's SAME, batch normalisation, linear layers, ReLU, ReLU6, hard swish, GELU, squeeze-and-excitation "
    "with a hard sigmoid, sums, maxima and means of windows, the mean over height and width or over tokens, layer "
    "normalisation, and nagsdk.families.attention.Attention."
)


@dataclass
class _Layer:
    """A layer and what is known of it so far; `inputs` are the layers that it reads, and `number` counts layers."""

    spec: LayerSpec
    number: int
    inputs: tuple[_Layer, ...] = ()
    gate: bool = False


def named_layers(network: nn.Module, resolution: int, classes: int) -> dict[str, LayerSpec]:
    """Returns the layers of a network in the order of execution, by name.

    A layer is named after the module without parts that it belongs to. A sum, a mean or another operation in the
    forward pass of a larger module is named after the latest of the layers that it reads.

    Args:
        network: A network whose parameters are on the meta device; it is put into eval mode.
        resolution: Height and width of its images in pixels.
        classes: Number of its outputs for an image.

    Raises:
        UsageError: Its outputs have another shape.
        UnsupportedLayerError: The network contains an operation that is no known kind of layer; the message names the
            module.
    """
    network.eval()
    image = torch.empty(1, 3, resolution, resolution, device="meta")
    recorder = _Recorder(image)
    with ExitStack() as stack:
        for path, module in network.named_modules():
            stack.callback(module.register_forward_pre_hook(recorder.entering(path)).remove)
            stack.callback(module.register_forward_hook(recorder.leaving, always_call=True).remove)
        stack.enter_context(torch.no_grad())
        stack.enter_context(recorder)
        logits = network(image)
    if not isinstance(logits, Tensor) or logits.shape != (1, classes):
        made = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UsageError(
            f"The outputs for one image have the shape {made}, not {(1, classes)}.",
            "Return one tensor with a logit for each of the `classes` of the space.",
        )
    return recorder.result()


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation of torch in its thread while it is entered."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: dict[str, _Layer] = {}
        self.numbers = count()
        # Tensors are kept, because the identity of one that is gone may be given to another.
        self.writers: dict[int, tuple[_Layer | None, Tensor]] = {id(image): (None, image)}
        # Images with zeros around them, which only a convolution may read: the size without them, and their widths.
        self.around: dict[int, tuple[int, tuple[int, ...]]] = {}
        self.path: list[str] = []
        self.leaf = False
        # Whether a module runs that is one layer as a whole.
        self.inside = False

    def entering(self, path: str) -> Callable[..., None]:
        def enter(module: nn.Module, arguments: object) -> None:
            self.path.append(path)
            self.inside = hasattr(module, "lowered")
            self.leaf = next(module.children(), None) is None

        return enter

    def leaving(self, module: nn.Module, arguments: tuple[Any, ...], result: Any) -> None:
        if self.inside and result is not None:
            self._attention(module, arguments, result)
        self.path.pop()
        self.leaf = self.inside = False

    def result(self) -> dict[str, LayerSpec]:
        for name, layer in self.layers.items():
            if layer.gate:
                raise _unsupported(f"{name} (a hard sigmoid that is not a squeeze-and-excitation)")
        return {name: layer.spec for name, layer in self.layers.items()}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kind = func.overloadpacket
        if self.inside:
            return func(*args, **(kwargs or {}))
        if kind in _NORMS:  # what it computes has the shape of its input; torch takes a millisecond to find that out
            result: Any = (torch.empty_like(args[0]), torch.empty(0), torch.empty(0))
        elif kind in _ALIKE and all(isinstance(t, Tensor) and t.shape == args[0].shape for t in args):
            result = torch.empty_like(args[0])
        else:
            result = func(*args, **(kwargs or {}))
        outputs = [t for t in (result if isinstance(result, (tuple, list)) else [result]) if isinstance(t, Tensor)]
        read = [t for t in args if isinstance(t, Tensor) and id(t) in self.writers]
        if read and outputs:
            layer = self._layer(kind, read, args, outputs[0])
            self.writers[id(outputs[0])] = (layer, outputs[0])
        return result

    def _layer(self, kind: Any, read: list[Tensor], args: tuple[Any, ...], out: Tensor) -> _Layer | None:
        before = self.writers[id(read[0])][0]
        if kind in _VIEWS:
            return before
        if kind is _aten.constant_pad_nd and read[0].dim() == len(args[1]) == 4 and not any(args[2:]):
            self.around[id(out)] = int(read[0].shape[-1]), tuple(args[1])
            return before
        if kind is _aten.convolution:
            return self._convolution(read[0], args, out, before)
        if any(id(t) in self.around for t in read):
            raise _unsupported(
                f"{self.path[-1] or 'the network'} (zeros around an image that a convolution does not read)"
            )
        if kind in (_aten.addmm, _aten.linear, _aten.mm):
            return self._linear(kind, read[0], args, before)
        if kind in _NORMS and before is not None and before.spec.kind in ("conv", "pointwise", "depthwise"):
            before.spec = replace(before.spec, batch_norm=True)
            return before
        if kind in _ACTIVATIONS and before is not None:
            before.spec = replace(before.spec, activation=_ACTIVATIONS[kind])
            return before
        if kind in _CLIPS and args[1:] == (0.0, 6.0) and before is not None:
            before.spec = replace(before.spec, activation="relu6")
            return before
        if kind in _GATES and before is not None:
            before.gate = True
            return before
        channels, size = self._extent(read[0])
        if kind is _aten.native_layer_norm and args[2] is not None and list(args[1]) == [channels]:
            spec = LayerSpec("", "norm", channels, channels, 1, 1, size, bias=args[3] is not None)
            return self._put("norm", spec, before)
        layers = [self.writers[id(t)][0] for t in read]
        if kind in (_aten.add, _aten.add_) and len(read) == 2:
            inputs = [layer for layer in layers if layer is not None]
            return self._put("add", LayerSpec("", "add", channels, channels, 1, 1, size), *inputs)
        of_tokens = read[0].dim() == 3 and kind is _aten.mean and list(args[1]) == [1]
        of_image = read[0].dim() == 4 and kind in (_aten.mean, _aten._adaptive_avg_pool2d) and out[0, 0].numel() == 1
        if of_tokens or of_image:
            return self._put("pool", LayerSpec("", "pool", channels, channels, 1, 1, size), before)
        if kind in (_aten.max_pool2d_with_indices, _aten.avg_pool2d):
            return self._window("avgpool" if kind is _aten.avg_pool2d else "maxpool", args, channels, size, before)
        if kind in (_aten.mul, _aten.mul_) and len(read) == 2:
            return self._squeeze_excite(layers, channels, size)
        raise _unsupported(f"{self.path[-1] or 'the network'} ({kind.__name__})")

    def _extent(self, tensor: Tensor) -> tuple[int, int]:
        """Channels, and height and width, of an image or of the image that tokens come from."""
        if tensor.dim() != 3:
            return int(tensor.shape[1]), int(tensor.shape[-1])
        return int(tensor.shape[2]), self._side(int(tensor.shape[1]))

    def _side(self, tokens: int) -> int:
        side = math.isqrt(tokens)
        if side**2 != tokens:
            raise _unsupported(f"{self.path[-1] or 'the network'} ({tokens} tokens, which are no square image)")
        return side

    def _linear(self, kind: Any, source: Tensor, args: tuple[Any, ...], before: _Layer | None) -> _Layer:
        weight = next(t for t in reversed(args) if isinstance(t, Tensor) and id(t) not in self.writers)
        into, outputs = (weight.shape[1], weight.shape[0]) if kind is _aten.linear else weight.shape
        bias = len([t for t in args if isinstance(t, Tensor)]) == 3
        # One image goes through, so that rows are its tokens.
        rows = source.numel() // int(into)
        name = "linear" if rows == 1 else "pointwise"
        return self._put(name, LayerSpec("", name, into, outputs, 1, 1, self._side(rows), bias=bias), before)

    def _attention(self, module: nn.Module, read: tuple[Tensor, ...], result: Tensor) -> None:
        channels, size = self._extent(result)
        spec = LayerSpec("", "attention", channels, channels, 1, 1, size, heads=int(module.heads))  # type: ignore[arg-type]
        layer = self._put("attention", spec, *(self.writers[id(t)][0] for t in read))
        self.writers[id(result)] = (layer, result)

    def _convolution(self, image: Tensor, args: tuple[Any, ...], out: Tensor, before: _Layer | None) -> _Layer:
        _, weight, bias, stride, padding, dilation, transposed, _, groups = args
        into, outputs, kernel = int(image.shape[1]), int(weight.shape[0]), int(weight.shape[-1])
        size, widths = self.around.get(id(image), (int(image.shape[-1]), (0, 0, 0, 0)))
        sides = {(padding[0] + before, padding[0] + after) for before, after in (widths[:2], widths[2:])}
        usual = kernel % 2 and set(weight.shape[2:]) == {kernel} and len(set(padding)) == 1
        usual = usual and sides in ({(kernel // 2,) * 2}, {same_sides(size, kernel, int(stride[0]))})
        alike = len(set(stride)) == 1 and set(dilation) == {1} and not transposed and groups in (1, into)
        if not (usual and alike and (groups == 1 or outputs == into) and image.shape[2] == image.shape[3]):
            raise _unsupported(f"{self.path[-1]} (a convolution with this kernel, padding, dilation or groups)")
        kind = ("pointwise" if kernel == 1 else "conv") if groups == 1 else "depthwise"
        spec = LayerSpec("", kind, into, outputs, kernel, int(stride[0]), size, bias=bias is not None)
        return self._put(kind, spec, before)

    def _window(self, kind: str, args: tuple[Any, ...], channels: int, size: int, before: _Layer | None) -> _Layer:
        (kernel, *_), (stride, *_) = args[1], args[2] or args[1]
        return self._put(kind, LayerSpec("", kind, channels, channels, int(kernel), int(stride), size), before)

    def _squeeze_excite(self, layers: list[_Layer | None], channels: int, size: int) -> _Layer:
        """Replaces the mean and the two layers of a gate by one layer."""
        scaled, gate = sorted(layers, key=lambda layer: layer is not None and layer.gate)
        chain = [gate]
        while len(chain) < 3 and chain[-1] is not None and len(chain[-1].inputs) == 1:
            chain.append(chain[-1].inputs[0])
        expand, reduce, pool = (*chain, None, None)[:3]
        if (
            (expand is None or reduce is None or pool is None)
            or not (expand.gate and pool.spec.kind == "pool" and reduce.spec.activation == "relu")
            or pool.inputs != (() if scaled is None else (scaled,))
        ):
            raise _unsupported(f"{self.path[-1] or 'the network'} (a product that is not a squeeze-and-excitation)")
        for part in (expand, reduce, pool):
            del self.layers[part.spec.name]
        middle = reduce.spec.out_channels
        spec = LayerSpec("", "se", channels, channels, 1, 1, size, se_channels=middle)
        return self._put("se", spec, scaled)

    def _put(self, kind: str, spec: LayerSpec, *before: _Layer | None) -> _Layer:
        inputs = tuple(layer for layer in before if layer is not None)
        latest = max(inputs, key=lambda layer: layer.number, default=None)
        owner = self.path[-1] if self.leaf else f"{latest.spec.name if latest else ''}.{kind}"
        name = owner.lstrip(".")
        times = 1 + sum(known == name or known.startswith(f"{name}#") for known in self.layers)
        name = name if times == 1 else f"{name}#{times}"
        layer = self.layers[name] = _Layer(replace(spec, name=name), next(self.numbers), inputs)
        return layer


def _unsupported(what: str) -> UnsupportedLayerError:
    return UnsupportedLayerError(f"The layers of the network cannot be told: {what} is no known layer.", _NEXT_STEP)
