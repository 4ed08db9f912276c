"""Runs commands in a terminal of 80 columns, and makes pictures of what they print.

    python recipes/recordings.py      # writes docs/pictures/terminal-*.svg and report-*.svg; takes a minute or two

The commands run in an empty folder with an empty cache, without a phone, so that their output is that of a new user.
Needs a system with pseudo-terminals (Linux or macOS).
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from drawing import again
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from nagsdk.common.files import write_atomically
from nagsdk.reports import figures

REPOSITORY = Path(__file__).resolve().parents[1]
PICTURES = REPOSITORY / "docs" / "pictures"
COLUMNS = 80
DEPLOY = "nagsdk deploy --device pixel --budget 8ms --bundle imagenet --timing-only"
# The commands of each picture; each one starts in an empty folder.
RECORDINGS = {
    "deploy": [DEPLOY],
    "server": [
        "nagsdk generate --device cpu --bundle imagenet --budget 20ms",
        "nagsdk generate --device cpu --bundle imagenet --batch 8 --budget 200FPS",
    ],
    "build": ["nagsdk init --device cpu --budget 0.2ms --name small", "cat nagsdk.toml"],
    "plugins": ["nagsdk plugins new board", "cd nagsdk-board && find . -type f | sort"],
    "agents": ["nagsdk mcp --skill | head -n 24"],
}
_FORMAT = """<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg">
<style>.{unique_id}-matrix{{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
font-size:{char_height}px;line-height:{line_height}px}}.{unique_id}-title{{font-size:17px;font-family:sans-serif}}
{styles}</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>{lines}</defs>
{chrome}<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g></g></svg>
"""


def typed(command: str, folder: Path, cache: Path) -> str:
    """What a command prints to a terminal, without the progress that it draws meanwhile."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    programs = cache / "bin"
    programs.mkdir(exist_ok=True)
    nagsdk = programs / "nagsdk"
    nagsdk.write_text(f'#!/bin/sh\nexec {sys.executable} -m nagsdk "$@"\n')
    nagsdk.chmod(0o755)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("NAGSDK_", "ANDROID_"))},
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'plugins'}",
        "NAGSDK_CACHE_DIR": str(cache / "cache"),
        "NAGSDK_DATA_DIR": str(cache / "data"),
        "NAGSDK_CONFIG": str(cache / "config.toml"),
        "NAGSDK_BUNDLE": "glyphs",  # whether or not the packages of imagenet-lite are installed
        "TERM": "xterm-256color",
    }
    environment.pop("COLUMNS", None)
    (cache / "config.toml").touch()
    process = subprocess.Popen(  # noqa: S602 — the commands are those above
        command, shell=True, cwd=folder, env=environment, stdout=theirs, stderr=subprocess.PIPE
    )
    os.close(theirs)
    printed = b""
    while True:
        try:
            portion = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            portion = b""
        if not portion:
            break
        printed += portion
    _, errors = process.communicate()
    os.close(ours)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}: {errors.decode()}")
    return printed.decode().replace("\r\n", "\n")


def terminal(name: str, turns: list[tuple[str, str]]) -> str:
    """The picture of a terminal in which commands were typed.

    Args:
        name: Distinguishes the picture's names from those of other pictures on a page.
        turns: Commands and their output, with the codes for colours.
    """
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for command, output in turns:
        lines = [Text.assemble(("$ ", "bold green"), (command, "bold")), *map(Text.from_ansi, output.splitlines())]
        for line in lines:
            # As a terminal does it: a line goes on below where the column ends.
            for part in line.divide(range(COLUMNS, max(len(line), 1), COLUMNS)):
                console.print(part, no_wrap=True, crop=True)
    return console.export_svg(title="", theme=DIMMED_MONOKAI, code_format=_FORMAT, unique_id=f"t-{name}")


def made() -> dict[str, str]:
    """Every picture by its file name."""
    pictures = {}
    for name, commands in RECORDINGS.items():
        with tempfile.TemporaryDirectory() as scratch:
            folder, cache = Path(scratch, "work"), Path(scratch, "cache")
            folder.mkdir()
            cache.mkdir()
            turns = [(command, typed(command, folder, cache)) for command in commands]
            pictures[f"terminal-{name}.svg"] = terminal(name, turns)
            if commands == [DEPLOY]:
                manifest = json.loads(next(folder.glob("deployments/*/manifest.json")).read_text("utf-8"))
                pictures["report-costs.svg"] = again(str(figures.costs(manifest)))
                pictures["report-network.svg"] = again(str(figures.network(manifest)))
                pareto = figures.pareto({"": manifest})
                assert pareto is not None
                pictures["report-pareto.svg"] = again(str(pareto))
    return pictures


def main() -> None:
    for name, content in made().items():
        write_atomically(PICTURES / name, content.encode())
        print(f"docs/pictures/{name}: {len(content.encode()) / 1000:.1f} kB")


if __name__ == "__main__":
    main()
