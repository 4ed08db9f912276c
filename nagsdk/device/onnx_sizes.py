"""Estimates the size of ONNX files in int8; `Backend.layer_bytes` has that of files in float32."""

from __future__ import annotations

from nagsdk.space.layer import LayerSpec

# Bytes that the operators of a layer take with QuantizeLinear and DequantizeLinear; read off exported files.
_OVERHEAD = {
    "conv": 550.0,
    "pointwise": 550.0,
    "depthwise": 550.0,
    "linear": 550.0,
    "se": 1360.0,
    "add": 135.0,
    "pool": 350.0,
    "maxpool": 150.0,
    "avgpool": 150.0,
}
HARD_SWISH, REWRITTEN_HARD_SWISH = 15.0, 420.0


def integer_layer_bytes(layer: LayerSpec, hard_swish: float) -> float:
    """Estimates how many bytes a layer adds to an ONNX file in int8.

    Args:
        layer: The layer.
        hard_swish: `HARD_SWISH`, or `REWRITTEN_HARD_SWISH` if it is written as other operators.
    """
    # Every channel has a scale and a zero point for its weights and its bias, and the bias.
    scales = 16.0 * (layer.out_channels + layer.se_channels) if layer.weights else 0.0
    return layer.folded_parameters + scales + layer.by_kind(_OVERHEAD) + hard_swish * (layer.activation == "hswish")
