import sys
from collections import Counter

import pytest

from tests.chaos.sandbox import COMMANDS, Sandbox, Server, template

# What happened, by kind of fault and command; printed at the end.
TALLY: dict[tuple[str, str], Counter] = {}
SLOWEST: dict[str, float] = {}


@pytest.fixture(scope="session")
def chaos(tmp_path_factory):
    """A server for commands and the state that they start from."""
    if sys.platform != "linux":
        pytest.skip("reads /proc to see what a command leaves")
    server = Server()
    try:
        yield Chaos(server, template(server, tmp_path_factory.mktemp("chaos") / "template"))
    finally:
        server.close()


class Chaos:
    """Runs commands with faults in a sandbox, and looks at what they leave."""

    def __init__(self, server: Server, template: Sandbox) -> None:
        self.server, self.template = server, template
        self.box = Sandbox(template.root.parent / "box")
        self.mine = template.decoys()
        self._usual = {}

    def usual(self, name):
        """How a command ends without a fault; what it changes is the list of moments for faults."""
        if name not in self._usual:
            self.restore(name)
            ended = self.run(name)
            assert ended.code == 0, ended.said
            self.look(name)
            self.nothing_left()
            self._usual[name] = ended
        return self._usual[name]

    def restore(self, name):
        self.box.restore(self.template, COMMANDS[name])

    def run(self, name, **faults):
        return self.server.run(self.box, COMMANDS[name].arguments, **faults)

    def look(self, name):
        """The old or the new state is whole, no process is left, and the user's files are as they were."""
        assert self.box.processes() == []
        assert self.box.decoys() == self.mine
        COMMANDS[name].check(self.box)

    def nothing_left(self):
        assert self.box.left() == []

    def count(self, kind, name, what, seconds=None):
        TALLY.setdefault((kind, name), Counter())[what] += 1
        if seconds is not None:
            SLOWEST[kind] = max(SLOWEST.get(kind, 0.0), seconds)


def pytest_terminal_summary(terminalreporter):
    if not TALLY:
        return
    terminalreporter.section("faults")
    terminalreporter.write_line(f"{'fault':28} {'command':12} cases  how they ended (exit codes; negative: killed)")
    for (kind, name), found in sorted(TALLY.items()):
        ends = ", ".join(f"{what}: {count}" for what, count in sorted(found.items(), key=str))
        terminalreporter.write_line(f"{kind:28} {name:12} {found.total():5}  {ends}")
    for kind, seconds in sorted(SLOWEST.items()):
        terminalreporter.write_line(f"slowest end after {kind}: {seconds:.2f} s")
