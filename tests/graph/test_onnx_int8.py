import numpy as np
import onnx
import onnxruntime
import pytest

from nagsdk.errors import UnsupportedLayerError
from nagsdk.graph.integer_passes import without_hard_functions
from nagsdk.graph.integers import MOST_OF_7_BITS, integer_graph
from nagsdk.graph.onnx_int8 import write_integer_onnx
from nagsdk.graph.parity import overall_error
from nagsdk.graph.simulate import simulated
from nagsdk.graph.trace import trace
from nagsdk.testing import random_images, random_subnet, small_space

SPACE = small_space()


def made(seed, batch=1, keep=False):
    (architecture,) = SPACE.decode(SPACE.sample(1, np.random.default_rng(seed)))
    graph = trace(random_subnet(SPACE, architecture, seed), architecture.resolution, batch)
    images = random_images(12 * batch, architecture.resolution, seed)
    return integer_graph(without_hard_functions(graph, keep_hard_swish=keep), images, most=MOST_OF_7_BITS), images


@pytest.mark.parametrize(("seed", "batch", "opset"), [(0, 1, 17), (1, 2, 13), (2, 3, 15)])
def test_onnx_runtime_computes_almost_what_the_simulation_does(tmp_path, seed, batch, opset):
    graph, images = made(seed, batch)
    write_integer_onnx(graph, tmp_path / "n.onnx", opset)
    onnx.checker.check_model(onnx.load(tmp_path / "n.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "n.onnx", providers=["CPUExecutionProvider"])
    actual = np.concatenate([session.run(None, {"image": part})[0] for part in np.split(images, len(images) // batch)])
    assert overall_error(simulated(graph, images), actual) < 0.05


def test_bytes_repeat_and_everything_between_input_and_output_is_quantised(tmp_path):
    graph, _ = made(3)
    for name in ("a", "b"):
        write_integer_onnx(graph, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    nodes = onnx.load(tmp_path / "a").graph.node
    makers = {node.output[0]: node.op_type for node in nodes}
    for node in nodes:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            assert {makers[name] for name in node.input} == {"DequantizeLinear"}


def test_old_operators_are_refused_by_name(tmp_path):
    graph, _ = made(0)
    with pytest.raises(UnsupportedLayerError, match="version 12 have no int8"):
        write_integer_onnx(graph, tmp_path / "n.onnx", 12)
    kept, _ = made(0, keep=True)
    with pytest.raises(UnsupportedLayerError, match="version 13 have no hard swish"):
        write_integer_onnx(kept, tmp_path / "n.onnx", 13)
