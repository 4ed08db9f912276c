"""Description of one layer as hardware executes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nagsdk.errors import UnsupportedLayerError

KINDS = ("conv", "pointwise", "depthwise", "se", "add", "pool", "linear")


@dataclass(frozen=True)
class LayerSpec:
    """One layer as hardware executes it; cost models, backends and the MAC counter read it.

    Attributes:
        name: Position in the network, such as ``stage2.block3.depthwise``.
        kind: One of `KINDS`. Code that depends on the kind raises `UnsupportedLayerError` for any other.
        in_channels: Number of input channels.
        out_channels: Number of output channels.
        kernel: Kernel height and width.
        stride: Stride in both directions.
        in_size: Height and width of the input.
        activation: ``none``, ``relu`` or ``hswish`` (a hard swish), applied to the output.
        se_channels: Inner width of an ``se`` layer (squeeze-and-excitation), otherwise 0.
        batch_norm: Whether batch normalisation follows the layer.
        bias: Whether the layer has a bias of its own.
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

    def by_kind(self, values: Mapping[str, float]) -> float:
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
    def out_size(self) -> int:
        """Height and width of the output (odd kernels, padding kernel // 2)."""
        self.by_kind(_KNOWN)
        return 1 if self.kind == "pool" else (self.in_size - 1) // self.stride + 1

    @property
    def weights(self) -> int:
        """Number of weights of convolutions and linear layers, without biases and batch normalisation."""
        self.by_kind(_KNOWN)
        if self.kind == "se":
            return 2 * self.in_channels * self.se_channels
        if self.kind == "depthwise":
            return self.out_channels * self.kernel**2
        if self.kind in ("add", "pool"):
            return 0
        return self.in_channels * self.out_channels * self.kernel**2

    @property
    def macs(self) -> int:
        """Number of multiply-accumulates of one inference at batch size 1."""
        return self.weights * (1 if self.kind == "se" else self.out_size**2)

    @property
    def parameters(self) -> int:
        """Number of trainable parameters: weights, biases, scale and shift of batch normalisation."""
        if self.kind == "se":
            return self.weights + self.se_channels + self.in_channels
        return self.weights + self.out_channels * (2 * self.batch_norm + self.bias)

    @property
    def folded_parameters(self) -> int:
        """Number of parameters in a deployed file, where batch normalisation is folded into weights and bias."""
        return self.parameters - self.out_channels * (self.batch_norm and not self.bias)

    @property
    def activations(self) -> int:
        """Number of activation elements read and written."""
        return (
            self.in_channels * self.in_size**2 * (2 if self.kind == "add" else 1) + self.out_channels * self.out_size**2
        )


_KNOWN = dict.fromkeys(KINDS, 0.0)
