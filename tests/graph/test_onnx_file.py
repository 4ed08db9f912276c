import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from nagsdk.errors import UsageError
from nagsdk.graph.onnx_file import OnnxFile
from tests.graph.networks import small_network


def read(model, path, batch=1):
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return OnnxFile.read(path, batch)


def test_what_is_in_a_file(tmp_path):
    model = small_network()
    found = read(model, tmp_path / "a net!.onnx")
    assert found.name == f"onnx:a-net-:{found.sha256[:12]}" and found.content == model.SerializeToString()
    assert (found.resolution, found.classes, found.batch) == (16, 5, 1)
    assert [(layer.kind, layer.kernel, layer.stride, layer.in_size, macs) for layer, macs in found.layers] == [
        ("conv", 3, 2, 16, 8 * 3 * 9 * 64),
        ("depthwise", 5, 1, 8, 8 * 25 * 64),
        ("pointwise", 1, 1, 8, 8 * 8 * 64),
        ("linear", 1, 1, 1, 40),
    ]
    assert found.macs == sum(macs for _, macs in found.layers) and found.parameters == 216 + 200 + 64 + 45


def test_an_open_batch_size_is_fixed_and_another_one_is_refused(tmp_path):
    four = read(small_network("n"), tmp_path / "m.onnx", 4)
    assert four.batch == 4 and four.macs == read(small_network(), tmp_path / "m.onnx").macs
    fixed = onnx.load_model_from_string(four.content)
    assert [v.type.tensor_type.shape.dim[0].dim_value for v in (*fixed.graph.input, *fixed.graph.output)] == [4, 4]
    assert read(four.content, tmp_path / "m.onnx", 4).content == four.content
    with pytest.raises(UsageError, match=r"has the shape \(4, 3, 16, 16\)") as caught:
        read(four.content, tmp_path / "m.onnx", 1)
    assert "(1, 3, size, size)" in caught.value.next_step


def changed(change):
    model = small_network()
    change(model)
    return model


def kept_outside(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")


def outside_within(model):
    """An external tensor in the graph of a branch."""
    tensor = numpy_helper.from_array(np.zeros(1, np.float32), "hidden")
    kept = onnx.ModelProto(graph=onnx.GraphProto(initializer=[tensor]))
    kept_outside(kept)
    inner = helper.make_graph([], "inner", [], [], [kept.graph.initializer[0]])
    model.graph.node.append(helper.make_node("If", ["pooled"], ["x"], then_branch=inner, else_branch=inner))


def shape_of(value, shape):
    value.type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, shape))


def give_out(model, name, shape):
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


BAD = {
    "external": (kept_outside, "keeps weights in other files"),
    "external in a branch": (outside_within, "keeps weights in other files"),
    "empty": (lambda m: m.graph.ClearField("node"), "has 0 operators"),
    "two inputs": (
        lambda m: m.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1])),
        "has the inputs: image .*, more",
    ),
    "bytes": (
        lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.UINT8),
        r"has the inputs: image uint8 \(1, 3, 16, 16\)",
    ),
    "half": (
        lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.FLOAT16),
        r"has the inputs: image float16 \(1, 3, 16, 16\)",
    ),
    "no type": (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 0), "image of an unknown type"),
    "grey": (lambda m: shape_of(m.graph.input[0], [1, 1, 16, 16]), r"has the shape \(1, 1, 16, 16\)"),
    "oblong": (lambda m: shape_of(m.graph.input[0], [1, 3, 16, 24]), r"has the shape \(1, 3, 16, 24\)"),
    "open size": (lambda m: shape_of(m.graph.input[0], [1, 3, "h", "w"]), r"has the shape \(1, 3, h, w\)"),
    "vector": (lambda m: shape_of(m.graph.input[0], [1, 768]), r"has the shape \(1, 768\)"),
    "wrong weight": (lambda m: m.graph.initializer[0].dims.__setitem__(0, 9), "is not valid"),
    "unknown input": (lambda m: m.graph.node[1].input.__setitem__(0, "nowhere"), "is not valid"),
    "unknown operator": (lambda m: setattr(m.graph.node[1], "op_type", "Sharpen"), "is not valid"),
    "two outputs": (
        lambda m: m.graph.output.append(helper.make_tensor_value_info("s0", TensorProto.FLOAT, [1, 8, 8, 8])),
        r"has the outputs: .*, s0 \(1, 8, 8, 8\)",
    ),
    "maps": (
        lambda m: m.graph.output[0].CopyFrom(helper.make_tensor_value_info("s0", 1, [1, 8, 8, 8])),
        "has the outputs",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_measured_is_refused_by_name(name, tmp_path):
    change, says = BAD[name]
    with pytest.raises(UsageError, match=says) as caught:
        read(changed(change), tmp_path / "bad.onnx")
    assert "bad.onnx" in caught.value.message and caught.value.next_step


def test_operators_that_are_not_counted_are_named(tmp_path):
    model = small_network()
    model.graph.node[3].op_type = "ConvTranspose"
    found = read(model, tmp_path / "m.onnx")
    assert found.uncounted == ("ConvTranspose",) and len(found.layers) == 3
    del model.graph.node[:3], model.graph.node[-1]
    model.graph.node[0].input[:] = ["image", "w"]
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((3, 5, 1, 1), np.float32), "w"))
    give_out(model, "flat", [1, 5])
    with pytest.raises(UsageError, match="no convolution and no matrix product of a known shape, but ConvTranspose"):
        read(model, tmp_path / "m.onnx")


def test_what_is_no_onnx_file_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"none\.onnx cannot be read"):
        OnnxFile.read(tmp_path / "none.onnx", 1)
    with pytest.raises(UsageError, match="cannot be read"):
        OnnxFile.read(tmp_path, 1)
    for content in (b"", b"<!doctype html>", b"PK\3\4" * 9, b"\x08\x07\xff\xff"):
        with pytest.raises(UsageError):
            read(content, tmp_path / "x.onnx")
    monkeypatch.setattr("nagsdk.graph.onnx_file.MOST_BYTES", 100)
    with pytest.raises(UsageError, match="cannot be read"):
        read(small_network(), tmp_path / "x.onnx")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_files_are_read_or_refused(tmp_path_factory, data):
    content = bytearray(small_network().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("d") / "d.onnx"
    try:
        found = read(bytes(content[: data.draw(st.integers(1, len(content)))]), path)
    except UsageError as error:
        assert error.next_step
    else:
        assert found.macs > 0
