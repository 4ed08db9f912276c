import numpy as np
import pytest

import nagsdk
from nagsdk.bundle.bundle import load_bundle
from nagsdk.errors import NagsdkError, UsageError
from nagsdk.events import ignore
from nagsdk.pipeline.population import key_of, members_of, read_population

TWO = """
[[devices]]
share = 60
readings = { mobilenet_v3_large = 20.0 }
title = "A phone"
chips = ["SM7325", "SM 7350-AB"]
[[devices]]
share = 40
device = "pixel-4"
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "fleet.toml").write_text(text)
        return read_population(tmp_path / "fleet.toml")

    return read


def members(file, folder, **settings):
    return members_of(file, folder, load_bundle("glyphs"), settings.get("threads"), settings.get("precision"), ignore)


def test_devices_are_known_by_readings_a_chip_an_id_or_a_file(read, tmp_path):
    nagsdk.add_device("own", {"mobilenet_v3_large": 7.7}, output=tmp_path / "own.toml")
    chip = "[[devices]]\nshare = 20\nchip = 'Cortex-A78 2.4 GHz'\n[[devices]]\nshare = 20\ndevice = 'own.toml'"
    text = TWO.replace("share = 40", "share = 0.4") + chip.replace("share = 20", "share = 19.8")
    found = members(read(text), tmp_path)
    assert [one.title for one in found] == ["A phone", "Google Pixel 4 (2019)", "Cortex-A78 2.4 GHz", "own"]
    assert sum(one.share for one in found) == pytest.approx(1)
    codes = found[0].target.bundle.space.sample(3, np.random.default_rng(0))
    assert (found[0].model.mean(codes) > found[3].model.mean(codes)).all()
    assert all(one.model.source == "prior" and one.model.spread.typical > 0 for one in found)


def test_threads_and_precision_of_the_call_hold_for_every_device(read, tmp_path):
    found = members(read(TWO), tmp_path, threads=2, precision="int8")
    assert {(one.device.threads, one.device.precision) for one in found} == {(2, "int8")}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("share = 60", "share = 50"), "the shares sum to 90 per cent, not to 100"),
        (("share = 60", "share = 0"), "share: it should be greater than 0"),
        (("share = 60", "share = nan"), "nan is not a number"),
        (('device = "pixel-4"', ""), "give either device, or readings or a chip"),
        (('device = "pixel-4"', 'device = "pixel-4"\nchip = "Cortex-A78"'), "give either device"),
        (('device = "pixel-4"', 'device = "pixel-4"\nkernels = "ncnn"'), "kernels go with readings or a chip only"),
        (('"SM 7350-AB"', '"sm7325"'), "the chip of the selector sm7325 is named 2 times"),
        (('"SM 7350-AB"', "'a\"b'"), "chips"),
        (("share = 60", "share = 60\nmodle = 1"), "is not a known key"),
        (("[[devices]]", "[[devices]"), "is not a readable TOML file"),
    ],
)
def test_what_is_wrong_is_named(read, change, complaint):
    with pytest.raises(UsageError, match=complaint):
        read(TWO.replace(*change, 1))


def test_too_many_devices_and_too_large_files_are_refused(read, tmp_path):
    one = "[[devices]]\nshare = 0.05\ndevice = 'd{}'\n"
    with pytest.raises(UsageError, match="at most 1000 items"):
        read("".join(map(one.format, range(2000))))
    with pytest.raises(UsageError):
        read("#" * 2_000_000)
    with pytest.raises(UsageError):
        read_population(tmp_path / "nowhere.toml")


def test_one_precision_is_needed_for_all(read, tmp_path):
    path = tmp_path / "own.toml"
    nagsdk.add_device("own", {"mobilenet_v2@int8": 4.0}, output=path)
    path.write_text(path.read_text().replace("threads =", 'precision = "int8"\nthreads =', 1))
    file = read(TWO.replace("pixel-4", "own.toml"))
    with pytest.raises(UsageError, match="different precisions: fp32, int8"):
        members(file, tmp_path)
    assert len(members(file, tmp_path, precision="int8")) == 2
    with pytest.raises(UsageError, match="One precision and one number of threads are needed"):
        members(file, tmp_path, precision="any")


@pytest.mark.parametrize("text", ["device = 'no-such-phone'", "chip = 'Cortex-A78'", "readings = { lenet = 3.0 }"])
def test_a_device_of_which_nothing_is_known_is_named_by_its_place(read, tmp_path, text):
    with pytest.raises(NagsdkError, match="Device 2 of the population"):
        members(read(TWO.replace('device = "pixel-4"', text)), tmp_path)


def test_chips_are_compared_without_what_phones_write_in_different_ways():
    assert key_of("SM 7350-AB") == key_of("sm7350ab") and key_of("Exynos 2200") == "exynos2200"
