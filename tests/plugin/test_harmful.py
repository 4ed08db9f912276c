"""Harmful distributions, installed into a site folder: the command line still works, and names each with its reason."""

import json
import os
import subprocess
import sys

import pytest

SOUND = """
from nagsdk.device.backend import Backend, Presence
from nagsdk.device.description import Device
from nagsdk.plugin import hookimpl

nagsdk_api = 1


class Sound(Backend):
    id, title, suffix = "{name}", "Sound", ".bin"
    def presence(self, device): return Presence(False, "It is not plugged in.")
    def export(self, graph, path, device, images=None): ...
    def open(self, device): ...


@hookimpl
def nagsdk_register_backends(registry):
    registry.add(Sound())


@hookimpl
def nagsdk_register_devices(registry):
    registry.add(Device("{name}", "Sound", "{name}"))
"""
# Source, and what is said of it.
SABOTAGE = {
    "raises": ("raise RuntimeError('no driver')", "no driver"),
    "hangs": ("import time\nwhile True: time.sleep(1)", "did not register within 4 s"),
    "spins": ("while True: pass", "did not register within 4 s"),
    "crashes": ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    "exits": ("import os\nos._exit(0)", "ended the process that loaded it"),
    "shouts": (SOUND.format(name="shouts") + "\nimport os\nos.write(1, b'{\"json\": ' * 9)", "prints while it loads"),
    "chatters": (SOUND.format(name="chatters") + "\nprint('[garbage' * 99)", "prints while it loads"),
    "repeats": (SOUND.format(name="onnxruntime"), "Two plugins register the backend 'onnxruntime'"),
    "usurps": (SOUND.format(name="cpu"), "Two plugins register the device 'cpu'"),
    "mistakes": (
        SOUND.format(name="mistakes").replace("registry.add(Sound())", "registry.add(42)"),
        "registered int as a backend",
    ),
    "asks": ("input()", "EOFError"),
    "ages": (SOUND.format(name="ages").replace("nagsdk_api = 1", "nagsdk_api = 0"), "was written for version 0"),
}


def install(site, name, source, entry=None):
    """A distribution as an installer leaves it."""
    package, record = site / f"sabotage_{name}", site / f"sabotage_{name}-1.0.dist-info"
    package.mkdir(parents=True)
    record.mkdir()
    (package / "__init__.py").write_text(source)
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: sabotage-{name}\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text(f"[nagsdk]\n{entry or name} = sabotage_{name}\n")


@pytest.fixture
def nagsdk(tmp_path):
    site = tmp_path / "site"

    def run(*arguments, code=0, **environment):
        done = subprocess.run(
            [sys.executable, "-m", "nagsdk", *arguments],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(site), *(p for p in sys.path if p)]),
                "NAGSDK_PLUGIN_TIMEOUT_S": "4",
                **environment,
            },
        )
        assert done.returncode == code, done.stderr
        return done

    run.site = site
    return run


def test_no_plugin_takes_the_command_line_down(nagsdk):
    for name, (source, _) in SABOTAGE.items():
        install(nagsdk.site, name, source)
    install(nagsdk.site, "sound", SOUND.format(name="sound"))
    listed = {p["name"]: p for p in json.loads(nagsdk("plugins", "--json").stdout)}
    said = {name: listed[name]["reason"] for name in SABOTAGE}
    assert [name for name, (_, reason) in SABOTAGE.items() if reason not in said[name]] == [], said
    assert {name for name in SABOTAGE if listed[name]["state"] == "loaded"} == {"chatters", "shouts"}
    assert {listed[name]["state"] for name in ("sound", "android", "cuda", "litert", "onnxruntime")} == {"loaded"}
    devices = json.loads(nagsdk("devices", "--json").stdout)
    assert {d["id"]: d["available"] for d in devices if d["id"] in ("cpu", "sound", "chatters")} == {
        "cpu": True,
        "sound": False,
        "chatters": False,
    }
    shown = nagsdk("plugins", "doctor", code=4).stdout
    assert all(reason in shown for _, reason in SABOTAGE.values())
    (result,) = [json.loads(nagsdk("generate", "--device", "cpu", "--budget", "2MMACs", "--json").stdout)]
    assert result["macs"] <= 2e6


def test_another_plugin_of_the_same_name_does_not_take_ours_along(nagsdk):
    install(nagsdk.site, "impostor", SABOTAGE["crashes"][0], entry="onnxruntime")
    install(nagsdk.site, "second", SOUND.format(name="second"), entry="litert")
    listed = [(p["name"], p["state"], p["reason"]) for p in json.loads(nagsdk("plugins", "--json").stdout)]
    ours, other = [p for p in listed if p[0] == "onnxruntime"]
    assert ours[1] == "loaded" and other[1] == "broken" and "SIGSEGV" in other[2]
    assert ("litert", "broken", "Another package provides a plugin with this name.") in listed
    assert nagsdk("generate", "--device", "cpu", "--budget", "2MMACs", "--json").stdout


def test_a_harmful_plugin_is_started_once_and_again_when_it_has_changed(nagsdk):
    install(nagsdk.site, "crashes", "")
    (source,) = nagsdk.site.glob("sabotage_crashes/__init__.py")
    counting = f"open({str(nagsdk.site / 'count')!r}, 'a').write('x')\n"
    source.write_text(counting + SABOTAGE["crashes"][0])
    for _ in range(2):
        assert "SIGSEGV" in nagsdk("plugins").stdout
    assert (nagsdk.site / "count").read_text() == "x"
    source.write_text(counting + SOUND.format(name="mended"))
    assert "registers backend mended" in nagsdk("plugins").stdout
    assert (nagsdk.site / "count").read_text() == "xx"
    nagsdk("plugins")
    assert (nagsdk.site / "count").read_text() == "xxx"


def test_disabled_plugins_are_not_even_started(nagsdk, tmp_path):
    install(nagsdk.site, "crashes", SABOTAGE["crashes"][0])
    listed = {p["name"]: p for p in json.loads(nagsdk("plugins", "--json", NAGSDK_DISABLE_PLUGINS="crashes").stdout)}
    assert listed["crashes"]["state"] == "disabled" and "NAGSDK_DISABLE_PLUGINS" in listed["crashes"]["reason"]
    config = tmp_path / "config.toml"
    config.write_text('disable_plugins = ["crashes"]\n')
    listed = {p["name"]: p for p in json.loads(nagsdk("plugins", "--json", NAGSDK_CONFIG=str(config)).stdout)}
    assert listed["crashes"]["state"] == "disabled" and str(config) in listed["crashes"]["reason"]
    nagsdk("plugins", "doctor", NAGSDK_DISABLE_PLUGINS="crashes")
