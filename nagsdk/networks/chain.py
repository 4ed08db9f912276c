"""Writes down the layers of a network in the order in which they run."""

from __future__ import annotations

from nagsdk.families.widths import make_divisible
from nagsdk.space.layer import LayerSpec


class Chain:
    """Layers of a network, each of which takes what the one before gives.

    Args:
        size: Height and width of the input.
        channels: Number of channels of the input.
        activation: Activation of the layers that name none.

    Attributes:
        layers: The layers so far.
        size: Height and width of the present output.
        channels: Channels of the present output.
    """

    def __init__(self, size: int, channels: int = 3, activation: str = "relu") -> None:
        self.size, self.channels, self.activation = size, channels, activation
        self.layers: list[LayerSpec] = []

    def _add(
        self, kind: str, out: int, kernel: int = 1, stride: int = 1, act: str = "none", **more: bool | int
    ) -> None:
        batch_norm = kind in ("conv", "pointwise", "depthwise") and not more.get("bias", False)
        layer = LayerSpec(
            f"layer{len(self.layers)}", kind, self.channels, out, kernel, stride, self.size, act,
            se_channels=int(more.get("se_channels", 0)), batch_norm=batch_norm, bias=bool(more.get("bias", False)),
        )  # fmt: skip
        self.layers.append(layer)
        self.size, self.channels = layer.out_size, out

    def conv(self, out: int, kernel: int, stride: int = 1, act: str | None = None, *, bias: bool = False) -> None:
        """A full convolution; ``bias`` means one without batch normalisation."""
        self._add("conv" if kernel > 1 else "pointwise", out, kernel, stride, self._act(act), bias=bias)

    def pointwise(self, out: int, act: str | None = "none", *, bias: bool = False) -> None:
        """A 1x1 convolution."""
        self._add("pointwise", out, act=self._act(act), bias=bias)

    def depthwise(self, kernel: int, stride: int = 1, act: str | None = None) -> None:
        """A depthwise convolution."""
        self._add("depthwise", self.channels, kernel, stride, self._act(act))

    def se(self, inner: int) -> None:
        """A squeeze-and-excitation."""
        self._add("se", self.channels, se_channels=inner)

    def add(self) -> None:
        """The sum of two tensors of this shape."""
        self._add("add", self.channels)

    def pool(self) -> None:
        """The average over all positions."""
        self._add("pool", self.channels)

    def linear(self, out: int, act: str | None = "none") -> None:
        """A linear layer."""
        self._add("linear", out, act=self._act(act), bias=True)

    def classify(self, classes: int = 1000) -> None:
        """Averages over the positions and applies a linear layer."""
        if self.size > 1:
            self.pool()
        self.linear(classes)

    def inverted(
        self, out: int, kernel: int, stride: int, expanded: int, act: str | None = None, se: int | None = None
    ) -> None:
        """An inverted residual block (Sandler et al., 2018): expand, depthwise, squeeze-and-excitation, project.

        Args:
            out: Output channels.
            kernel: Kernel of the depthwise convolution.
            stride: Its stride.
            expanded: Channels of the depthwise convolution; equal to the input's, it has no layer of its own.
            act: Activation.
            se: Inner channels of the squeeze-and-excitation; None for none.
        """
        into = self.channels
        if expanded != into:
            self.pointwise(expanded, act)
        self.depthwise(kernel, stride, act)
        if se is not None:
            self.se(se)
        self.pointwise(out)
        if stride == 1 and into == out:
            self.add()

    def _act(self, act: str | None) -> str:
        return self.activation if act is None else act


def width(channels: int, factor: float) -> int:
    """Channels scaled by a width multiplier, rounded as the published networks round them."""
    return make_divisible(channels * factor)
