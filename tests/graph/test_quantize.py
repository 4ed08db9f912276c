import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nagsdk.graph.quantize import MOST, quantised

WEIGHTS = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=2, max_dims=4, max_side=5),
    elements=st.floats(-1000, 1000, width=32, allow_subnormal=False),
)


@given(WEIGHTS, st.booleans(), st.data())
def test_weights_are_rounded_to_the_nearest_multiple(weights, together, data):
    axis = None if together else data.draw(st.integers(0, weights.ndim - 1))
    content, scales = quantised(weights, axis)
    assert content.shape == weights.shape and np.abs(content.astype(int)).max() <= MOST
    assert scales.shape == (1 if axis is None else weights.shape[axis],) and (scales > 0).all()
    others = tuple(a for a in range(weights.ndim) if a != axis)
    spread = np.expand_dims(scales, others) if axis is not None else scales
    assert (np.abs(content * spread.astype(np.float64) - weights) <= 0.5001 * spread).all()
    largest = np.abs(content.astype(int)).max(axis=others)
    assert ((largest == MOST) | (np.abs(weights).max(axis=others) == 0)).all()


def test_weights_are_those_of_the_quantizer_of_google(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: pip install 'nagsdk[litert]'")
    quantizer = pytest.importorskip(
        "ai_edge_quantizer.quantizer", reason="ai-edge-quantizer is not installed: pip install ai-edge-quantizer"
    )
    from ai_edge_quantizer import recipe

    from nagsdk.graph.tflite import write_tflite
    from nagsdk.graph.tflite_schema import schema
    from nagsdk.graph.trace import trace
    from nagsdk.testing import random_subnet, small_space

    space = small_space()
    (architecture,) = space.decode(space.sample(1, np.random.default_rng(0)))
    graph = trace(random_subnet(space, architecture), architecture.resolution)

    def weights(content):
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        found = []
        for operator in model.subgraphs[0].operators:
            code = model.operatorCodes[operator.opcodeIndex].builtinCode
            if code in (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D):
                tensor = model.subgraphs[0].tensors[operator.inputs[1]]
                buffer = model.buffers[tensor.buffer]
                held = content[buffer.offset : buffer.offset + buffer.size] if buffer.offset > 1 else buffer.data
                found.append((bytes(held), np.asarray(tensor.quantization.scale, np.float32)))
        return found

    write_tflite(graph, tmp_path / "whole.tflite")
    write_tflite(graph, tmp_path / "ours.tflite", "int8-dynamic")
    theirs = quantizer.Quantizer((tmp_path / "whole.tflite").read_bytes())
    theirs.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    pairs = zip(
        weights((tmp_path / "ours.tflite").read_bytes()),
        weights(bytes(theirs.quantize().quantized_model)),
        strict=True,
    )
    for (ours, scales), (other, others) in pairs:
        assert ours == other and np.allclose(scales, others, rtol=1e-6)
