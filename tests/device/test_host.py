"""The name of the processor, which is part of the key of every measurement."""

import platform
import sys
from types import SimpleNamespace

import pytest

from nagsdk.device import host
from nagsdk.device.description import Device

LINUX = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 85
model name\t: Intel(R) Xeon(R) CPU @ 2.80GHz
flags\t\t: fpu vme

processor\t: 1
model name\t: another
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Simulates a system without /proc; the fixture sets the answer of py-cpuinfo and records the calls."""
    monkeypatch.setattr(host, "_CPUINFO", tmp_path / "proc" / "cpuinfo")
    monkeypatch.setattr(platform, "node", lambda: "mac.local")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    asked = []

    def answer(found):
        def get_cpu_info():
            asked.append(found)
            if isinstance(found, Exception):
                raise found
            return found

        host._looked_up.cache_clear()
        monkeypatch.setitem(sys.modules, "cpuinfo", SimpleNamespace(get_cpu_info=get_cpu_info))
        return asked

    yield answer
    host._looked_up.cache_clear()


def test_the_name_on_linux(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(LINUX)
    monkeypatch.setattr(host, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setitem(sys.modules, "cpuinfo", None)  # is not even imported
    assert host.processor() == "Intel(R) Xeon(R) CPU @ 2.80GHz"


def test_the_name_on_linux_where_the_kernel_reports_none(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nCPU part\t: 0xd0c\n")
    monkeypatch.setattr(host, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setitem(sys.modules, "cpuinfo", None)
    assert host.processor() == "aarch64"


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="compares with /proc/cpuinfo")
def test_cpuinfo_finds_the_same_name():
    import cpuinfo

    assert cpuinfo.get_cpu_info()["brand_raw"] == host.processor()


def test_elsewhere_it_is_looked_up_once(elsewhere, monkeypatch):
    asked = elsewhere({"brand_raw": "Apple M4"})
    assert [host.processor(), host.processor()] == ["Apple M4"] * 2 and len(asked) == 1
    elsewhere({"brand_raw": "Apple M5"})  # another process
    assert host.processor() == "Apple M4" and len(asked) == 1
    monkeypatch.setattr(platform, "node", lambda: "another.local")  # with the same home folder
    host._looked_up.cache_clear()
    assert host.processor() == "Apple M5"


@pytest.mark.parametrize("found", [{}, {"brand_raw": ""}, Exception("py-cpuinfo does not know it")])
def test_a_processor_that_cpuinfo_does_not_know(elsewhere, found):
    elsewhere(found)
    assert host.processor() == "arm"
    elsewhere({"brand_raw": "a name of later"})
    assert host.processor() == "arm"  # the key of earlier measurements does not change


def test_without_a_cache_it_is_looked_up_nevertheless(elsewhere, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAGSDK_CACHE_DIR", str(tmp_path / "file" / "cache"))
    elsewhere({"brand_raw": "Apple M4"})
    assert host.processor() == "Apple M4"


def test_cores_that_are_not_there_are_refused_before_a_run():
    from nagsdk.common.processes import allowed_cores, can_pin
    from nagsdk.device.presence import presence_of
    from nagsdk_onnxruntime.backend import OnnxRuntimeBackend

    if not can_pin():
        pytest.skip("this system lets no process choose its cores")
    there, absent = allowed_cores()[0], allowed_cores()[-1] + 1000
    for cores, available in ((str(there), True), (f"{there},{absent}", False)):
        device = Device("pinned", "Pinned", "onnxruntime", options=(("cores", cores),))
        found = presence_of(OnnxRuntimeBackend(), device)
        assert found.available == available and (available or f"names the core {absent}" in found.reason)
