import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from nagsdk.device.backend import EXACT
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.graph import parity
from nagsdk.graph.ir import Conv, Linear
from nagsdk.graph.onnx import IR_VERSIONS, write_onnx
from nagsdk.graph.trace import trace
from nagsdk.testing import random_images, random_subnet, small_space


def export(space, architecture, path, batch=1):
    network = random_subnet(space, architecture)
    graph = trace(network, architecture.resolution, batch)
    write_onnx(graph, path)
    return network, graph


def test_files_are_valid_and_describe_themselves(tmp_path):
    space = small_space()
    for architecture in space.decode(space.sample(5, np.random.default_rng(0))):
        _, graph = export(space, architecture, tmp_path / "n.onnx", batch=3)
        model = onnx.load(tmp_path / "n.onnx")
        onnx.checker.check_model(model, full_check=True)
        (source,), (target,) = model.graph.input, model.graph.output
        assert (source.name, [d.dim_value for d in source.type.tensor_type.shape.dim]) == (
            "image",
            [3, 3, architecture.resolution, architecture.resolution],
        )
        assert (target.name, [d.dim_value for d in target.type.tensor_type.shape.dim]) == ("logits", [3, 10])
        assert {p.key: p.value for p in model.metadata_props} == {"nagsdk.architecture": architecture.text}
        assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
        assert len(model.graph.node) == len(graph.nodes)
        assert {t.name for t in model.graph.initializer} < {name for node in model.graph.node for name in node.input}
        assert not any(t.external_data for t in model.graph.initializer)
        assert not model.producer_version  # another version of nagsdk gives the same bytes


def test_shapes_agree_with_onnx_itself(tmp_path):
    space = small_space()
    (architecture,) = space.decode(space.sample(1, np.random.default_rng(4)))
    _, graph = export(space, architecture, tmp_path / "n.onnx")
    inferred = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "n.onnx"), strict_mode=True)
    shapes = [tuple(d.dim_value for d in value.type.tensor_type.shape.dim) for value in inferred.graph.value_info]
    assert shapes == [graph.shapes[node.name] for node in graph.nodes[:-1]]


def test_equal_graphs_give_equal_bytes(tmp_path):
    space = small_space()
    (architecture,) = space.decode(space.sample(1, np.random.default_rng(1)))
    for name in ("a", "b"):
        export(space, architecture, tmp_path / f"{name}.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_weights_are_exact(tmp_path):
    space = small_space()
    (architecture,) = space.decode(space.sample(1, np.random.default_rng(2)))
    _, graph = export(space, architecture, tmp_path / "n.onnx")
    written = [numpy_helper.to_array(t) for t in onnx.load(tmp_path / "n.onnx").graph.initializer]
    expected = [
        values for node in graph.nodes if isinstance(node, (Conv, Linear)) for values in (node.weight, node.bias)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(written, expected, strict=True))


def test_the_length_of_a_file_is_a_sum_over_its_blocks(tmp_path):
    """A block adds the same number of bytes wherever it is added, so size budgets are exact."""
    space = small_space()

    def size(depths, kernels):
        architecture = space.architecture(resolution=32, depths=depths, kernels=kernels, expansions=[3] * sum(depths))
        export(space, architecture, tmp_path / "n.onnx")
        return (tmp_path / "n.onnx").stat().st_size

    first = size((2, 1), (3, 5, 7)) - size((1, 1), (3, 7))
    assert first > 0
    assert first == size((2, 3), (3, 5, 7, 3, 3)) - size((1, 3), (3, 7, 3, 3))


@pytest.mark.parametrize("opset", IR_VERSIONS)
def test_older_opsets_compute_the_same(tmp_path, opset):
    space = small_space()
    (architecture,) = space.decode(space.sample(1, np.random.default_rng(7)))
    network = random_subnet(space, architecture)
    write_onnx(trace(network, architecture.resolution), tmp_path / "n.onnx", opset)
    model = onnx.load(tmp_path / "n.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == opset and model.ir_version == IR_VERSIONS[opset]
    assert any(node.op_type == "HardSwish" for node in model.graph.node) == (opset >= 14)
    session = onnxruntime.InferenceSession(str(tmp_path / "n.onnx"), providers=["CPUExecutionProvider"])
    images = random_images(1, architecture.resolution)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    assert parity.check(expected, session.run(None, {"image": images})[0], EXACT) >= 0


def test_alpha_of_hard_sigmoid_is_the_number_below_a_sixth(tmp_path):
    space = small_space()
    (architecture,) = space.decode(space.sample(1, np.random.default_rng(5)))
    export(space, architecture, tmp_path / "n.onnx")
    nodes = [node for node in onnx.load(tmp_path / "n.onnx").graph.node if node.op_type == "HardSigmoid"]
    found = {a.f for node in nodes for a in node.attribute if a.name == "alpha"}
    assert {np.nextafter(np.float32(alpha), np.float32(1)) for alpha in found} == {np.float32(1 / 6)}


def test_opencv_computes_the_same(tmp_path):
    """With an alpha of exactly a sixth, OpenCV takes squeeze-and-excitation for HardSwish, and logits are garbage."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed: pip install opencv-python-headless")
    space = small_space()
    for architecture in space.decode(space.sample(3, np.random.default_rng(6))):
        network, _ = export(space, architecture, tmp_path / "n.onnx")
        images = random_images(1, architecture.resolution)
        reader = cv2.dnn.readNetFromONNX(str(tmp_path / "n.onnx"))
        reader.setInput(images)
        with torch.no_grad():
            expected = network(torch.from_numpy(images)).numpy()
        assert np.abs(reader.forward() - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("seed", range(2))
def test_parity_of_full_size_subnets(tmp_path, seed):
    space = ofa_mobilenet_v3()
    (architecture,) = space.decode(space.sample(1, np.random.default_rng(seed), resolution=224))
    network, _ = export(space, architecture, tmp_path / "n.onnx")
    images = random_images(1, 224)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(tmp_path / "n.onnx"), options, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        assert (
            parity.check(network(torch.from_numpy(images)).numpy(), session.run(None, {"image": images})[0], EXACT) > 0
        )
