"""Quantises a TFLite file with ai-edge-quantizer: float16 weights, or dynamic-range int8."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from nagsdk.common.pip import pip
from nagsdk.errors import DeviceError, DeviceUnavailableError
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
        DeviceError: It fails.
    """
    if importlib.util.find_spec("ai_edge_quantizer") is None:
        raise DeviceUnavailableError(
            f"The precision {precision} needs ai-edge-quantizer, which is not installed.",
            f"Install it: {pip('install', 'nagsdk[quantize]')}",
        )
    done = subprocess.run(  # noqa: S603 — this interpreter and our own module
        [sys.executable, "-P", "-m", __name__, str(path), precision],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        check=False,
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise DeviceError(
            f"ai-edge-quantizer could not quantise the network to {precision} (exit status {done.returncode})"
            f"{f': {lines[-1]}' if lines else ''}.",
            "Use another precision, or another version of ai-edge-quantizer.",
        )


def main(path: Path, precision: str) -> None:
    """Quantises a file in this process, where the quantiser may print or crash."""
    from ai_edge_quantizer import qtyping, quantizer, recipe

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


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
