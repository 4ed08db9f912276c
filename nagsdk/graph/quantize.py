"""Quantises a TFLite file with ai-edge-quantizer: float16 weights, or dynamic-range int8."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np

from nagsdk.common.pip import pip
from nagsdk.errors import DeviceUnavailableError
from nagsdk.graph.tflite import packed
from nagsdk.graph.tflite_schema import schema

FP16, INT8 = "fp16", "int8"


def quantize(path: Path, precision: str) -> None:
    """Quantises a float32 file in place.

    Args:
        path: Path of the file.
        precision: ``fp16`` (weights only; a runtime on the CPU converts them to float32 when it loads the file) or
            ``int8`` (weights per channel; activations are quantised at run time by their current range).

    Raises:
        DeviceUnavailableError: ai-edge-quantizer is not installed.
    """
    try:
        from ai_edge_quantizer import qtyping, quantizer, recipe
    except ImportError as error:
        raise DeviceUnavailableError(
            f"The precision {precision} needs ai-edge-quantizer: {error}.",
            f"Install it: {pip('install', 'nagsdk[quantize]')}",
        ) from error

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # it prints its progress
        work = quantizer.Quantizer(path.read_bytes())
        if precision == INT8:
            work.load_quantization_recipe(recipe.dynamic_wi8_afp32())
        else:
            half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
            work.update_quantization_recipe(
                regex=".*",
                operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
                op_config=qtyping.OpQuantizationConfig(
                    weight_tensor_config=half, compute_precision=qtyping.ComputePrecision.FLOAT
                ),
                algorithm_key="float_casting",
            )
        content = bytes(work.quantize().quantized_model)
    # The quantiser does not align small weights, and puts large ones behind the end of the flatbuffer.
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    path.write_bytes(packed(model))
