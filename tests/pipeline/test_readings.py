import json
import math
from dataclasses import replace

import pytest
from click.testing import CliRunner

import nagsdk
from nagsdk.cli import cli
from nagsdk.cost.features import network_features
from nagsdk.device.description import Device, read_device
from nagsdk.errors import DeviceError, DeviceUnavailableError, OutputError, UnknownNameError, UsageError
from nagsdk.networks.catalogue import layers_of
from nagsdk.pipeline.priors import described_prior
from nagsdk.plugin.host import installed

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
        ({"readings": {"mobilenet_v2@int9": 1.0}}, UsageError),
        ({"readings": {"mobilenet_v2": 1.0}, "reading_threads": 0}, UsageError),
        ({"readings": {"mobilenet_v2": 1.0}, "chip": "Cortex-A87"}, UnknownNameError),
        ({"readings": {"mobilenet_v2": 1.0}, "like": "cuda"}, UsageError),
        ({"chip": "Cortex-A78"}, UsageError),
        ({"chip": "Cortex-A53 2 GHz"}, UsageError),
        ({"chip": "Cortex-A78 2 GHz", "like": "cuda"}, UsageError),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(tmp_path, arguments, error):
    with pytest.raises(error):
        nagsdk.add_device(**{"name": "phone", "readings": {}, **arguments})
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
        'chip = "Cortex-A76 2 GHz"',
        'kernels = "xnnpack"\nreading_threads = 0\n[readings]\nmobilenet_v2 = 1',
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


def test_a_chip_alone_gives_a_wide_answer_that_says_so(tmp_path):
    device = nagsdk.add_device("tablet", chip="a78 2.4GHz")
    assert read_device(tmp_path / "tablet.toml") == device and device.chip == "Cortex-A78 2.4 GHz"
    (found,) = nagsdk.predict_networks(["mobilenet_v2"], "tablet.toml")
    assert found.latency_upper_ms > 1.5 * found.latency_ms and "Cortex-A76" in found.rests_on


def test_readings_of_several_threads_hold_for_these_threads_and_widen_the_bound():
    one, four = (nagsdk.add_device(f"d{n}", {"mobilenet_v2": 9.0}, reading_threads=n) for n in (1, 4))
    assert (four.threads, four.reading_threads) == (4, 4)
    assert described_prior(four).spread > described_prior(one).spread
    assert described_prior(replace(four, threads=1)).spread > 2 * described_prior(four).spread


def test_integers_have_priors_of_their_own():
    plain = nagsdk.add_device("plain", {"mobilenet_v2": 9.847})
    both = nagsdk.add_device("both", {"mobilenet_v2": 9.847, "mobilenet_v2@int8": 4.074})
    latency = {}
    for device in (plain, both):
        for precision in ("fp32", "int8", "fp16"):
            prior = described_prior(replace(device, precision=precision), "mobilenet_v2")
            latency[device.id, precision] = float(network_features(layers_of("mobilenet_v2")) @ prior.weights)
            assert prior.source["precision"] == ("fp32" if precision == "fp16" else precision)
            assert (prior.spread > 0.1) == (precision == "int8")
    assert latency["plain", "int8"] == pytest.approx(4.5, rel=0.15)
    assert latency["both", "int8"] == pytest.approx(4.074, rel=0.02)
    (result,) = nagsdk.generate("both.toml", ["6ms"], bundle="imagenet", precision="int8")
    assert any("Those in int8 rest on 1 reading" in warning for warning in result.warnings)
    only = nagsdk.add_device("only", {"mobilenet_v2@int8": 4.0})
    assert described_prior(only) is None and described_prior(replace(only, precision="int8")) is not None


def test_what_costs_an_unknown_price_is_never_free():
    found, plain = nagsdk.predict_networks(["efficientnet_b0", "mobilenet_v2"], "pixel-3-2019")
    assert found.latency_ms is None and "swish" in found.rests_on and plain.latency_ms > 0
    (known,) = nagsdk.predict_networks(["efficientnet_b0"], "pixel-9-pro")
    assert known.latency_ms == pytest.approx(21.8, rel=0.05)  # published with LiteRT 2.2
    (shipped,) = nagsdk.predict_networks(["efficientnet_b0"], "cpu")
    assert shipped.latency_ms is None


@pytest.mark.parametrize(
    ("name", "near"), [("pixel-8", "pixel-9-pro"), ("Pixel 8a", "pixel-9-pro"), ("galaxy-s10", "galaxy-s8"), ("", "")]
)
def test_a_phone_that_nobody_read_is_told_with_its_nearest_and_a_way(name, near):
    with pytest.raises(UnknownNameError, match="no readings of it are known") as raised:
        nagsdk.predict_networks(["mobilenet_v2"], name)
    assert f"Nearest: {near}" in raised.value.next_step or not near
    assert "Add one reading: nagsdk devices add " in raised.value.next_step


BY_READINGS = [device.id for device in installed().devices if device.kernels]


def test_readings_of_a_processor_are_refused_for_its_gpu():
    device = Device("a", "a", "android", kernels="xnnpack", readings=(("mobilenet_v2", 1.0),))
    with pytest.raises(UsageError, match="no scaled processors"):
        described_prior(replace(device, options=(("delegate", "gpu"),)))


@pytest.mark.parametrize("name", BY_READINGS)
def test_every_shipped_phone_and_board_answers_and_says_on_what_it_rests(name):
    device = installed().devices.get(name)
    (found,) = nagsdk.predict_networks(["efficientnet_lite0"], name)
    widest = 1.3 if device.readings and device.reading_threads == 1 else 3
    assert found.latency_ms < found.latency_upper_ms < widest * found.latency_ms
    assert "nothing was measured on your" in device.caveat
    assert (device.kernels in ("ncnn", "tflite-2019")) == name.endswith(("-ncnn", "-2019"))


def test_the_newest_pixel_stands_for_all():
    newest, any_ = (nagsdk.predict_networks(["efficientnet_lite0"], n)[0].latency_ms for n in ("pixel-9-pro", "pixel"))
    assert newest == any_
