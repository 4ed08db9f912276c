"""What a person at a terminal sees while something runs."""

import io
import json
import sys

import click

from nagsdk.cli import cli
from nagsdk.cli.progress import listener
from nagsdk.common.folders import shipped
from nagsdk.events import Advanced, Notice, Remaining, stage
from nagsdk.families.resnet50.space import ResNet50Space


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


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_command_has_one_listener(monkeypatch):
    """Only one part of the screen can be drawn on at a time."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    with click.Context(cli) as root, root.scope(), click.Context(cli, parent=root) as inner, inner.scope():
        assert listener() is listener()


def test_a_command_tells_that_it_finds_the_layers_of_a_family_once(tmp_path, monkeypatch):
    """Whatever opens a space does: this command has no listener of its own."""
    glyphs = json.loads(shipped("bundles/glyphs/bundle.json").read_text("utf-8"))
    small = ResNet50Space(5, (32,), 8, (16,), (1,), (0,), (0.5, 1.0), (1.0,)).to_dict()
    small = {name: list(value) if isinstance(value, tuple) else value for name, value in small.items()}
    given = {key: glyphs[key] for key in ("format", "version", "title", "licence", "provenance", "preprocessing")}
    (tmp_path / "bundle.json").write_text(json.dumps({**given, "name": "own", "space": small, "files": {}}))
    shown = []
    for _ in range(2):
        monkeypatch.setattr(sys, "stderr", Terminal())
        cli.main(["bundle", "show", str(tmp_path), "--json"], standalone_mode=False)
        shown.append(sys.stderr.getvalue())
    assert "Finding the layers of resnet50" in shown[0] and shown[1] == ""


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
