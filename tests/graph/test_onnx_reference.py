import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from nagsdk.graph.onnx_reference import reference_outputs

onnxruntime = pytest.importorskip("onnxruntime")


def both(operator, attributes, shape=(2, 6, 9, 8), opset=17):
    """Outputs of one operator by the reference and by ONNX Runtime."""
    node = helper.make_node(operator, ["x"], ["y"], **attributes)
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    found = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([node], "one", values, found)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return reference_outputs(model.SerializeToString(), images), session.run(None, {"x": images})


def same(reference, runtime):
    for expected, actual in zip(reference, runtime, strict=True):
        assert expected.shape == actual.shape and expected.dtype == actual.dtype
        np.testing.assert_allclose(expected, actual, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 5, 13])
def test_neighbouring_channels_are_normalised_all_of_them(size):
    same(*both("LRN", {"size": size, "alpha": 0.3, "beta": 0.6, "bias": 1.5}))
    same(*both("LRN", {"size": size}))


@st.composite
def pooling(draw):
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    options = {"kernel_shape": kernel, "ceil_mode": draw(st.integers(0, 1))}
    if draw(st.booleans()):
        options["strides"] = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    if draw(st.booleans()):
        options["pads"] = [draw(st.integers(0, size - 1)) for size in kernel * 2]
    return options


@given(pooling(), st.integers(1, 2))
@settings(max_examples=150, deadline=None)
def test_the_largest_of_windows_is_that_of_the_runtime(options, dilation):
    same(*both("MaxPool", {**options, "dilations": (dilation, dilation)}))


@given(pooling(), st.integers(0, 1))
@settings(max_examples=150, deadline=None)
def test_the_mean_of_windows_is_that_of_the_runtime(options, counted):
    same(*both("AveragePool", {**options, "count_include_pad": counted}))


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("way", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_padding_that_the_operator_finds_itself(operator, way):
    same(*both(operator, {"kernel_shape": (3, 2), "strides": (2, 2), "auto_pad": way}))


def test_sequences_have_windows_too():
    same(*both("MaxPool", {"kernel_shape": (3,), "strides": (2,), "ceil_mode": 1}, (1, 4, 9)))


def test_the_mean_of_windows_with_gaps():
    same(*both("AveragePool", {"kernel_shape": (2, 3), "dilations": (2, 1), "ceil_mode": 1}, opset=19))
