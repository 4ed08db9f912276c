import os
from collections import Counter
from dataclasses import dataclass, field

import pytest

from tests.chaos.sandbox import COMMANDS, Ended, Sandbox, Server, template


@dataclass
class Row:
    """What happened to a command with a fault; the table is printed at the end."""

    ends: Counter = field(default_factory=Counter)
    wrong: int = 0
    slowest: float = 0.0


ROWS: dict[tuple[str, str], Row] = {}


@pytest.fixture(scope="session")
def chaos(tmp_path_factory):
    """A server for commands and the state that they start from."""
    server = Server()
    try:
        yield Chaos(server, template(server, tmp_path_factory.mktemp("chaos") / "template"))
    finally:
        server.close()


class Chaos:
    """Runs commands with faults in a sandbox, and notes what is wrong afterwards."""

    def __init__(self, server: Server, template: Sandbox) -> None:
        self.server, self.template = server, template
        self.box = Sandbox(template.root.parent / "box")
        self.mine = template.decoys()
        self._usual: dict[str, tuple[Ended, set[str]]] = {}
        self._wrong: list[str] = []

    def usual(self, name: str) -> Ended:
        """How a command ends without a fault; the changes that it makes are the moments for faults."""
        if name not in self._usual:
            self.restore(name)
            ended = self.run(name)
            assert ended.code == 0, ended.said
            self.look(name)
            assert self.box.left() == []
            self._usual[name] = ended, self.box.names()
        return self._usual[name][0]

    def restore(self, name: str) -> None:
        self.box.restore(self.template, COMMANDS[name])

    def run(self, name: str, **faults) -> Ended:
        return self.server.run(self.box, COMMANDS[name].arguments, **faults)

    def look(self, name: str) -> None:
        """The old or the new state is whole, no process is left, and the user's files are as they were."""
        assert self.box.processes() == []
        assert self.box.decoys() == self.mine
        COMMANDS[name].check(self.box)

    def judge(self, fault: str, name: str, ended: Ended, codes, moment, *, tidy=True, within_s=None) -> None:
        """Notes how a command ended.

        Args:
            fault: What happened.
            name: The command.
            ended: How it ended.
            codes: The right exit codes.
            moment: When the fault happened.
            tidy: Whether it must have removed its temporary files.
            within_s: The longest time that it may take after a signal; longer if other work keeps the cores busy.
        """
        row = ROWS.setdefault((fault, name), Row())
        row.ends[ended.code] += 1
        try:
            assert ended.code in codes, ended.code
            assert "Traceback" not in ended.said and "bug in nagsdk" not in ended.said
            if within_s is not None:
                row.slowest = max(row.slowest, ended.seconds)
                assert ended.seconds <= within_s * max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))
            self.look(name)
            assert not tidy or self.box.left() == []
            self.box.take_kept(ended.said)
        except Exception as error:  # damaged files are told by errors of many kinds
            row.wrong += 1
            self._wrong.append(f"{fault} at {moment}: {type(error).__name__} {error}\n{ended.said}")
            self.restore(name)

    def verdict(self) -> None:
        """Fails if anything was wrong."""
        wrong, self._wrong = self._wrong, []
        assert not wrong

    def finish(self, name: str) -> None:
        """Fails if anything was wrong, or if the command does not leave what it always leaves when it runs again."""
        self.verdict()
        ended = self.run(name)
        assert ended.code == 0, ended.said
        self.look(name)
        assert self.box.names() == self._usual[name][1]


def pytest_terminal_summary(terminalreporter):
    if not ROWS:
        return
    terminalreporter.section("faults")
    terminalreporter.write_line(f"{'fault':24} {'command':10} {'cases':>5} {'wrong':>5}  slowest  exit codes")
    for (fault, name), row in sorted(ROWS.items()):
        ends = ", ".join(f"{code}: {count}" for code, count in sorted(row.ends.items()))
        slowest = f"{row.slowest:5.2f} s" if row.slowest else ""
        terminalreporter.write_line(f"{fault:24} {name:10} {row.ends.total():5} {row.wrong:5}  {slowest:7}  {ends}")
