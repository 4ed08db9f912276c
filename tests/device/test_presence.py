from types import SimpleNamespace

from nagsdk.common import cores
from nagsdk.device.backend import Presence
from nagsdk.device.description import Device
from nagsdk.device.presence import presence_of


def test_what_a_device_says_about_itself_is_shown_on_one_line_and_not_obeyed():
    answers = iter(
        [
            Presence(True, "", {"model": "Pixel\x1b[2J\n  top1  99", "chip\x07": "小米"}, "f"),
            Presence(False, "It says \x1b]0;x\x07."),
        ]
    )
    backend = SimpleNamespace(id="odd", runs_elsewhere=True, presence=lambda device: next(answers))
    device = Device("odd", "Odd", "odd")
    assert presence_of(backend, device) == Presence(
        True, "", {"model": r"Pixel\x1b[2J top1 99", r"chip\x07": "小米"}, "f"
    )
    assert presence_of(backend, device).reason == r"It says \x1b]0;x\x07."


def test_what_limits_the_processor_is_recorded_and_identifies_crowded_devices_only(monkeypatch):
    def asked(threads, elsewhere=False):
        backend = SimpleNamespace(
            id="b", runs_elsewhere=elsewhere, presence=lambda device: Presence.of({"runtime": "r"})
        )
        return presence_of(backend, Device("d", "D", "b", threads=threads))

    monkeypatch.setattr(cores, "cpu_quota", lambda: None)
    monkeypatch.setattr(cores, "allowed_cores", lambda: [0, 1])
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    free = asked(1)
    assert free.properties == {"runtime": "r"} and asked(64) == free
    monkeypatch.setattr(cores, "cpu_quota", lambda: 1.5)
    assert asked(1).properties == {"runtime": "r", "cpu_quota": "1.5 cores"}
    assert asked(1).fingerprint == free.fingerprint != asked(2).fingerprint
    assert asked(2, elsewhere=True) == free
