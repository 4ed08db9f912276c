import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import nagsdk
from nagsdk.cli import cli
from nagsdk.errors import DeviceError, OutputError, UnsupportedLayerError, UsageError
from nagsdk.graph.parity import probe_image
from nagsdk.manifest.manifest import read_manifest
from nagsdk.measuring.measurement import Measurement
from nagsdk.measuring.protocol import Protocol
from nagsdk.pipeline import given
from tests.graph.foreign import foreign_network, save_program
from tests.graph.networks import small_network

SHORT = Protocol(rounds=4, runs=3, width=1.0, most_rounds=4, spread_s=0.0, patience_s=0.0)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(small_network("n").SerializeToString())
    return path


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Times few rounds, also where a command makes its own target."""
    for name in ("PROTOCOL", "GLANCE"):
        monkeypatch.setattr(f"nagsdk.pipeline.target.{name}", SHORT)


@pytest.fixture
def target():
    return nagsdk.Target("cpu")


def test_a_finished_model_is_measured(model, target):
    (result,) = nagsdk.profile(target, model=model)
    assert result.architecture.startswith("onnx:net:") and result.resolution == 16
    assert result.macs == 8 * 64 * (27 + 25 + 8) + 40 and result.measured.latency_p50_ms > 0
    with pytest.raises(UsageError, match="A model and architectures"):
        nagsdk.profile(target, "mbv3:x", model=model)


def test_that_the_device_was_never_quiet_is_said_of_a_finished_model_too(model, target, monkeypatch):
    monkeypatch.setattr(Measurement, "enough_quiet", False)
    (result,) = nagsdk.profile(target, model=model)
    assert any("never quiet" in warning for warning in result.warnings)


def test_a_finished_model_that_holds_is_left_with_manifest_and_report_and_verified(model, target, tmp_path):
    deployment = nagsdk.deploy(target, ["10s", "1MB", "1MMACs"], model=model, output=tmp_path / "out")
    assert deployment.verdict == "held" and len(deployment.result.budgets) == 3
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "manifest.json",
        "model.onnx",
        "preprocessing.json",
        "report.html",
    }
    manifest = read_manifest(tmp_path / "out")
    assert 0 <= manifest["parity"] < 1e-5 and len(manifest["probe"]["logits"]) == 5
    assert [row["kind"] for row in manifest["report"]["layers"]] == [
        *("conv", "depthwise", "pointwise", "pool", "linear")
    ]
    assert any("does not tell how images become inputs" in warning for warning in manifest["warnings"])
    assert deployment.result.architecture in (tmp_path / "out" / "report.html").read_text("utf-8")
    assert onnx.load(tmp_path / "out" / "model.onnx").graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    assert len(nagsdk.Deployment.read(tmp_path / "out").load()(probe_image(20)).probabilities) == 5
    checked = deployment.verify()
    assert {check.name: check.state for check in checked.checks} == dict.fromkeys(
        ("hashes", "parity", "latency"), "passed"
    )
    assert "differ from those of the deployment by" in checked.checks[1].detail


def test_outputs_that_the_onnx_package_has_otherwise_are_refused(model, target, monkeypatch):
    monkeypatch.setattr(given, "_expected", lambda *_: np.ones((1, 5), np.float32))
    with pytest.raises(DeviceError, match="differs from the onnx package by") as caught:
        nagsdk.profile(target, model=model)
    assert caught.value.next_step == (
        "Do not use the file on cpu, or try another version of its runtime or of the onnx package."
    )


def test_a_finished_model_that_misses_leaves_nothing(model, target, tmp_path):
    deployment = nagsdk.deploy(target, ["10s", "0.1kB"], model=model, output=tmp_path / "out")
    assert deployment.verdict == "missed" and deployment.folder is None and not (tmp_path / "out").exists()
    assert any("nearest budget" in warning for warning in deployment.result.warnings)


@pytest.mark.parametrize(
    "others",
    [{"min_top1": 90}, {"strategy": "lookup"}, {"resolution": 16}, {"timing_only": True}, {"images": "x"}],
    ids=lambda others: next(iter(others)),
)
def test_what_is_about_finding_a_network_does_not_go_with_a_finished_one(model, target, others):
    with pytest.raises(UsageError, match=f"{next(iter(others))} cannot be given with a finished model"):
        nagsdk.deploy(target, "1s", model=model, **others)


def test_what_cannot_be_judged_is_refused_before_work(model, target, tmp_path):
    with pytest.raises(UsageError, match="No budget"):
        nagsdk.deploy(target, model=model)
    with pytest.raises(UsageError, match=r"none\.onnx cannot be read"):
        nagsdk.profile(target, model=tmp_path / "none.onnx")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError):
        nagsdk.deploy(target, "1s", model=model, output=tmp_path)


def test_an_operator_that_the_runtime_does_not_know_is_refused_in_its_own_words(tmp_path, target):
    path = tmp_path / "odd.onnx"
    path.write_bytes(small_network(domain="my.own").SerializeToString())
    with pytest.raises(DeviceError, match="my.own"):
        nagsdk.profile(target, model=path)
    with pytest.raises(UsageError, match="multiply-accumulates of .* are not known"):
        nagsdk.deploy(target, "1GMACs", model=path)


def test_a_network_with_operators_that_the_onnx_package_has_wrong_is_judged(tmp_path, target):
    network = small_network()
    nodes = list(network.graph.node)
    nodes[3].input[0] = "pooled_unevenly"
    nodes[3:3] = [
        onnx.helper.make_node("LRN", ["s2"], ["normalised"], size=5, alpha=0.1),
        onnx.helper.make_node("MaxPool", ["normalised"], ["pooled_unevenly"], kernel_shape=[2, 2], ceil_mode=1),
    ]
    del network.graph.node[:]
    network.graph.node.extend(nodes)
    path = tmp_path / "old.onnx"
    path.write_bytes(network.SerializeToString())
    deployment = nagsdk.deploy(target, "10s", model=path, output=tmp_path / "out")
    assert deployment.verdict == "held" and read_manifest(tmp_path / "out")["parity"] < 1e-5


def test_the_command_line_does_the_same(model, tmp_path):
    done = CliRunner().invoke(cli, ["profile", str(model), "--device", "cpu", "--json"], catch_exceptions=False)
    assert done.exit_code == 0 and json.loads(done.stdout)[0]["measured"]["latency_p50_ms"] > 0
    asked = ["deploy", "--model", str(model), "--device", "cpu", "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(cli, [*asked, "--budget", "0.1kB"])
    assert done.exit_code == 3 and "missed" in done.stdout
    done = CliRunner().invoke(cli, [*asked, "--budget", "10s"])
    assert done.exit_code == 0 and "held" in done.stdout and (tmp_path / "out" / "report.html").is_file()


@pytest.mark.parametrize(
    ("device", "kind"),
    [
        ("cpu", "pt2"),
        *(pytest.param(*case, marks=pytest.mark.nightly) for case in (("litert", "pt2"), ("openvino", "pt2"))),
        ("litert", "onnx"),
    ],
)
def test_a_finished_model_is_converted_for_devices_that_take_other_files(tmp_path, model, device, kind):
    target = nagsdk.Target(device)
    if kind == "pt2":
        model = save_program(foreign_network(), tmp_path / "net.pt2")
    (profiled,) = nagsdk.profile(target, model=model)
    assert profiled.architecture.startswith(f"{kind}:net:") and profiled.measured.latency_p50_ms > 0
    deployment = nagsdk.deploy(target, "10s", model=model, output=tmp_path / "out")
    assert deployment.verdict == "held" and (tmp_path / "out" / f"model{target.backend.suffix}").is_file()
    manifest = read_manifest(tmp_path / "out")
    assert 0 <= manifest["parity"] < 1e-5
    assert {row["kind"] for row in manifest["report"]["layers"]} >= {"conv", "depthwise", "pointwise", "linear", "pool"}
    checked = {check.name: check.state for check in deployment.verify().checks}
    assert checked == dict.fromkeys(("hashes", "parity", "latency"), "passed")


def test_layers_have_prices_where_all_of_them_are_known(model, target, tmp_path):
    nagsdk.deploy(target, "10s", model=model, output=tmp_path / "known")
    program = save_program(foreign_network(), tmp_path / "net.pt2")
    nagsdk.deploy(target, "10s", model=program, output=tmp_path / "gated")
    prices = [
        [row["predicted_ms"] for row in read_manifest(tmp_path / name)["report"]["layers"]]
        for name in ("known", "gated")
    ]
    assert all(price > 0 for price in prices[0]) and set(prices[1]) == {None}


def test_a_precision_that_needs_images_or_another_file_is_refused(model, tmp_path):
    with pytest.raises(UsageError, match="measured as it is, and not in int8"):
        nagsdk.profile("cpu", model=model, precision="int8")
    with pytest.raises(UsageError, match="not in int8") as caught:
        nagsdk.profile("litert", model=model, precision="int8")
    assert "fp32 or fp16" in caught.value.next_step
    with pytest.raises(UsageError, match="for 1 images at once, and cpu computes 2"):
        nagsdk.profile("cpu", model=save_program(foreign_network(), tmp_path / "net.pt2"), batch=2)
    odd = tmp_path / "odd.onnx"
    odd.write_bytes(small_network(domain="my.own").SerializeToString())
    with pytest.raises(UnsupportedLayerError, match="the operator Relu"):
        nagsdk.profile("litert", model=odd)
