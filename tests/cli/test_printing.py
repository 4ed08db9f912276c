import pathlib
import re

import nagsdk.cli
from nagsdk.cli.printing import print_table, say
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
