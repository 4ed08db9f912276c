import pytest

from nagsdk.device.meter import Meter, host_meter
from nagsdk.errors import DeviceError

WRAPS = 262143328850


def rapl(root, used, name="package-0", number=0):
    zone = root / f"class/powercap/intel-rapl:{number}"
    zone.mkdir(parents=True, exist_ok=True)
    (zone / "name").write_text(f"{name}\n")
    (zone / "energy_uj").write_text(f"{used}\n")
    (zone / "max_energy_range_uj").write_text(f"{WRAPS}\n")


def test_packages_are_added_and_counters_go_round(tmp_path):
    rapl(tmp_path, WRAPS - 1_500_000)
    rapl(tmp_path, 7_000_000, "package-1", 1)
    rapl(tmp_path, 0, "psys", 2)
    rapl(tmp_path, 0, "core", "0:0")
    before = host_meter(tmp_path)
    rapl(tmp_path, 500_000)
    rapl(tmp_path, 8_000_000, "package-1", 1)
    rapl(tmp_path, 99_000_000, "psys", 2)
    rapl(tmp_path, 99_000_000, "core", "0:0")
    assert host_meter(tmp_path).since(before) == pytest.approx(3.0, abs=1e-5)


def test_a_machine_without_counters_says_so(tmp_path):
    with pytest.raises(DeviceError, match="does not tell how much energy"):
        host_meter(tmp_path)


def test_a_counter_that_cannot_be_read_names_the_command_that_allows_it(tmp_path):
    rapl(tmp_path, 1)
    (tmp_path / "class/powercap/intel-rapl:0/energy_uj").unlink()
    (tmp_path / "class/powercap/intel-rapl:0/energy_uj").mkdir()
    with pytest.raises(DeviceError) as caught:
        host_meter(tmp_path)
    assert "sudo chmod a+r" in caught.value.next_step


def test_the_difference_is_that_of_each_counter():
    assert Meter(((1.0, 8.0), (5.0, 10.0))).since(Meter(((7.0, 8.0), (2.0, 10.0)))) == 5.0
