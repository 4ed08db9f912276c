"""Prints results of commands: as JSON for programs, as tables and short blocks for people."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nagsdk.common.wording import command
from nagsdk.errors import printable

if TYPE_CHECKING:
    from nagsdk.manifest.result import Result


def say(text: object, *, nl: bool = True, err: bool = False, fg: str | None = None, bold: bool | None = None) -> None:
    """Prints a text; what devices, bundles and plugins say in it cannot control the terminal.

    Args:
        text: The text.
        nl: Whether a line feed follows.
        err: Whether it goes to standard error.
        fg: Color of the text.
        bold: Whether it is bold.
    """
    click.secho(printable(str(text)), nl=nl, err=err, fg=fg, bold=bold)


def print_json(content: object) -> None:
    """Prints one JSON document."""
    # JSON is escaped already; to look at each character of a large document again takes time.
    click.echo(json.dumps(content, indent=2, allow_nan=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a plain table with aligned columns."""
    lines = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for row in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_doubt(card: Mapping[str, Any]) -> None:
    """Prints why an accuracy predictor is not reliable, if its card says so."""
    if card.get("doubt"):
        say(card["doubt"], fg="yellow")


def print_deploy(bundle: str) -> None:
    """Prints a command that deploys from a new bundle."""
    from nagsdk import inventory

    # A name without a folder would mean a shipped bundle.
    path = bundle if len(Path(bundle).parts) > 1 else f"./{bundle}"
    deploy = command(
        "nagsdk", "deploy", "--bundle", path, "--device", "cpu", "--budget", inventory.middle_budget(Path(bundle))
    )
    say(f"Deploy it: {deploy}")


def latency(value: float | None) -> str:
    """A latency as readable text."""
    return "–" if value is None else f"{value:.3g} ms" if value < 1 else f"{value:.4g} ms"


def percent(value: float | None, low: float | None, high: float | None) -> str:
    """A top-1 with its interval as readable text."""
    return "–" if value is None else f"{value:.2f} % ({low:.2f}–{high:.2f})"


def print_results(results: Sequence[Result]) -> None:
    """Prints results as blocks; a warning that all of them have is printed once, at the end."""
    shared = [w for w in results[0].warnings if all(w in r.warnings for r in results)] if len(results) > 1 else []
    for result in results:
        print_result(replace(result, warnings=tuple(w for w in result.warnings if w not in shared)))
    for warning in shared:
        _print_warning(warning, "all")


def _print_warning(text: str, label: str = "warning") -> None:
    head, indent = f"  {label:<10}", " " * 12
    if sys.stdout.isatty():  # only people need lines that fit their screen
        width = max(shutil.get_terminal_size().columns, 40)
        text = textwrap.fill(
            text, width, initial_indent=head, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
        head = ""
    say(f"{head}{text}", fg="yellow")


def print_result(result: Result) -> None:
    """Prints one result as a short block."""
    units = {budget.metric: budget.shown_unit for budget in result.budgets}
    p, m = result.predicted, result.measured
    color = {"held": "green", "missed": "red"}.get(result.verdict, "yellow")
    say(result.verdict, fg=color, bold=True, nl=False)
    say(f"  {result.architecture}")
    asked = [
        *map(str, result.budgets),
        *([] if result.min_top1 is None else [f"a top-1 of at least {result.min_top1:g} %"]),
    ]
    lines = [("budget", " and ".join(asked) or None), ("device", result.device)]
    # Latencies are those of whole inferences; where each image was limited, its share is added.
    per_image = next((budget for budget in result.budgets if budget.images is not None), None)

    def most(value: float) -> str:
        share = "" if per_image is None else f" ({per_image.text_of(value, 4)})"
        return f"at most {latency(value)}{share}"

    of = f"p{result.percentile:g} " if result.percentile != 50 else ""
    upper = f", {of}{most(p.latency_upper_ms)}" if p.latency_upper_ms is not None else ""
    top1 = percent(p.top1, p.top1_low, p.top1_high)
    if p.top1 is not None and p.top1_loss is not None:
        top1 += f", {p.top1_loss:.1f} points less than in fp32"
    lines.append(("predicted", f"{latency(p.latency_ms)}{upper}; top-1 {top1}"))
    if m.latency_p50_ms is not None:
        figures = {50.0: m.latency_p50_ms, 90.0: m.latency_p90_ms}
        asked_ms = figures.get(result.percentile, m.latency_asked_ms)
        shown = ", ".join(f"p{p:g} {latency(ms)}" for p, ms in sorted({**figures, result.percentile: asked_ms}.items()))
        limit = f", p{result.percentile:g} {most(m.latency_limit_ms)}" if m.latency_limit_ms is not None else ""
        lines.append(("measured", f"{shown}{limit}"))
    if m.top1 is not None:
        lines.append(("", f"top-1 {percent(m.top1, m.top1_low, m.top1_high)} on the bundle's test images"))
    for name, value in result.metrics.items():
        unit, per = units[name]
        lines.append((name, f"{value / per:.4g} {unit}"))
    lines.append(("size", f"{result.macs / 1e6:.4g} MMACs, {result.parameters / 1e6:.3g} M parameters"))
    if (file := result.artifact).path is not None:
        lines.append(("file", f"{file.path} ({(file.bytes or 0) / 1e6:.2f} MB, sha256 {str(file.sha256)[:16]}…)"))
    for label, text in lines:
        if text is not None:
            say(f"  {label:<10}{text}")
    for warning in result.warnings:
        _print_warning(warning)
