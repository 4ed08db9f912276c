import json

import pytest

from nagsdk.errors import BundleError, DeviceError, DeviceUnavailableError
from nagsdk_android import tool

ARM64 = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00" + (183).to_bytes(2, "little") + b"code"


@pytest.fixture
def binary(tmp_path):
    path = tmp_path / "android_aarch64_benchmark_model"
    path.write_bytes(ARM64)
    return path


def test_a_binary_is_kept_with_its_hash_for_the_phones_it_was_built_for(binary):
    record = tool.install(binary)
    assert record["abi"] == "arm64-v8a" and record["source"] == str(binary)
    path, digest = tool.find("arm64-v8a")
    assert path.read_bytes() == ARM64 and digest == record["sha256"]
    with pytest.raises(DeviceUnavailableError, match="no benchmark_model for x86_64") as caught:
        tool.find("x86_64")
    assert "nagsdk android setup" in caught.value.next_step


def test_what_a_phone_says_as_its_abi_leads_nowhere_else(binary):
    tool.install(binary)
    elsewhere = tool.folder() / "elsewhere"
    (tool.folder() / "tools" / "arm64-v8a").rename(elsewhere)
    for abi in ("../elsewhere", str(elsewhere), "", ".", "x" * 5000):
        with pytest.raises(DeviceUnavailableError, match="no benchmark_model"):
            tool.find(abi)


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"MZ\x90", b"\x7fELF" + bytes(14) + b"\xff\xff"])
def test_a_file_that_is_not_a_program_for_phones_is_refused(tmp_path, content):
    path = tmp_path / "binary"
    path.write_bytes(content)
    with pytest.raises(DeviceError, match="not a program that a phone can run"):
        tool.install(path)
    with pytest.raises(DeviceError, match="is not a file"):
        tool.install(tmp_path / "absent")


def test_a_binary_that_changed_on_this_computer_is_not_used(binary):
    tool.install(binary)
    (tool._place("arm64-v8a") / "benchmark_model").write_bytes(b"#!/bin/sh\n")
    with pytest.raises(DeviceError, match="not the file that was recorded"):
        tool.find("arm64-v8a")


def test_a_damaged_record_is_reported(binary):
    tool.install(binary)
    (tool._place("arm64-v8a") / "benchmark_model.json").write_text("{")
    with pytest.raises(DeviceError, match="cannot be read"):
        tool.find("arm64-v8a")


def test_a_later_download_must_have_the_hash_of_the_first(monkeypatch):
    served = [ARM64]
    monkeypatch.setattr(
        "nagsdk.common.download.download", lambda address, path, most, on_event: path.write_bytes(served[0])
    )
    first = tool.install(None)
    assert first["source"] == tool.ADDRESS and tool.install(None)["sha256"] == first["sha256"]
    served[0] = ARM64 + b"newer"
    with pytest.raises(DeviceError, match="no longer has the hash") as caught:
        tool.install(None)
    assert "old binary stays in use" in caught.value.next_step
    assert tool.find("arm64-v8a")[1] == first["sha256"]
    assert json.loads((tool._place("arm64-v8a") / "benchmark_model.json").read_text())["sha256"] == first["sha256"]


def test_offline_nothing_is_downloaded(monkeypatch):
    monkeypatch.setenv("NAGSDK_OFFLINE", "1")
    with pytest.raises(DeviceError, match="NAGSDK_OFFLINE forbids downloads") as caught:
        tool.install(None)
    assert "--from FILE" in caught.value.next_step


def test_a_failed_download_suggests_installing_from_a_file(monkeypatch):
    def fail(*arguments):
        raise BundleError("The server cannot be reached.", "Run the command again.")

    monkeypatch.setattr("nagsdk.common.download.download", fail)
    with pytest.raises(DeviceError, match="cannot be reached") as caught:
        tool.install(None)
    assert "--from FILE" in caught.value.next_step
    assert not list(tool.folder().iterdir())
