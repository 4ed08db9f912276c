"""Finds the blocks of the documentation that a reader would type into a shell or find in a file."""

import re
from dataclasses import dataclass

from tests.conftest import REPOSITORY

PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])
SHELL = ("sh", "bash", "shell", "console")
# An indented block is for a shell if it starts with one of these words.
COMMANDS = (
    "nagsdk",
    ".venv/bin/",
    "pip ",
    "make ",
    "git ",
    "python",
    "cd ",
    "pytest",
    "eval ",
    "export ",
    "adb ",
    "NAGSDK_",
    "cmake",
    "gradle",
)
MARK = re.compile(r"<!-- (not run|nightly|file): (.+?) -->")


@dataclass(frozen=True)
class Block:
    """One block of code in a page.

    Attributes:
        page: Name of the page.
        line: Number of the block's first line in the page.
        language: Language of a fenced block; empty for an indented block.
        text: Content of the block.
        mark: ``not run``, ``nightly`` or ``file`` with the text behind it, if a comment before the block says so.
    """

    page: str
    line: int
    language: str
    text: str
    mark: tuple[str, str] | None

    @property
    def shell(self):
        return self.language in SHELL or (not self.language and self.text.startswith(COMMANDS))


def blocks(page):
    lines = page.read_text("utf-8").splitlines()
    found, mark, i = [], None, 0
    while i < len(lines):
        line = lines[i]
        if line.startswith("```"):
            end = next(j for j in range(i + 1, len(lines)) if lines[j].startswith("```"))
            found.append(Block(page.name, i + 2, line[3:].strip(), "\n".join(lines[i + 1 : end]) + "\n", mark))
            mark, i = None, end + 1
        elif line.startswith("    ") and line.strip() and (i == 0 or not lines[i - 1].strip()):
            end = i
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            text = "\n".join(row[4:] for row in lines[i:end]).rstrip() + "\n"
            found.append(Block(page.name, i + 1, "", text, mark))
            mark, i = None, end
        else:
            if match := MARK.fullmatch(line.strip()):
                mark = (match[1], match[2])
            elif line.strip():
                mark = None
            i += 1
    return found
