"""Description of one layer as hardware executes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from nagsdk.errors import UnsupportedLayerError, UsageError

T = TypeVar("T")
# The kinds that nagsdk itself knows; every backend runs them unless it says otherwise.
KINDS = (
    "conv", "pointwise", "depthwise", "se", "add", "pool", "linear", "maxpool", "avgpool", "norm", "attention"
)  # fmt: skip
# Of these, the kinds and the activations that have no integer form yet, as users call them.
_FLOAT_ONLY = {
    "maxpool": "maxima of windows",
    "avgpool": "means of windows",
    "norm": "layer normalisation",
    "attention": "attention",
}
_FLOAT_ONLY_ACTIVATIONS = {"gelu": "GELU"}
_TENSORS_READ = {"add": 2, "attention": 3}


@dataclass(frozen=True)
class LayerSpec:
    """One layer as hardware executes it; cost models, backends and the MAC counter read it.

    Attributes:
        name: Position in the network, such as ``stage2.block3.depthwise``.
        kind: One of `KINDS`, or one that was added with `add_kind`. Code that depends on the kind raises
            `UnsupportedLayerError` for any other.
        in_channels: Number of input channels.
        out_channels: Number of output channels.
        kernel: Kernel height and width.
        stride: Stride in both directions.
        in_size: Height and width of the input.
        activation: ``none``, ``relu``, ``relu6``, ``hswish`` (a hard swish), ``swish`` or ``gelu``, applied to the
            output.
        se_channels: Inner width of an ``se`` layer (squeeze-and-excitation), otherwise 0.
        batch_norm: Whether batch normalisation follows the layer.
        bias: Whether the layer has a bias of its own.
        heads: Number of heads of an ``attention`` layer, otherwise 0.

    Tokens are counted like the positions of the image that they come from: `in_size` is the square root of their
    number. A linear layer that is applied to each token is a ``pointwise`` one.
    """

    name: str
    kind: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    in_size: int
    # Hard swish keeps the name "hswish", which bundles and priors store and fingerprints of spaces depend on.
    activation: str = "none"
    se_channels: int = 0
    batch_norm: bool = False
    bias: bool = False
    heads: int = 0

    def by_kind(self, values: Mapping[str, T]) -> T:
        """Looks up the value for this layer's kind.

        Raises:
            UnsupportedLayerError: `values` has no entry for this kind.
        """
        if self.kind not in values:
            raise UnsupportedLayerError(
                f"The layer {self.name} has the unknown kind {self.kind!r}.",
                f"Use one of the kinds {', '.join(values)}.",
            )
        return values[self.kind]

    @property
    def amounts(self) -> LayerKind:
        """What is known about the kind of this layer.

        Raises:
            UnsupportedLayerError: Nobody has added this kind.
        """
        return self.by_kind(_KNOWN)

    @property
    def out_size(self) -> int:
        """Height and width of the output; by default that of odd kernels with a padding of kernel // 2."""
        return self.amounts.out_size(self)

    @property
    def weights(self) -> int:
        """Number of weights, without biases and batch normalisation."""
        return self.amounts.weights(self)

    @property
    def macs(self) -> int:
        """Number of multiply-accumulates of one inference at batch size 1."""
        return self.amounts.macs(self)

    @property
    def parameters(self) -> int:
        """Number of trainable parameters: weights, biases, scale and shift of batch normalisation."""
        return self.amounts.parameters(self)

    @property
    def folded_parameters(self) -> int:
        """Number of parameters in a deployed file, where batch normalisation is folded into weights and bias."""
        return self.parameters - self.out_channels * (self.batch_norm and not self.bias)

    @property
    def float_only(self) -> str:
        """What in this layer has no integer form yet, in words; empty if all of it has one."""
        return _FLOAT_ONLY.get(self.kind, "") or _FLOAT_ONLY_ACTIVATIONS.get(self.activation, "")

    @property
    def activations(self) -> int:
        """Number of activation elements read and written."""
        read = _TENSORS_READ.get(self.kind, 1) * self.in_channels * self.in_size**2
        return read + self.out_channels * self.out_size**2


def same_sides(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an image by TensorFlow's rule SAME, along height or width.

    There are as many as the last window needs, and of an odd number of them the larger half comes after the image. For
    odd kernels, the output is as large as with equal sides of kernel // 2.

    Args:
        size: Height or width of the image.
        kernel: That of the kernel.
        stride: Stride.
    """
    total = max(((size - 1) // stride) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _strided(layer: LayerSpec) -> int:
    return (layer.in_size - 1) // layer.stride + 1


def _at_every_position(layer: LayerSpec) -> int:
    return layer.weights * layer.out_size**2


def _with_normalisation(layer: LayerSpec) -> int:
    return layer.weights + layer.out_channels * (2 * layer.batch_norm + layer.bias)


@dataclass(frozen=True)
class LayerKind:
    """A kind of layer: functions of a layer that tell what it amounts to.

    Attributes:
        name: Its name in `LayerSpec.kind`.
        weights: Number of weights.
        work: Amounts of work by the name of a feature (`nagsdk.cost.features.FEATURES`), which latencies are predicted
            from; None for the kinds in `KINDS`, whose work `nagsdk.cost.features` knows.
        macs: Number of multiply-accumulates; by default each weight counts once at every position of the output.
        parameters: Number of trainable parameters.
        out_size: Height and width of the output.
    """

    name: str
    weights: Callable[[LayerSpec], int]
    work: Callable[[LayerSpec], Mapping[str, float]] | None = None
    macs: Callable[[LayerSpec], int] = _at_every_position
    parameters: Callable[[LayerSpec], int] = _with_normalisation
    out_size: Callable[[LayerSpec], int] = _strided


def add_kind(kind: LayerKind) -> None:
    """Makes a kind of layer known in this process; the module of a family of networks calls it when it is imported.

    Raises:
        UsageError: Another kind has this name, or nothing is said about its work.
    """
    if kind.work is None:
        raise UsageError(f"The kind of layer {kind.name!r} does not tell its work.", "Give the function `work`.")
    if _KNOWN.setdefault(kind.name, kind) != kind:
        raise UsageError(f"There is another kind of layer with the name {kind.name!r}.", "Choose another name.")


def _full(layer: LayerSpec) -> int:
    return layer.in_channels * layer.out_channels * layer.kernel**2


_KNOWN = {
    kind.name: kind
    for kind in (
        LayerKind("conv", _full),
        LayerKind("pointwise", _full),
        LayerKind("depthwise", lambda layer: layer.out_channels * layer.kernel**2),
        LayerKind(
            "se",
            lambda layer: 2 * layer.in_channels * layer.se_channels,
            macs=lambda layer: layer.weights,
            parameters=lambda layer: layer.weights + layer.se_channels + layer.in_channels,
        ),
        LayerKind("add", lambda layer: 0),
        LayerKind("pool", lambda layer: 0, out_size=lambda layer: 1),
        # Of windows; those of an average do not overlap, and the last one may be cut off by the image.
        LayerKind("maxpool", lambda layer: 0),
        LayerKind("avgpool", lambda layer: 0),
        LayerKind("linear", _full),
        LayerKind("norm", lambda layer: layer.out_channels, macs=lambda layer: 0),
        # Products of queries with keys and of weights with values; queries, keys and values come from layers before.
        LayerKind(
            "attention",
            lambda layer: 0,
            macs=lambda layer: 2 * layer.in_size**4 * layer.out_channels,
        ),
    )
}
