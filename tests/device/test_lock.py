import os
import signal
import subprocess
import sys
import threading

import pytest

from nagsdk.device.lock import device_lock
from nagsdk.errors import DeviceBusyError, DeviceError
from nagsdk.events import Notice

HOLD = """
import sys, time
from pathlib import Path
from nagsdk.device.lock import device_lock
with device_lock(Path(sys.argv[1]), "cpu"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_busy_device_names_who_holds_it(holder, tmp_path):
    events = []
    with (
        pytest.raises(DeviceBusyError, match=f"process {holder.pid} is measuring") as caught,
        device_lock(tmp_path, "cpu", events.append, timeout_s=0.2),
    ):
        pytest.fail("held twice")
    assert caught.value.next_step
    assert [type(event) for event in events] == [Notice]
    assert f"process {holder.pid}" in events[0].text


def test_other_devices_are_free(holder, tmp_path):
    with device_lock(tmp_path, "gpu", timeout_s=0):
        pass


def test_the_lock_of_a_dead_process_is_gone(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    events = []
    with device_lock(tmp_path, "cpu", events.append, timeout_s=0):
        assert events == []


def test_a_waiting_process_gets_the_lock_afterwards(tmp_path):
    order = []
    inside, waiting = threading.Event(), threading.Event()

    def second():
        inside.wait()
        with device_lock(tmp_path, "cpu", lambda event: waiting.set(), timeout_s=30):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with device_lock(tmp_path, "cpu"):
        inside.set()
        assert waiting.wait(30)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_an_error_inside_frees_the_device(tmp_path):
    with pytest.raises(ZeroDivisionError), device_lock(tmp_path, "cpu"):
        raise ZeroDivisionError
    with device_lock(tmp_path, "cpu", timeout_s=0):
        pass


def test_an_os_error_inside_is_not_reported_as_an_error_of_the_lock(tmp_path):
    with pytest.raises(FileNotFoundError), device_lock(tmp_path, "cpu"):
        raise FileNotFoundError


def test_a_folder_that_cannot_be_used_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match="cannot be taken"), device_lock(tmp_path / "file", "cpu"):
        pytest.fail("held in a file")
