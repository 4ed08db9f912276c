import json
import subprocess
import sys
from importlib.metadata import requires, version

import pytest
from packaging.requirements import Requirement

from nagsdk.common.folders import cache_folder
from nagsdk.common.pip import pip
from nagsdk.device.backend import Backend, Presence
from nagsdk.device.description import Device
from nagsdk.device.finding import ABSENT, OK, WRONG, Finding
from nagsdk.doctor import checks as doctor
from nagsdk.doctor import packages as environment
from nagsdk.errors import BundleError
from nagsdk.measuring.store import STORE
from nagsdk.plugin.host import host, using
from nagsdk.plugin.registry import Registry


def distribution(site, name, version, requires=()):
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {r}" for r in requires)]
    (folder / "METADATA").write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def test_what_is_installed_fits_together():
    found = list(environment.packages())
    assert [f for f in found if f.state == WRONG] == []
    assert any(f.state == OK and "fit together" in f.found for f in found)
    assert [f.state for f in environment.python()] == [OK]


@pytest.mark.parametrize(
    ("name", "number", "says", "mend"),
    [
        (
            "tflite-runtime",
            "2.14.0",
            "crashes with numpy 2",
            f"{pip('uninstall', 'tflite-runtime')} && {pip('install', 'ai-edge-litert')}",
        ),
        (
            "onnxruntime-gpu",
            "1.20.0",
            "which of the two is used depends on chance",
            pip("uninstall", "onnxruntime", "onnxruntime-gpu"),
        ),
    ],
)
def test_packages_that_clash_are_told_with_the_command_that_mends_it(site, name, number, says, mend):
    distribution(site, name, number)
    (wrong,) = [f for f in environment.packages() if f.state == WRONG]
    assert says in wrong.found and number in wrong.found and wrong.mend.startswith(mend)


def asked(name):
    """What nagsdk requires of a package."""
    return next(f"{r.name}{r.specifier}" for r in map(Requirement, requires("nagsdk")) if r.name == name)


def test_versions_that_do_not_fit_are_told(site):
    distribution(site, "pluggy", "0.13.0")
    distribution(site, "scipy", version("scipy"), ["numpy<2"])
    wrong = {f.found: f.mend for f in environment.packages() if f.state == WRONG}
    assert any(f"needs {asked('pluggy')}, and 0.13.0 is installed" in text for text in wrong)
    assert {pip("install", asked("pluggy")), pip("install", "numpy<2")} <= {*wrong.values()}


def test_what_lacks_is_wrong_for_nagsdk_and_absent_for_an_extra(monkeypatch):
    installed = environment._installed
    monkeypatch.setattr(environment, "_installed", lambda name: None if name in ("rich", "pymoo") else installed(name))
    found = {f.found: (f.state, f.mend) for f in environment.packages()}
    assert found["rich is not installed."] == (WRONG, pip("install", asked("rich")))
    assert found["The extra search is not installed."] == (ABSENT, pip("install", "nagsdk[search]"))


@pytest.fixture
def offline(monkeypatch):
    def refuse(address, seconds):
        raise BundleError(f"{address} cannot be downloaded: no route to host.", "Look for the cable.")

    monkeypatch.setattr(doctor, "require_reachable", refuse)


def look(area):
    return [f for f in doctor.doctor() if f["area"] == area]


def test_without_a_network_the_other_way_is_named(offline):
    found, *_ = look("network")
    assert found["state"] == ABSENT and "no route to host" in found["found"] and "--from FILE" in found["mend"]


def test_the_network_is_asked_for_what_would_be_fetched(monkeypatch):
    asked = []
    monkeypatch.setattr(doctor, "require_reachable", lambda address, seconds: asked.append(address))
    found, *_ = look("network")
    assert found["state"] == OK and found["mend"] == "nagsdk bundle pull imagenet" and asked[0].startswith("https://")


def test_offline_the_network_is_not_asked(monkeypatch):
    monkeypatch.setattr(doctor, "require_reachable", lambda *_: pytest.fail("it asked the network"))
    monkeypatch.setenv("NAGSDK_OFFLINE", "true")
    found, *_ = look("network")
    assert found["state"] == ABSENT and "NAGSDK_OFFLINE" in found["found"] and "--from FILE" in found["mend"]


def test_a_damaged_store_is_wrong(offline):
    assert look("store")[0]["state"] == OK
    cache_folder().mkdir(parents=True, exist_ok=True)
    (cache_folder() / STORE).write_bytes(b"This is no database, whatever its name says." * 100)
    (found,) = look("store")
    assert found["state"] == WRONG and "safe place" in found["mend"]


def test_a_folder_that_cannot_be_written_is_wrong(offline, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAGSDK_DATA_DIR", str(tmp_path / "file" / "data"))
    found = [f for f in look("folders") if f["state"] == WRONG]
    assert len(found) == 1 and "cannot be written" in found[0]["found"]


def test_a_config_file_that_cannot_be_used_is_wrong(offline, own_folders):
    (own_folders / "config.toml").write_text("device = 3")
    (found,) = look("config")
    assert found["state"] == WRONG and "device" in found["found"]


class Odd(Backend):
    id, title, suffix = "odd", "Odd", ".bin"

    def __init__(self, said):
        self.said = said

    def presence(self, device):
        return Presence(False, "It is not plugged in.")

    def export(self, graph, path, device, images=None): ...

    def open(self, device): ...

    def diagnose(self):
        return self.said()


def test_backends_say_what_they_know(offline, monkeypatch):
    loaded = host()
    backends = Registry("backend", Backend)
    for name, said in {
        "sound": lambda: [Finding("board", WRONG, "No driver.", "modprobe board")],
        "odd": lambda: 1 / 0,
        "wrong": lambda: 7,
    }.items():
        backends.add(type("Other", (Odd,), {"id": name})(said))
    with using(type(loaded)(loaded.plugins, backends, loaded.devices)):
        found = doctor.doctor()
    assert {"area": "board", "state": WRONG, "found": "No driver.", "mend": "modprobe board"} in found
    assert any(f["area"] == "odd" and "ZeroDivisionError" in f["found"] for f in found)


def test_adb_and_gpu_are_looked_at(offline):
    found = doctor.doctor()
    assert {f["area"] for f in found} >= {
        "python",
        "packages",
        "config",
        "cache",
        "data",
        "store",
        "plugins",
        "adb",
        "gpu",
        "devices",
        "network",
    }
    (tool,) = [f for f in found if f["area"] == "adb" and "benchmark_model" in f["found"]]
    assert tool["state"] == ABSENT and tool["mend"] == "nagsdk android setup"


def test_a_reason_without_a_remedy_is_told_once(offline):
    loaded, backends = host(), Registry("backend", Backend)
    backends.add(Odd(list))
    with using(type(loaded)(loaded.plugins, backends, [Device("a", "A", "odd"), Device("b", "B", "odd")])):
        (found,) = look("devices")
    assert (found["found"], found["mend"]) == ("Not available: a, b. It is not plugged in.", "")


def test_commands_install_into_the_environment_that_runs(monkeypatch, tmp_path):
    for folder in ("first", "my own"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "python").touch(0o755)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "my own" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "my own"))
    assert pip("install", "nagsdk[litert]") == "pip install 'nagsdk[litert]'"
    monkeypatch.setenv("PATH", f"{tmp_path / 'first'}:{tmp_path / 'my own'}")
    assert pip("install", "nagsdk[litert]") == f"'{tmp_path}/my own/python' -m pip install 'nagsdk[litert]'"
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert pip("install", "pluggy") == "pip install pluggy"


def test_commands_for_the_shells_of_windows(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert pip("install", "nagsdk[litert]") == 'pip install "nagsdk[litert]"'
    assert pip("install", "torch>=2.6") == 'pip install "torch>=2.6"'  # cmd.exe would write to a file named =2.6
    monkeypatch.setattr(sys, "prefix", "elsewhere")
    monkeypatch.setattr(sys, "executable", r"C:\My Apps\python.exe")
    assert pip("uninstall", "onnx") == r'"C:\My Apps\python.exe" -m pip uninstall onnx'


def test_devices_that_lack_the_same_are_told_together(offline):
    absent = [f for f in look("devices") if f["state"] == ABSENT]
    assert any("pixel-1" in f["found"] and "note8" in f["found"] for f in absent)
    assert all(f["mend"] for f in absent)


def test_the_command_ends_with_what_it_found(own_folders):
    # A folder that cannot be written is wrong; the network is asked for real, and what it says changes nothing.
    done = subprocess.run(
        [sys.executable, "-m", "nagsdk", "doctor", "--json"], capture_output=True, text=True, check=False
    )
    found = json.loads(done.stdout)
    assert done.returncode == (4 if any(f["state"] == WRONG for f in found) else 0)
    (own_folders / "config.toml").write_text("device = 3")
    done = subprocess.run([sys.executable, "-m", "nagsdk", "doctor"], capture_output=True, text=True, check=False)
    assert done.returncode == 4 and "→" in done.stdout and "wrong" in done.stdout
