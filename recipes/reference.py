"""Writes the reference pages of the documentation from the code: commands, Python names and hooks.

    python recipes/reference.py [--check]

With --check nothing is written, and pages that are out of date are named.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click

DOCS = Path(__file__).parents[1] / "docs"
_MADE = "<!-- Made from the code by recipes/reference.py: change the code, then run it again. -->"
_SECTIONS = ("Args", "Returns", "Yields", "Raises", "Attributes")
# Modules that the Python page lists, in this order, with their titles; classes are listed with their public methods.
PYTHON = {
    "nagsdk": "The functions of the commands",
    "nagsdk.training.generator": "Training",
    "nagsdk.pipeline.paper": "The paper's generator",
    "nagsdk.inventory": "What is on this machine",
    "nagsdk.doctor.checks": "Checks of the installation",
    "nagsdk.common.config": "Settings",
    "nagsdk.device.backend": "What a plugin implements",
    "nagsdk.device.description": "Devices",
    "nagsdk.device.process": "Sessions in a worker process",
    "nagsdk.device.worker": "Workers",
    "nagsdk.generator.strategy": "Strategies",
    "nagsdk.cost.metric": "Metrics",
    "nagsdk.plugin.registry": "Registries",
    "nagsdk.device.finding": "Findings",
    "nagsdk.errors": "Errors",
    "nagsdk.events": "Events",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for name, text in pages().items():
        path = DOCS / name
        if path.is_file() and path.read_text("utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, "utf-8")
    print(f"{'out of date' if check else 'written'}: {', '.join(stale) or 'nothing'}")
    if check and stale:
        sys.exit(1)


def pages() -> dict[str, str]:
    """The pages by file name."""
    return {"reference-cli.md": cli_page(), "reference-python.md": python_page(), "reference-hooks.md": hooks_page()}


def cli_page() -> str:
    """The page of all commands with their help."""
    from nagsdk.cli import cli

    parts = [
        _MADE,
        "",
        "# Commands",
        "",
        "The output of `--help` for every command. [Command line](cli.md) explains what the commands have in common.",
        "",
    ]
    for path, command in _commands("nagsdk", cli):
        with click.Context(command, info_name=path, max_content_width=100, terminal_width=100) as context:
            parts += [f"## {path}", "", "```text", command.get_help(context).rstrip(), "```", ""]
    return "\n".join(parts)


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from _commands(f"{path} {name}", found)


def python_page() -> str:
    """The page of the public names of the listed modules."""
    parts = [
        _MADE,
        "",
        "# Python names",
        "",
        "Signatures and docstrings of the public names. [Python](python.md) shows how they are used.",
        "",
    ]
    for module_name, title in PYTHON.items():
        module = import_module(module_name)
        parts += [f"## {title}: `{module_name}`", ""]
        for name, value in _public(module, module_name):
            parts += _described(name, value, "###")
            if inspect.isclass(value):
                for method, function in vars(value).items():
                    inner = function.fget if isinstance(function, property) else getattr(function, "__func__", function)
                    if not method.startswith("_") and inspect.isfunction(inner):
                        parts += _described(f"{name}.{method}", inner, "####", attribute=isinstance(function, property))
    return "\n".join(parts)


def _public(module: object, module_name: str) -> Iterator[tuple[str, object]]:
    names = getattr(module, "__all__", None) if module_name == "nagsdk" else None
    for name in names or [n for n in vars(module) if not n.startswith("_")]:
        value = getattr(module, name)
        own = getattr(value, "__module__", "") == module_name or (names is not None and name != "__version__")
        if own and (inspect.isfunction(value) or inspect.isclass(value)):
            yield name, value


def hooks_page() -> str:
    """The page of the hooks."""
    from nagsdk.plugin import API_VERSION
    from nagsdk.plugin import hooks as hookspecs

    parts = [
        _MADE,
        "",
        "# Hooks",
        "",
        "Functions that a plugin may implement. Mark them with `@hookimpl` from `nagsdk.plugin`, in a module with the "
        f"line `nagsdk_api = {API_VERSION}`. [Writing a plugin](plugins.md) explains it step by step.",
        "",
    ]
    for name, value in vars(hookspecs).items():
        if name.startswith("nagsdk_"):
            parts += _described(name, value, "##")
            if value.nagsdk_spec["firstresult"]:
                parts += ["nagsdk uses the first result that is not None.", ""]
    return "\n".join(parts)


def _described(name: str, value: object, heading: str, attribute: bool = False) -> list[str]:
    signature = "" if attribute or _is_plain_error(value) else _signature(value)
    parts = [f"{heading} {name}", ""]
    if signature:
        parts += ["```python", f"{name}{signature}", "```", ""]
    return [*parts, *_docstring(inspect.getdoc(value) or ""), ""]


def _is_plain_error(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, Exception) and "__init__" not in vars(value)


def _signature(value: object) -> str:
    assert callable(value)
    try:
        signature = inspect.signature(value)
    except ValueError:
        return ""
    kept = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    text = _stable(str(signature.replace(parameters=kept)))
    if len(text) <= 100 or not kept:
        return text
    returns = text[text.rindex(")") + 1 :]
    lines, starred = [], False
    for parameter in kept:
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            lines.append("    *,")
            starred = True
        lines.append(f"    {_stable(str(parameter))},")
    return "(\n" + "\n".join(lines) + f"\n){returns}"


def _stable(text: str) -> str:
    """Removes addresses and factories of defaults, which differ between runs, and the quotes of annotations."""
    text = re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", text).replace("<factory>", "…")
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)


def _docstring(text: str) -> list[str]:
    """Turns a Google docstring into lines of Markdown."""
    lines: list[str] = []
    section = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.rstrip(":") in _SECTIONS and stripped.endswith(":") and line == stripped:
            section = stripped.rstrip(":")
            lines += [
                *([""] if lines and lines[-1] else []),
                f"**{'Arguments' if section == 'Args' else section}**",
                "",
            ]
        elif section in ("Args", "Raises", "Attributes") and line.startswith("    ") and not line.startswith("     "):
            name, _, explanation = stripped.partition(": ")
            lines.append(f"- `{name}` — {explanation}")
        elif section in ("Args", "Raises", "Attributes") and stripped and line.startswith("     "):
            lines[-1] += f" {stripped}"
        else:
            lines.append(stripped if section else line.rstrip())
            if section and line and not line.startswith(" "):
                section = ""
    return [re.sub(r"``([^`]+)``", r"`\1`", line) for line in lines]


if __name__ == "__main__":
    main()
