"""SKILL.md names commands and options that exist, and is found without the package mcp."""

import re
import shlex
import sys

import click
import pytest
from click.testing import CliRunner

from nagsdk.agents.server import skill
from nagsdk.cli import cli


def test_it_is_printed_as_it_is_shipped():
    done = CliRunner().invoke(cli, ["mcp", "--skill"])
    assert done.exit_code == 0 and done.stdout == skill()


def test_its_head_says_when_to_use_it():
    _, head, body = skill().split("---\n", 2)
    about = dict(line.split(": ", 1) for line in head.splitlines())
    assert not any(": " in value or " #" in value or value[0] in "'\"[{&*!|>%@`" for value in about.values())  # YAML
    assert about["name"] == "nagsdk" and 50 < len(about["description"]) < 1024
    assert body.strip().startswith("# nagsdk") and len(skill().splitlines()) < 200


COMMANDS = [
    shlex.split(line) for block in re.findall(r"```sh\n(.*?)```", skill(), re.DOTALL) for line in block.splitlines()
] + [shlex.split(text) for text in re.findall(r"`(nagsdk [^`]+)`", skill())]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_its_commands_are_understood(words):
    assert words[0] == "nagsdk"
    command, context, rest = cli, click.Context(cli), words[1:]
    if rest[0] == "COMMAND":
        return
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        _, command, rest = command.resolve_command(context, rest)
        context = click.Context(command, parent=context)
    command.make_parser(context).parse_args(list(rest))  # an unknown option raises


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    monkeypatch.setitem(sys.modules, "mcp.server.stdio", None)
    done = CliRunner().invoke(cli, ["mcp"])
    assert done.exception.exit_code == 2 and "nagsdk[mcp]" in done.exception.next_step
