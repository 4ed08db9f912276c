import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: pip install ai-edge-litert")

from ai_edge_litert.interpreter import Interpreter

from nagsdk.device.backend import EXACT
from nagsdk.errors import DeviceError, UnsupportedLayerError
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.graph import parity
from nagsdk.graph.ir import Activation, Binary, Conv, Flatten, Graph, Linear
from nagsdk.graph.lint import lint
from nagsdk.graph.passes import split_large_depthwise
from nagsdk.graph.tflite import write_tflite
from nagsdk.graph.tflite_schema import flatbuffers, schema
from nagsdk.graph.trace import trace
from nagsdk.testing import random_images, random_subnet, small_space

SPACE = small_space()


def export(architecture, path, *, space=SPACE, split=False, batch=1):
    network = random_subnet(space, architecture)
    graph = trace(network, architecture.resolution, batch)
    write_tflite(split_large_depthwise(graph) if split else graph, path)
    return network, graph


def interpreter(path):
    network = Interpreter(model_content=path.read_bytes(), num_threads=1)
    network.allocate_tensors()
    return network


def run(path, images):
    runner = interpreter(path).get_signature_runner("serving_default")
    return runner(image=np.ascontiguousarray(images.transpose(0, 2, 3, 1)))["logits"]


@pytest.mark.parametrize("split", [False, True])
def test_files_describe_themselves(tmp_path, split):
    for architecture in SPACE.decode(SPACE.sample(5, np.random.default_rng(0))):
        export(architecture, tmp_path / "n.tflite", split=split, batch=3)
        network = interpreter(tmp_path / "n.tflite")
        assert network.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["logits"]}}
        (source,), (target,) = network.get_input_details(), network.get_output_details()
        assert (source["name"], source["shape"].tolist()) == (
            "image",
            [3, architecture.resolution, architecture.resolution, 3],
        )
        assert (target["name"], target["shape"].tolist()) == ("logits", [3, 10])
        found = lint(tmp_path / "n.tflite")
        assert found.architecture == architecture.text
        assert found.input_shape == (3, architecture.resolution, architecture.resolution, 3)
        assert found.transposes == 0 and found.refused_by("xnnpack") == found.refused_by("gpu") == ()


@pytest.mark.parametrize("split", [False, True])
def test_parity_of_random_subnets(tmp_path, split):
    for seed, architecture in enumerate(SPACE.decode(SPACE.sample(12, np.random.default_rng(1)))):
        network, _ = export(architecture, tmp_path / "n.tflite", split=split)
        images = random_images(1, architecture.resolution, seed)
        with torch.no_grad():
            parity.check(network(torch.from_numpy(images)).numpy(), run(tmp_path / "n.tflite", images), EXACT)


def test_parity_of_a_full_size_subnet_of_large_kernels(tmp_path):
    space = ofa_mobilenet_v3()
    architecture = space.architecture(resolution=224, depths=[2] * 5, kernels=[7] * 10, expansions=[3] * 10)
    network, graph = export(architecture, tmp_path / "n.tflite", space=space, split=True)
    images = random_images(1, 224)
    with torch.no_grad():
        assert parity.check(network(torch.from_numpy(images)).numpy(), run(tmp_path / "n.tflite", images), EXACT) > 0
    kernels = sum(isinstance(node, Conv) and node.depthwise for node in graph.nodes)
    assert lint(tmp_path / "n.tflite").operators["DEPTHWISE_CONV_2D"] == 3 * (kernels - 1) + 1


def test_relu_is_fused_into_the_operation_before_it_unless_others_read_that_too(tmp_path):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 5)

        def forward(self, x):
            y = self.conv(x)
            z = torch.relu(torch.relu(y) + y)
            return torch.relu(self.fc(z.mean((2, 3), keepdim=True).flatten(1)))

    network = Twice().eval()
    write_tflite(trace(network, 8), tmp_path / "n.tflite")
    assert lint(tmp_path / "n.tflite").operators == {
        "ADD": 1,
        "CONV_2D": 1,
        "FULLY_CONNECTED": 1,
        "MEAN": 1,
        "RELU": 1,
        "RESHAPE": 1,
    }
    images = random_images(1, 8)
    with torch.no_grad():
        parity.check(network(torch.from_numpy(images)).numpy(), run(tmp_path / "n.tflite", images), EXACT)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 2, 1), (3, 1, 0), (5, 1, 1), (5, 2, 0), (1, 2, 0), (3, 3, 2)]
)
@pytest.mark.parametrize("groups", [1, 4])
def test_padding_is_that_of_torch(tmp_path, kernel, stride, padding, groups):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, kernel, stride, padding, groups=groups)).eval()
    write_tflite(trace(network, 11), tmp_path / "n.tflite")
    images = random_images(1, 11)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    actual = run(tmp_path / "n.tflite", images).transpose(0, 3, 1, 2)
    assert np.abs(actual - expected).max() < 1e-5


def test_equal_graphs_give_equal_bytes_and_weights_are_aligned_and_exact(tmp_path):
    (architecture,) = SPACE.decode(SPACE.sample(1, np.random.default_rng(2)))
    for name in ("a", "b"):
        _, graph = export(architecture, tmp_path / f"{name}.tflite")
    content = (tmp_path / "a.tflite").read_bytes()
    assert content == (tmp_path / "b.tflite").read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    buffers = [model.Buffers(i) for i in range(1, model.BuffersLength())]
    starts = {b._tab.Vector(b._tab.Offset(4)): b.DataAsNumpy().tobytes() for b in buffers}
    assert all(start % 16 == 0 for start in starts)
    for node in graph.nodes:
        if isinstance(node, Conv):
            weight = node.weight.transpose(1, 2, 3, 0) if node.depthwise else node.weight.transpose(0, 2, 3, 1)
            assert weight.tobytes() in starts.values() and node.bias.tobytes() in starts.values()
        elif isinstance(node, Linear):
            assert node.weight.tobytes() in starts.values()


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        (
            "grouped",
            (Conv("grouped", (Graph.INPUT,), np.zeros((4, 2, 3, 3), np.float32), np.zeros(4, np.float32), 1, 1, 2),),
        ),
        ("flat", (Flatten("flat", (Graph.INPUT,)),)),
    ],
)
def test_a_node_without_operator_is_named(tmp_path, name, nodes):
    with pytest.raises(UnsupportedLayerError, match=name) as caught:
        write_tflite(Graph((1, 4, 8, 8), nodes, name), tmp_path / "n.tflite")
    assert caught.value.next_step and not (tmp_path / "n.tflite").exists()


def test_an_operator_that_no_delegate_runs_and_a_transpose_are_found(tmp_path):
    (architecture,) = SPACE.decode(SPACE.sample(1, np.random.default_rng(3)))
    export(architecture, tmp_path / "n.tflite")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs((tmp_path / "n.tflite").read_bytes(), 0))
    for code, replaced in zip(
        model.operatorCodes, (schema.BuiltinOperator.TRANSPOSE, schema.BuiltinOperator.TOPK_V2), strict=False
    ):
        code.builtinCode = code.deprecatedBuiltinCode = replaced
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "changed.tflite").write_bytes(builder.Output())
    found = lint(tmp_path / "changed.tflite")
    assert found.transposes > 0
    assert found.refused_by("gpu") == ("TOPK_V2", "TRANSPOSE") and found.refused_by("xnnpack") == ("TOPK_V2",)
    assert found.to_dict()["refused_by"]["gpu"] == ["TOPK_V2", "TRANSPOSE"]


def test_incomplete_files_and_garbage_are_refused(tmp_path):
    (architecture,) = SPACE.decode(SPACE.sample(1, np.random.default_rng(4)))
    export(architecture, tmp_path / "n.tflite")
    content = (tmp_path / "n.tflite").read_bytes()
    rng = np.random.default_rng(0)
    cuts = [content[: int(len(content) * share)] for share in (0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999)]
    for damaged in [*cuts, rng.bytes(1000), b"xxxxTFL3" + rng.bytes(1000), b"\xff\xff\xff\x7fTFL3" + rng.bytes(99)]:
        (tmp_path / "damaged.tflite").write_bytes(damaged)
        with pytest.raises(DeviceError, match="is not a complete TFLite file"):
            lint(tmp_path / "damaged.tflite")
    with pytest.raises(DeviceError):
        lint(tmp_path / "absent.tflite")


def test_sums_products_and_activations_of_an_unusual_graph(tmp_path):
    nodes = (
        Activation("gate", (Graph.INPUT,), "hardsigmoid"),
        Binary("product", (Graph.INPUT, "gate"), "multiply"),
        Activation("swish", ("product",), "hardswish"),
        Binary("sum", ("swish", "swish"), "add"),
    )
    write_tflite(Graph((1, 3, 4, 4), nodes, "sum"), tmp_path / "n.tflite")
    images = 4 * random_images(1, 4)
    x = torch.from_numpy(images)
    expected = 2 * nn.functional.hardswish(x * nn.functional.hardsigmoid(x)).numpy()
    assert np.abs(run(tmp_path / "n.tflite", images).transpose(0, 3, 1, 2) - expected).max() < 1e-5


def constants(path):
    """The content of every constant by the name of its tensor, and the model."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    kinds = {0: np.float32, 1: np.float16, 2: np.int32, 9: np.int8}
    body = model.subgraphs[0]
    return model, {
        t.name: np.frombuffer(bytes(model.buffers[t.buffer].data), kinds[t.type]).reshape(t.shape)
        for t in body.tensors
        if t.buffer
    }


def inputs_of(model, *codes):
    """The tensors that operators of some codes read."""
    body = model.subgraphs[0]
    return [
        [body.tensors[i] for i in operator.inputs]
        for operator in body.operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode in codes
    ]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-dynamic"])
@pytest.mark.parametrize("batch", [1, 4])
def test_the_input_can_be_resized_to_any_number_of_images(tmp_path, precision, batch):
    architecture = SPACE.architecture(resolution=48, depths=(2, 3), kernels=(7, 5, 7, 3, 3), expansions=(4,) * 5)
    graph = split_large_depthwise(trace(random_subnet(SPACE, architecture), 48, batch))
    write_tflite(graph, tmp_path / "n.tflite", precision)
    images = np.ascontiguousarray(random_images(5, 48).transpose(0, 2, 3, 1))

    def logits(given, **options):
        network = Interpreter(model_content=(tmp_path / "n.tflite").read_bytes())
        source = network.get_input_details()[0]["index"]
        network.resize_tensor_input(source, given.shape, **options)
        network.allocate_tensors()
        network.set_tensor(source, given)
        network.invoke()
        return network.get_tensor(network.get_output_details()[0]["index"])

    each = np.concatenate([logits(images[i : i + 1]) for i in range(len(images))])
    # Activations of int8 are rounded by their range, which may be that of several images.
    tolerance = 0.1 if precision == "int8-dynamic" else EXACT
    for count in (1, 3, 4, 5):
        parity.check(each[:count], logits(images[:count], strict=True), tolerance)


def test_float16_has_no_float32_weights_or_biases(tmp_path):
    """XNNPACK of LiteRT 1.2 and TensorFlow 2.19 reads biases in the format of the weights."""
    (architecture,) = SPACE.decode(SPACE.sample(1, np.random.default_rng(5)))
    write_tflite(trace(random_subnet(SPACE, architecture), architecture.resolution), tmp_path / "n.tflite", "fp16")
    model, content = constants(tmp_path / "n.tflite")
    op = schema.BuiltinOperator
    for _, weight, bias in inputs_of(model, op.CONV_2D, op.DEPTHWISE_CONV_2D, op.FULLY_CONNECTED):
        assert not weight.buffer and not bias.buffer
    assert {t.type for (t,) in inputs_of(model, op.DEQUANTIZE)} == {schema.TensorType.FLOAT16}
    assert {c.dtype.name for c in content.values() if c.size > 1} == {"float16", "int32"}
    # OpenVINO and OpenCV read the options, although they are empty.
    assert all(operator.builtinOptions is not None for operator in model.subgraphs[0].operators)
    assert {c.version for c in model.operatorCodes if c.builtinCode == op.DEQUANTIZE} == {3}


def test_the_classifier_in_int8_has_one_scale(tmp_path):
    """TensorFlow Lite before 2.16 reads the first scale alone, and gave the bias as logits."""
    (architecture,) = SPACE.decode(SPACE.sample(1, np.random.default_rng(6)))
    write_tflite(
        trace(random_subnet(SPACE, architecture), architecture.resolution), tmp_path / "n.tflite", "int8-dynamic"
    )
    model, _ = constants(tmp_path / "n.tflite")
    op = schema.BuiltinOperator
    for _, weight, _ in inputs_of(model, op.FULLY_CONNECTED):
        assert weight.type == schema.TensorType.INT8 and len(weight.quantization.scale) == 1
    for code, axis in ((op.CONV_2D, 0), (op.DEPTHWISE_CONV_2D, 3)):
        for _, weight, _ in inputs_of(model, code):
            assert weight.quantization.quantizedDimension == axis
            assert len(weight.quantization.scale) == weight.shape[axis]
