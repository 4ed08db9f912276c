import pathlib
import re

import nagsdk.cli
from nagsdk.cli import printing
from nagsdk.cli.printing import fitted, print_table, say
from nagsdk.cli.progress import warn
from nagsdk.events import Notice


def test_what_others_say_cannot_control_the_terminal(capsys):
    say("a title\x1b[2J", fg="red")
    print_table(["name", "title"], [["a\x1b]0;x\x07", "one"], ["b", "two"]])
    warn(Notice("gone\rhere", warning=True))
    found = capsys.readouterr()
    assert "\\x1b[2J" in found.out and r"a\x1b]0;x\x07  one" in found.out and r"gone\rhere" in found.err
    assert not re.search(r"[\x07\r]|\x1b(?!\[(31|0)m)", found.out + found.err)


def test_commands_print_by_say_alone():
    for path in pathlib.Path(nagsdk.cli.__file__).parent.glob("*.py"):
        if path.name not in ("__init__.py", "completion.py", "printing.py"):
            assert not re.search(r"\bclick\.s?echo\(|(?<![.\w])print\(", path.read_text(encoding="utf-8")), path


LONG = "mbv3:r224:" + ":".join(f"{key}={','.join(['5'] * 20)}" for key in ("ks", "e"))
WORDS = f"The architecture {LONG} is said in words that stay whole, such as uninterrupted."


def test_lines_fit_the_screen_and_words_stay_whole():
    for width in (40, 60, 80):
        lines = fitted(WORDS, width, "  label   ", " " * 10).split("\n")
        assert max(map(len, lines)) <= width and lines[0].startswith("  label   The")
        assert all(line.startswith(" " * 10) for line in lines[1:])
        assert "".join("".join(lines).split()).removeprefix("label") == "".join(WORDS.split())
        assert set(re.findall("[A-Za-z]{6,}", WORDS)) <= set(re.findall("[A-Za-z]{6,}", "\n".join(lines)))


def test_lines_stay_as_they_are_in_a_pipe_and_where_they_fit():
    assert fitted(WORDS, None, "  ") == f"  {WORDS}"
    assert fitted("  a  table\n    of two", 80, "> ", "  ") == ">   a  table\n      of two"


def test_a_table_that_is_too_wide_goes_on_below_its_last_column(capsys, monkeypatch):
    monkeypatch.setattr(printing, "columns", lambda **_: 60)
    print_table(["name", "what"], [["one", WORDS], ["two", "short"]])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60 and lines[1].startswith("one   The") and lines[2].startswith("      ")
    assert lines[-1] == "two   short"
    print_table(["x" * 50, "what"], [["y" * 50, WORDS]])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60
