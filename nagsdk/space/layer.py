"""A layer as hardware sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nagsdk.errors import UnsupportedLayerError

KINDS = ("conv", "pointwise", "depthwise", "se", "add", "pool", "linear")


@dataclass(frozen=True)
class LayerSpec:
    """One layer as hardware sees it: what cost models, backends and the MAC counter read.

    Attributes:
        name: Place in the network, such as ``stage2.block3.depthwise``.
        kind: One of `KINDS`. What depends on the kind refuses any other with an `UnsupportedLayerError`.
        in_channels: Channels read.
        out_channels: Channels written.
        kernel: Kernel height and width.
        stride: Step in both directions.
        in_size: Height and width of the input.
        activation: ``none``, ``relu`` or ``hswish`` (a hard swish), applied to the output.
        se_channels: Width of the squeeze of an ``se`` layer, otherwise 0.
        batch_norm: Whether batch normalisation follows.
        bias: Whether the layer has a bias of its own.
    """

    name: str
    kind: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    in_size: int
    # A hard swish is "hswish" here, because the word is hashed into fingerprints of spaces and stands in bundles and priors.
    activation: str = "none"
    se_channels: int = 0
    batch_norm: bool = False
    bias: bool = False

    def by_kind(self, values: Mapping[str, float]) -> float:
        """The value that belongs to the layer's kind.

        Raises:
            UnsupportedLayerError: There is none.
        """
        if self.kind not in values:
            raise UnsupportedLayerError(
                f"The layer {self.name} is of an unknown kind, {self.kind!r}.",
                f"Layers here are of the kinds {', '.join(values)}.",
            )
        return values[self.kind]

    @property
    def out_size(self) -> int:
        """Height and width of the output (odd kernels, padding kernel // 2)."""
        self.by_kind(_KNOWN)
        return 1 if self.kind == "pool" else (self.in_size - 1) // self.stride + 1

    @property
    def weights(self) -> int:
        """Weights of the convolutions, without biases and batch normalisation."""
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
        """Multiply-accumulates of one inference at batch 1."""
        return self.weights * (1 if self.kind == "se" else self.out_size**2)

    @property
    def parameters(self) -> int:
        """Trainable parameters: weights, biases, scale and shift of batch normalisation."""
        if self.kind == "se":
            return self.weights + self.se_channels + self.in_channels
        return self.weights + self.out_channels * (2 * self.batch_norm + self.bias)

    @property
    def folded_parameters(self) -> int:
        """Numbers in a deployed file, where batch normalisation has become a bias."""
        return self.parameters - self.out_channels * (self.batch_norm and not self.bias)

    @property
    def activations(self) -> int:
        """Elements read and written."""
        return (
            self.in_channels * self.in_size**2 * (2 if self.kind == "add" else 1) + self.out_channels * self.out_size**2
        )


_KNOWN = dict.fromkeys(KINDS, 0.0)
