"""A small ONNX file as another program would write it."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def small_network(batch=1, domain=""):
    """Convolution, depthwise convolution, pointwise convolution, pooling and a linear layer; 16 px, 5 classes."""
    rng = np.random.default_rng(0)
    shapes = {"w0": (8, 3, 3, 3), "w1": (8, 1, 5, 5), "w2": (8, 8, 1, 1), "w3": (8, 5), "b3": (5,)}
    weights = [numpy_helper.from_array(rng.normal(0, 0.3, s).astype(np.float32), n) for n, s in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["image", "w0"], ["s0"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["s0", "w1"], ["s1"], group=8, pads=[2, 2, 2, 2]),
        helper.make_node("Relu", ["s1"], ["s2"], domain=domain),
        helper.make_node("Conv", ["s2", "w2"], ["s3"]),
        helper.make_node("GlobalAveragePool", ["s3"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["scores"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, 16, 16])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 5])
    graph = helper.make_graph(nodes, "net", [image], [scores], weights)
    opsets = [helper.make_opsetid("", 13)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)
