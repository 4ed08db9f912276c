"""What a person at a terminal sees while something runs."""

import sys

from nagsdk.cli.progress import listener
from nagsdk.events import Advanced, Notice, Remaining, stage


def test_what_devices_tell_is_shown_as_it_is_and_not_as_markup(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    tell = listener()
    tell(Notice("phone [bold]x[/] [/nope]", True))
    with stage(tell, "Measuring [/]", 2):
        tell(Advanced("net [/x]", 1))
    shown = capsys.readouterr().err
    assert "phone [bold]x[/] [/nope]" in shown and "Warning: " in shown


def test_only_warnings_are_told_where_there_is_no_terminal(capsys):
    tell = listener()
    with stage(tell, "Measuring", 2):
        tell(Notice("careful", True))
        tell(Notice("by the way"))
    assert capsys.readouterr() == ("", "Warning: careful\n")


def test_the_time_of_the_whole_is_a_line_beside_that_of_the_stage(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    tell = listener()
    with stage(tell, "Training", 2):
        tell(Advanced("Step 1 of 2", 1))
        tell(Remaining("the whole of 15 min", 700))
        tell(Remaining("the whole of 15 min", 65))
        assert [task.description for task in tell._progress.tasks] == ["Step 1 of 2", "the whole of 15 min: 65 s left"]
    with stage(tell, "Measuring", 2):
        tell(Remaining("the whole of 15 min", 600))
        assert len(tell._progress.tasks) == 2
    tell.close()
