import json
import math

import pytest
from click.testing import CliRunner

import nagsdk
from nagsdk.cli import cli
from nagsdk.device.description import Device, read_device
from nagsdk.errors import DeviceError, DeviceUnavailableError, OutputError, UnknownNameError, UsageError
from nagsdk.pipeline.priors import described_prior

# Published with XNNPACK by its authors (2020) and for a Pixel 4 (tensorflow/tensorflow#37890): one thread, float32.
PHONES = {
    "Pixel 1": {"mobilenet_v1": 82, "mobilenet_v2": 49, "mobilenet_v3_large": 39, "mobilenet_v3_small": 12},
    "Pixel 4": {"mobilenet_v1": 29.95, "mobilenet_v2": 19.13, "mobilenet_v3_large": 15.69, "mobilenet_v3_small": 5.58},
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_one_reading_predicts_the_other_networks_of_a_phone():
    within = []
    for phone, published in PHONES.items():
        readings = dict(published)
        read = {"mobilenet_v3_large": readings.pop("mobilenet_v3_large")}
        device = nagsdk.add_device(phone.replace(" ", "-"), read)
        for found in nagsdk.predict_networks(list(readings), device):
            assert found.latency_ms == pytest.approx(readings[found.network], rel=0.13)
            within.append(readings[found.network] < found.latency_upper_ms < 1.2 * found.latency_ms)
    assert sum(within) >= len(within) - 1  # nine of ten lie below the bound


def test_a_device_is_read_as_it_was_written_and_answers(tmp_path):
    device = nagsdk.add_device("my-phone", {"mobilenet_v3_large": 7.7}, title='"My" phone\n')
    assert read_device(tmp_path / "my-phone.toml") == device
    (result,) = nagsdk.generate("my-phone.toml", ["8ms"], bundle="imagenet")
    assert result.predicted.latency_upper_ms <= 8
    assert any("mobilenet_v3_large 7.7 ms" in warning for warning in result.warnings)


def test_the_command_writes_what_the_library_writes():
    run = CliRunner().invoke
    done = run(cli, ["devices", "add", "phone", "--reading", "mobilenet_v3_large=7.7ms", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["readings"] == {"mobilenet_v3_large": 7.7}
    shown = run(cli, ["predict", "--network", "mobilenet_v2", "--device", "phone.toml", "--json"])
    (found,) = json.loads(shown.stdout)
    assert found["latency_ms"] == pytest.approx(9.67, rel=0.02) and found["latency_upper_ms"] > found["latency_ms"]
    table = run(cli, ["predict", "--network", "mobilenet_v2", "--network", "resnet50"])
    assert "ResNet-50" in table.stdout and table.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"readings": {}}, UsageError),
        ({"readings": {"mobilenet_v9": 1.0}}, UnknownNameError),
        ({"readings": {"mobilenet_v2": 0}}, UsageError),
        ({"readings": {"mobilenet_v2": math.nan}}, UsageError),
        ({"readings": {"mobilenet_v2": 1.0}, "kernels": "magic"}, UnknownNameError),
        ({"readings": {"mobilenet_v2": 1.0}, "like": "nowhere"}, UnknownNameError),
        ({"readings": {"mobilenet_v2": 1.0}, "name": "../up"}, UsageError),
        ({"readings": {"mobilenet_v2": 1.0}, "title": "x" * 2000}, UsageError),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(tmp_path, arguments, error):
    with pytest.raises(error):
        nagsdk.add_device(**{"name": "phone", **arguments})
    assert not list(tmp_path.rglob("*.toml")) and not (tmp_path.parent / "up.toml").exists()


def test_an_existing_file_is_kept(tmp_path):
    (tmp_path / "phone.toml").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        nagsdk.add_device("phone", {"mobilenet_v2": 1.0})
    assert (tmp_path / "phone.toml").read_text() == "mine"


@pytest.mark.parametrize(
    "line",
    [
        "readings = 1",
        "[readings]\nmobilenet_v2 = 1.0",
        'kernels = "xnnpack"',
        'kernels = "xnnpack"\n[readings]\nmobilenet_v2 = -1',
        'prior = "cpu-prior.json"\nkernels = "xnnpack"\n[readings]\nmobilenet_v2 = 1',
        'kernels = "xnnpack"\n[readings]\nmobilenet_v2 = "1ms"',
    ],
)
def test_a_description_with_wrong_readings_is_refused(tmp_path, line):
    (tmp_path / "a.toml").write_text(f'id = "a"\ntitle = "a"\nbackend = "android"\n{line}\n')
    with pytest.raises(DeviceError, match="not a valid device description"):
        read_device(tmp_path / "a.toml")


def test_an_unknown_network_in_a_description_is_named_when_it_is_used():
    device = Device("a", "a", "android", kernels="xnnpack", readings=(("nothing", 1.0),))
    with pytest.raises(UnknownNameError, match="nothing"):
        described_prior(device)


def test_more_threads_or_images_widen_the_bound():
    one = described_prior(Device("a", "a", "android", kernels="xnnpack", readings=(("mobilenet_v2", 10.0),)))
    more = Device("a", "a", "android", threads=4, batch=2, kernels="xnnpack", readings=(("mobilenet_v2", 10.0),))
    assert described_prior(more).spread > one.spread


def test_a_device_of_which_nothing_is_known_is_told():
    with pytest.raises(DeviceUnavailableError, match="Nothing is known") as raised:
        nagsdk.predict_networks(["mobilenet_v2"], "android")
    assert "devices add" in raised.value.next_step


def test_every_shipped_phone_answers_and_the_newest_pixel_stands_for_all():
    for name in ("pixel-1", "pixel-2", "pixel-3a", "pixel-4", "pixel-9-pro", "pixel"):
        (found,) = nagsdk.predict_networks(["efficientnet_lite0"], name)
        assert found.latency_ms < found.latency_upper_ms < 1.3 * found.latency_ms
    newest, any_ = (nagsdk.predict_networks(["efficientnet_lite0"], n)[0].latency_ms for n in ("pixel-9-pro", "pixel"))
    assert newest == any_
