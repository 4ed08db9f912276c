import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from nagsdk.errors import UnsupportedLayerError
from nagsdk.graph.interpret import tensors
from nagsdk.graph.onnx_lowering import graph_of
from tests.graph.foreign import foreign_network
from tests.graph.networks import small_network


def outputs(graph, images):
    return dict(tensors(graph, torch.from_numpy(images)))[graph.output].numpy()


def images(size):
    return np.random.default_rng(0).normal(size=(1, 3, size, size)).astype(np.float32)


def model(nodes, **weights):
    made = [numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node(*n[:3], **n[3]) for n in nodes], "net", [image], [scores], made)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_a_network_computes_the_same_as_the_reference_of_the_onnx_package():
    given = small_network()
    (expected,) = ReferenceEvaluator(given).run(None, {"image": images(16)})
    np.testing.assert_allclose(outputs(graph_of(given), images(16)), expected, atol=1e-5)


@pytest.mark.parametrize("folded", [True, False], ids=["folded", "with batch normalisation"])
def test_what_torch_exports_is_converted(tmp_path, folded):
    network = foreign_network()
    mode = torch.onnx.TrainingMode.EVAL if folded else torch.onnx.TrainingMode.PRESERVE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.zeros(1, 3, 32, 32),), tmp_path / "n.onnx", dynamo=False, opset_version=14,
            training=mode, do_constant_folding=folded,
        )  # fmt: skip
    with torch.no_grad():
        expected = network(torch.from_numpy(images(32))).numpy()
    np.testing.assert_allclose(outputs(graph_of(onnx.load(tmp_path / "n.onnx")), images(32)), expected, atol=1e-5)


def test_a_reshape_as_torchs_exporter_writes_it_is_converted():
    """With `allowzero`, a 0 in the shape would be a size and not the input's; the exporter's shapes have none."""
    made = [("GlobalAveragePool", ["image"], ["y"], {}), ("Reshape", ["y", "shape"], ["scores"], {"allowzero": 1})]
    found = graph_of(model(made, shape=np.array([1, 3], np.int64)))
    np.testing.assert_allclose(outputs(found, images(16)), images(16).mean((2, 3)), atol=1e-6)
    with pytest.raises(UnsupportedLayerError, match="a reshape"):
        graph_of(model(made, shape=np.array([0, 3], np.int64)))


CONV = np.ones((4, 3, 3, 3), np.float32)
FLAT = [("GlobalAveragePool", ["x"], ["y"], {}), ("Flatten", ["y"], ["scores"], {})]


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        ([("Conv", ["image", "w"], ["x"], {"pads": [0, 0, 1, 1]}), *FLAT], r"padding \[0, 0, 1, 1\]"),
        ([("Conv", ["image", "w"], ["x"], {"auto_pad": "SAME_UPPER"}), *FLAT], "the padding SAME_UPPER"),
        ([("Conv", ["image", "w"], ["x"], {"dilations": [2, 2]}), *FLAT], "dilations"),
        ([("Sin", ["image"], ["x"], {}), *FLAT], r"x \(the operator Sin\)"),
        ([("Clip", ["image", "", "one"], ["x"], {}), *FLAT], "other limits than 0 and 6"),
        ([("Add", ["image", "one"], ["x"], {}), *FLAT], "reading one, which is a constant"),
        ([("Conv", ["image", "w"], ["c"], {}), ("BatchNormalization", ["c", *"ssss"], ["b"], {}),
          ("Add", ["b", "c"], ["x"], {}), *FLAT], "reading c, which is a constant or is read before"),
        ([("GlobalAveragePool", ["image"], ["scores"], {})], "the output scores of the shape"),
        ([("Flatten", ["image"], ["scores"], {"axis": 2})], "dimension 1"),
        ([("GlobalAveragePool", ["image"], ["y"], {}), ("Reshape", ["y", "shape"], ["scores"], {})], "becomes"),
    ],
    ids=lambda value: None if isinstance(value, list) else value[:20],
)  # fmt: skip
def test_what_would_compute_something_else_is_refused_by_name(nodes, says):
    given = model(nodes, w=CONV, one=np.float32(1), s=np.ones(4, np.float32), shape=np.array([3, 1], np.int64))
    with pytest.raises(UnsupportedLayerError, match=says):
        graph_of(given)
