"""What a person at a terminal sees while something runs."""

import sys

from nagsdk.cli.options import listening
from nagsdk.events import Advanced, Notice, stage


def test_what_devices_tell_is_shown_as_it_is_and_not_as_markup(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with listening() as listener:
        listener(Notice("phone [bold]x[/] [/nope]", True))
        with stage(listener, "Measuring [/]", 2):
            listener(Advanced("net [/x]", 1))
    shown = capsys.readouterr().err
    assert "phone [bold]x[/] [/nope]" in shown and "Warning: " in shown


def test_only_warnings_are_told_where_there_is_no_terminal(capsys):
    with listening() as listener, stage(listener, "Measuring", 2):
        listener(Notice("careful", True))
        listener(Notice("by the way"))
    assert capsys.readouterr() == ("", "Warning: careful\n")
