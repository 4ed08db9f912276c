"""Physical features: amounts of work that hardware does for a layer.

A latency is modelled as the sum of these amounts, each multiplied by a non-negative price. Amounts add up over layers,
and therefore over the choices of a space at a given resolution. They follow what the kernels of ONNX Runtime and of
mobile runtimes do: convolutions work on blocks of channels (16 lanes with AVX-512), read their input once per 64
output channels and write their output once per 128 input channels; depthwise kernels are slow where the window leaves
the image; the product of a matrix and one vector is bound by reading the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import AdditiveTable, Floats, SpaceLayers
from nagsdk.errors import UnsupportedLayerError
from nagsdk.space.decisions import Contexts
from nagsdk.space.layer import LayerSpec
from nagsdk.space.space import Codes, SearchSpace

# Name of each feature: meaning of one unit.
FEATURES: dict[str, str] = {
    "network": "one inference",
    "calls": "one convolution, linear layer, pooling or layer normalisation",
    "conv_macs": "10^6 multiply-accumulates of full convolutions",
    "pointwise_macs": "10^6 multiply-accumulates of 1x1 convolutions",
    "pointwise_padding": "10^6 additional multiply-accumulates when channels are rounded up to multiples of 16",
    "pointwise_reads": "10^6 input elements, once per 64 output channels",
    "pointwise_writes": "10^6 output elements, once per 128 input channels",
    "pointwise_weights": "10^6 weights of 1x1 convolutions",
    "depthwise_macs": "10^6 multiply-accumulates of depthwise convolutions, columns inside the image",
    "depthwise_border": "10^6 multiply-accumulates of depthwise convolutions, columns whose window leaves the image",
    "depthwise_large": "10^6 multiply-accumulates of depthwise convolutions with kernels of more than 25 taps",
    "depthwise_inputs": "10^6 input elements",
    "depthwise_outputs": "10^6 output elements",
    "vector_weights": "10^6 weights of layers with a single position: linear layers, 1x1 convolutions on 1x1 inputs",
    "se_calls": "one squeeze-and-excitation",
    "se_weights": "10^6 weights of squeeze-and-excitations",
    "se_elements": "10^6 elements that squeeze-and-excitations rescale",
    "hswish_elements": "10^6 outputs that pass a hard swish",
    "add_elements": "10^6 elements added",
    "pool_elements": "10^6 elements averaged, or compared for a maximum",
    "swish_elements": "10^6 outputs that pass a swish (x * sigmoid(x))",
    "gelu_elements": "10^6 outputs that pass a GELU",
    "norm_elements": "10^6 elements normalised over the channels of a token",
    "attention_calls": "one attention",
    "attention_macs": "10^6 multiply-accumulates of queries with keys, and of weights with values",
    "attention_scores": "10^6 scores of pairs of tokens, which pass a softmax",
    "attention_elements": "10^6 elements of queries, keys, values and results, which are put in order by heads",
}
_INDEX = {name: index for index, name in enumerate(FEATURES)}
# What an activation costs beyond the layer that it follows; runtimes clip a ReLU while they write.
_ACTIVATIONS = {
    **dict.fromkeys(("none", "relu", "relu6")),
    **{name: f"{name}_elements" for name in ("hswish", "swish", "gelu")},
}
_LANES, _OUTPUT_BLOCK, _INPUT_BLOCK, _SMALL_TAPS = 16, 64, 128, 25
_MILLION = 1e6


def layer_features(layers: Sequence[LayerSpec]) -> Floats:
    """Returns the features of layers, shape (n, features), in the units of `FEATURES`.

    Raises:
        UnsupportedLayerError: The features of a kind of layer are not known.
    """
    return np.array([_features(layer) for layer in layers]).reshape(len(layers), len(FEATURES))


def network_features(layers: Sequence[LayerSpec]) -> Floats:
    """Returns the features of a whole network, shape (features,)."""
    total: Floats = layer_features(layers).sum(0)
    total[_INDEX["network"]] = 1.0
    return total


def _features(layer: LayerSpec) -> list[float]:
    values = dict.fromkeys(FEATURES, 0.0)
    kind, into, out, weights = layer.kind, layer.in_channels, layer.out_channels, layer.weights
    positions = layer.out_size**2
    outputs = out * positions / _MILLION
    if kind == "linear" or (kind == "pointwise" and positions == 1):
        values |= {"calls": 1, "vector_weights": weights / _MILLION}
    elif kind == "pointwise":
        padded = _ceil(into, _LANES) * _ceil(out, _LANES) * _LANES**2
        values |= {
            "calls": 1,
            "pointwise_macs": into * outputs,
            "pointwise_padding": (padded - into * out) * positions / _MILLION,
            "pointwise_reads": into * positions * _ceil(out, _OUTPUT_BLOCK) / _MILLION,
            "pointwise_writes": outputs * _ceil(into, _INPUT_BLOCK),
            "pointwise_weights": weights / _MILLION,
        }
    elif kind == "depthwise":
        inside, border = _depthwise_macs(layer)
        values |= {
            "calls": 1,
            "depthwise_macs": inside,
            "depthwise_border": border,
            "depthwise_large": inside + border if layer.kernel**2 > _SMALL_TAPS else 0.0,
            "depthwise_inputs": into * layer.in_size**2 / _MILLION,
            "depthwise_outputs": outputs,
        }
    elif kind == "se":
        values |= {"se_calls": 1, "se_weights": weights / _MILLION, "se_elements": outputs}
    elif kind == "add":
        values["add_elements"] = outputs
    elif kind == "pool":
        values |= {"calls": 1, "pool_elements": into * layer.in_size**2 / _MILLION}
    elif kind in ("maxpool", "avgpool"):
        values |= {"calls": 1, "pool_elements": outputs * layer.kernel**2}
    elif kind == "conv":
        values |= {"calls": 1, "conv_macs": weights * positions / _MILLION}
    elif kind == "norm":
        values |= {"calls": 1, "norm_elements": outputs}
    elif kind == "attention":
        values |= {
            "attention_calls": 1,
            "attention_macs": layer.macs / _MILLION,
            "attention_scores": layer.heads * positions**2 / _MILLION,
            "attention_elements": 4 * outputs,
        }
    else:
        work = layer.amounts.work
        assert work is not None
        values |= work(layer)
        if unknown := [name for name, amount in values.items() if name not in FEATURES or not 0 <= amount < np.inf]:
            raise UnsupportedLayerError(
                f"The kind of layer {kind!r} does not tell its work as amounts of features ({unknown[0]}).",
                f"Let its function `work` return finite amounts, 0 or more, of: {', '.join(FEATURES)}.",
            )
    if layer.activation not in _ACTIVATIONS:
        raise UnsupportedLayerError(
            f"What the activation {layer.activation!r:.80} of the layer {layer.name} costs is not known.",
            f"Use one of the activations {', '.join(_ACTIVATIONS)}.",
        )
    if feature := _ACTIVATIONS[layer.activation]:
        values[feature] = outputs
    return list(values.values())


def _depthwise_macs(layer: LayerSpec) -> tuple[float, float]:
    """Returns the 10^6 multiply-accumulates in columns inside the image and in columns at its border.

    Rows outside the image are skipped, because kernels skip them too.
    """
    rows, border = _windows(layer.kernel, layer.stride, layer.in_size, layer.out_size)
    per_column = layer.out_channels * rows * layer.kernel / _MILLION
    return per_column * (layer.out_size - border), per_column * border


@lru_cache
def _windows(kernel: int, stride: int, size: int, out_size: int) -> tuple[int, int]:
    """Returns the number of rows of all windows inside the image, and the number of windows that cross its border."""
    start = np.arange(out_size) * stride - kernel // 2
    within = np.minimum(start + kernel, size) - np.maximum(start, 0)
    return int(within.sum()), int((within < kernel).sum())


def _ceil(value: int, block: int) -> int:
    return -(-value // block)


@dataclass(frozen=True)
class FeatureTable:
    """Features of every choice of a space; R resolutions, C most choices, F features.

    Attributes:
        base: Features of the fixed layers, shape (R, F).
        choice: Features of each choice, shape (R, rows, C, F); 0 where a choice adds no layer or does not exist.
        rows: The rows of the space.
    """

    base: Floats
    choice: Floats
    rows: Contexts

    @classmethod
    def of(cls, space: SearchSpace) -> FeatureTable:
        """Returns the table of a space; it is computed once per space and process."""
        known = _TABLES.get(space.fingerprint)
        if known is None:
            known = _TABLES[space.fingerprint] = cls._build(space)
        return known

    @classmethod
    def _build(cls, space: SearchSpace) -> FeatureTable:
        layers = SpaceLayers.of(space)
        values = layers.sums(layer_features(layers.unique))
        base = values[:, -1]
        base[:, _INDEX["network"]] = 1.0
        choice = values[:, :-1].reshape(len(space.resolutions), len(space.rows), -1, len(FEATURES))
        return cls(base, choice, space.rows)

    @cached_property
    def _padded(self) -> Floats:
        """`choice` with a row of zeros after the last choice, for inactive decisions, shape (R * rows, C + 1, F)."""
        r, d, _, f = self.choice.shape
        return np.concatenate([self.choice, np.zeros((r, d, 1, f))], axis=2).reshape(r * d, -1, f)

    def of_codes(self, codes: Codes) -> Floats:
        """Returns the features of architectures, shape (n, F)."""
        resolution = codes[:, 0].astype(np.intp)
        _, rows, most, _ = self.choice.shape
        index = np.where(codes < 0, most, codes).astype(np.intp)
        total = self.base[resolution].copy()
        for d in range(codes.shape[1]):
            row = self.rows.starts[d] + self.rows.within(d, codes)
            total += self._padded[resolution * rows + row, index[:, d]]
        return total

    @property
    def typical(self) -> Floats:
        """Features of an average architecture, shape (F,); decisions that may be inactive count as active."""
        typical: Floats = self.base.mean(0) + (self.choice.mean(2) * self.rows.share[:, None]).sum(1).mean(0)
        return typical

    def priced(self, weights: NDArray[np.float64]) -> AdditiveTable:
        """Returns the additive table of the cost that has these prices per unit of each feature, shape (F,)."""
        return AdditiveTable(self.base @ weights, self.choice @ weights, self.rows)


_TABLES: dict[str, FeatureTable] = {}
