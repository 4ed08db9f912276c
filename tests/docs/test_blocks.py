"""Runs every shell block of the documentation that is not marked as not run.

The pages run in two processes, with one folder for caches: what one page has calibrated, the others use.
"""

import contextlib
import os
import re
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest
from filelock import FileLock

from tests.conftest import REPOSITORY
from tests.docs.blocks import PAGES, blocks

BLOCKS = [block for page in PAGES for block in blocks(page)]
# The first two pages calibrate what most others use, the next two something else; a process begins with each pair.
ORDER = ["README.md", "calibration.md", "devices.md", "plugins.md", "cli.md", "quickstart.md"]


def runnable():
    """The blocks to run, by page; what a page only repeats is run once."""
    found = {name: [] for name in dict.fromkeys([*ORDER, *(page.name for page in PAGES)])}
    for block in BLOCKS:
        if block.shell and block.mark is None:
            found[block.page].append(block)
    known = set()
    for page, own in found.items():
        texts = {block.text for block in own}
        if texts <= known:
            found[page] = []
        known |= texts
    return {page: own for page, own in found.items() if own}


MEASURES = re.compile(r"nagsdk (deploy|build|verify)|make demo|cmake --build|gradle")


def measurements(page):
    return sum(len(MEASURES.findall(block.text)) for block in RUN[page])


RUN = runnable()
# Pages whose commands others run too, with other arguments.
SELDOM = ("cli.md", "finished-models.md", "gallery.md", "int8.md", "searches.md", "server.md")
NIGHTLY = [block for block in BLOCKS if block.mark and block.mark[0] == "nightly"]
# Replaces pip: packages that a reader installs from an index are installed already, and only the names of extras are
# checked; a plugin in the present folder is really installed.
PIP = """#!{python}
import re, subprocess, sys
asked = {{e for word in sys.argv for found in re.findall(r"nagsdk\\[([a-z,]+)\\]", word) for e in found.split(",")}}
if asked - set({extras!r}):
    sys.exit(f"no such extra: {{asked}}")
if any(word.startswith(".") for word in sys.argv):
    command = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", {site!r}, "."]
    sys.exit(subprocess.run([sys.executable, *command]).returncode)
"""


@pytest.fixture(scope="session")
def kept(tmp_path_factory):
    """A folder for caches, shared by all pages and processes, so that they calibrate only once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "kept"
    folder.mkdir(exist_ok=True)
    return folder


@contextlib.contextmanager
def calibrating(text, kept):
    """Lets only one process run the first commands that need a cost model, which calibrate; the others wait for it."""
    device = re.search(r"--device (\w+)", text)
    done = kept / f"{device[1]}-{'imagenet' if '--bundle imagenet' in text else 'glyphs'}" if device else kept
    if done.exists():
        yield
        return
    with FileLock(done.with_suffix(".lock")):
        yield
        done.touch()


@pytest.fixture
def shell(tmp_path, kept):
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("nagsdk", "pytest", "python"):
        (programs / name).write_text(
            f'#!/bin/sh\nexec {sys.executable} {"" if name == "python" else f"-m {name}"} "$@"\n'
        )
    site, folder = tmp_path / "site", tmp_path / "folder"
    extras = metadata("nagsdk").get_all("Provides-Extra")
    (programs / "pip").write_text(PIP.format(python=sys.executable, extras=extras, site=str(site)))
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(site), str(REPOSITORY), str(REPOSITORY / "plugins")]),
        "PYTEST_ADDOPTS": "",
        "NAGSDK_CACHE_DIR": str(kept / "cache"),
        "NAGSDK_BUNDLE": "glyphs",  # whether or not the packages of imagenet-lite are installed
        "NAGSDK_DATA_DIR": str(kept / "data"),
    }

    folder.write_text(str(tmp_path))

    def run(script):
        # A block starts in the folder in which the block before it ended, as in a reader's shell.
        command = ["bash", "-euo", "pipefail", "-c", f"{script}\npwd > {folder}"]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=folder.read_text().strip(), env=environment
        )

    return run


def check(block, shell, kept):
    with calibrating(block.text, kept):
        done = shell(block.text)
    assert "Traceback" not in done.stderr
    if done.returncode == 3 and MEASURES.search(block.text):
        # Exit code 3 is the verdict `missed`, which may happen on a busy machine. Later blocks need the deployment.
        pytest.skip(f"line {block.line}: this machine is too busy to hold the budget: {done.stderr.strip()[-300:]}")
    assert done.returncode == 0, f"{block.page}:{block.line}\n{block.text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.documented
@pytest.mark.parametrize(
    "page",
    [  # the longest first, so that two processes end at about the same time
        pytest.param(page, marks=pytest.mark.nightly) if page in SELDOM else page
        for page in sorted(RUN, key=measurements, reverse=True)
    ],
)
def test_the_shell_blocks_of_the_page_run(page, shell, kept):
    for block in RUN[page]:
        check(block, shell, kept)


@pytest.mark.documented
@pytest.mark.nightly
@pytest.mark.parametrize("block", NIGHTLY, ids=lambda block: f"{block.page}:{block.line}")
def test_a_block_that_takes_long_runs(block, shell, kept):
    if block.mark[1].startswith("after the blocks above"):
        for before in RUN[block.page]:
            if before.line < block.line:
                check(before, shell, kept)
    check(block, shell, kept)


def test_every_command_that_the_documentation_names_exists():
    """Checks also the commands in blocks that are not run."""
    from nagsdk.cli import cli

    named = [
        (b, line)
        for b in BLOCKS
        if b.shell
        for line in re.findall(r"(?:^|/|\s)nagsdk ((?:[a-z-]+)(?: [a-z][a-z-]+)?)", b.text, re.MULTILINE)
    ]
    assert len(named) > 20
    for block, words in named:
        first, _, second = words.partition(" ")
        command = cli.get_command(None, first)
        assert command is not None, f"{block.page}:{block.line}: nagsdk {words}"
        if hasattr(command, "commands") and second:
            assert second in command.commands, f"{block.page}:{block.line}: nagsdk {words}"


@pytest.mark.documented
def test_the_blocks_of_the_python_page_run(tmp_path, kept, monkeypatch):
    monkeypatch.setenv("NAGSDK_CACHE_DIR", str(kept / "cache"))
    script = tmp_path / "script.py"
    script.write_text(
        "\n".join(b.text for b in BLOCKS if b.page == "python.md" and b.language == "python" and b.mark is None)
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


FILES = [block for block in BLOCKS if block.mark and block.mark[0] == "file"]


@pytest.mark.parametrize("block", FILES, ids=lambda b: b.mark[1])
def test_files_that_the_documentation_shows_are_those_of_the_project(block):
    assert block.text == Path(REPOSITORY, block.mark[1]).read_text("utf-8")
