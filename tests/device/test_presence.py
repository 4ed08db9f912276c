from types import SimpleNamespace

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
