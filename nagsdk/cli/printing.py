"""Prints results of commands: as JSON for programs, as tables and short blocks for people."""

from __future__ import annotations

import json
import re
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
    from nagsdk.manifest.result import Arm, Measured, Result

_LEAST_COLUMN = 20


class _Lines(textwrap.TextWrapper):
    """Breaks only between words; names that alone are too long, such as architectures, break behind punctuation."""

    def _split(self, text: str) -> list[str]:
        room = self.width - max(len(self.initial_indent), len(self.subsequent_indent))
        parts = (re.split("(?<=[:,/])", part) if len(part) > room else [part] for part in super()._split(text))
        return [part for of_one in parts for part in of_one if part]


def columns(*, err: bool = False) -> int | None:
    """The width that lines must fit; None if the output is no terminal, so that programs read whole lines.

    Args:
        err: Whether standard error is meant.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is None or not stream.isatty():
        return None
    return max(shutil.get_terminal_size().columns, 40)


def fitted(text: str, width: int | None, first: str = "", rest: str = "") -> str:
    """A text in lines that fit the screen.

    Args:
        text: The text; lines that fit stay as they are.
        width: The width of the screen; None if lines may have any length.
        first: What the first line begins with.
        rest: What the following lines begin with.
    """
    if width is None:
        return first + text
    wrapper = _Lines(width, break_long_words=False, break_on_hyphens=False)
    lines = []
    for line in text.split("\n"):
        own = line[: len(line) - len(line.lstrip())]
        wrapper.initial_indent, wrapper.subsequent_indent = first + own, rest + own
        lines.append(first + line if len(first + line) <= width else wrapper.fill(line.lstrip()))
        first = rest
    return "\n".join(lines)


def say(text: object, *, err: bool = False, fg: str | None = None, bold: bool | None = None) -> None:
    """Prints a text; what devices, bundles and plugins say in it cannot control the terminal.

    Args:
        text: The text, which is broken into lines that fit the screen.
        err: Whether it goes to standard error.
        fg: Color of the text.
        bold: Whether it is bold.
    """
    click.secho(fitted(printable(str(text)), columns(err=err)), err=err, fg=fg, bold=bold)


def say_beside(label: str, text: str, *, fg: str | None = None, bold: bool | None = None) -> None:
    """Prints a text beside a colored label, under which its further lines leave room.

    Args:
        label: The label with the space behind it.
        text: The text.
        fg: Color of the label.
        bold: Whether the label is bold.
    """
    label = printable(label)
    shown = fitted(printable(text), columns(), label, " " * len(label))
    click.echo(click.style(label, fg=fg, bold=bold, reset=bool(fg or bold)) + shown[len(label) :])


def print_json(content: object) -> None:
    """Prints one JSON document."""
    # JSON is escaped already; to look at each character of a large document again takes time.
    click.echo(json.dumps(content, indent=2, allow_nan=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a plain table with aligned columns; where it is too wide for the screen, its last column goes on below."""
    lines = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    screen, last = columns(), max(sum(widths[:-1]) + 2 * (len(widths) - 1), 0)
    # Where the other columns leave too little room, the last one gets lines of its own.
    below = screen is not None and last + max(widths[-1:], default=0) > screen and screen - last < _LEAST_COLUMN
    for row in lines:
        cells = "".join(f"{cell.ljust(width)}  " for cell, width in zip(row[:-1], widths, strict=False))
        if below:
            click.echo(fitted(cells.rstrip(), screen, "", "    "))
            click.echo(fitted(row[-1], screen, "    ", "    "))
        else:
            click.echo(fitted(row[-1], screen, cells, " " * last).rstrip())


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


def start_up(measured: Measured) -> str:
    """What a model costs before it runs quickly, as readable text."""
    figures = {
        "init": None if measured.init_ms is None else latency(measured.init_ms),
        "first inference": None if measured.first_inference_ms is None else latency(measured.first_inference_ms),
        "memory": None if measured.memory_mb is None else f"{measured.memory_mb * 1e6 / 2**20:.3g} MiB",
    }
    return ", ".join(f"{name} {figure}" for name, figure in figures.items() if figure is not None)


def print_results(results: Sequence[Result]) -> None:
    """Prints results as blocks; a warning that all of them have is printed once, at the end."""
    shared = [w for w in results[0].warnings if all(w in r.warnings for r in results)] if len(results) > 1 else []
    for result in results:
        print_result(replace(result, warnings=tuple(w for w in result.warnings if w not in shared)))
    for warning in shared:
        say_warning(warning, "all")


def say_warning(text: str, label: str = "warning") -> None:
    """Prints a warning below a result.

    Args:
        text: The warning.
        label: The word before it.
    """
    click.secho(fitted(printable(text), columns(), f"  {label:<10}", " " * 12), fg="yellow")


def _arm_line(arm: Arm) -> str:
    """A precision and number of threads with what it costs and gives, and why it was chosen or not."""
    figures = [
        *([] if arm.predicted_ms is None else [f"predicted {latency(arm.predicted_ms)} ({arm.latency_source})"]),
        *([] if arm.measured_ms is None else [f"measured {latency(arm.measured_ms)}"]),
        *([] if arm.predicted_top1 is None else [f"top-1 {arm.predicted_top1:.2f} % predicted"]),
        *([] if arm.measured_top1 is None else [f"{arm.measured_top1:.2f} % measured"]),
    ]
    return f"{arm.name}, {arm.state}: {'; '.join([*([', '.join(figures)] if figures else []), arm.why])}"


def print_result(result: Result) -> None:
    """Prints one result as a short block."""
    units = {budget.metric: budget.shown_unit for budget in result.budgets}
    p, m = result.predicted, result.measured
    color = {"held": "green", "missed": "red"}.get(result.verdict, "yellow")
    say_beside(f"{result.verdict}  ", result.basis, fg=color, bold=True)
    asked = [
        *map(str, result.budgets),
        *([] if result.min_top1 is None else [f"a top-1 of at least {result.min_top1:g} %"]),
    ]
    lines: list[tuple[str, str | None]] = [
        ("network", result.architecture),
        ("budget", " and ".join(asked) or None),
        ("device", result.device),
    ]
    # Latencies are those of whole inferences; where each image was limited, its share is added.
    per_image = next((budget for budget in result.budgets if budget.images is not None), None)

    def most(value: float) -> str:
        share = "" if per_image is None else f" ({per_image.text_of(value, 4)})"
        return f"at most {latency(value)}{share}"

    of = f"p{result.percentile:g} " if result.percentile != 50 else ""
    upper = f", {of}{most(p.latency_upper_ms)}" if p.latency_upper_ms is not None else ""
    on = f" on {p.top1_on}" if p.top1 is not None and p.top1_on else ""
    lost = f", {p.top1_loss:.1f} points less than in fp32" if p.top1_loss is not None else ""
    lines.append(("predicted", f"{latency(p.latency_ms)}{upper}"))
    if p.top1 is not None:
        lines.append(("", f"top-1 {percent(p.top1, p.top1_low, p.top1_high)}{on}{lost}"))
    if m.latency_p50_ms is not None:
        figures = {50.0: m.latency_p50_ms, 90.0: m.latency_p90_ms}
        asked_ms = figures.get(result.percentile, m.latency_asked_ms)
        shown = ", ".join(f"p{p:g} {latency(ms)}" for p, ms in sorted({**figures, result.percentile: asked_ms}.items()))
        low = "" if m.latency_asked_low_ms is None else f"at least {latency(m.latency_asked_low_ms)}, "
        limit = f", p{result.percentile:g} {low}{most(m.latency_limit_ms)}" if m.latency_limit_ms is not None else ""
        lines.append(("measured", f"{shown}{limit}"))
        if m.latency_cold_ms is not None:
            lines.append(("", f"under sustained load; p50 {latency(m.latency_cold_ms)} without it"))
    if m.init_ms is not None:
        lines.append(("", f"start-up: {start_up(m)}"))
    if m.top1 is not None:
        label = "measured" if m.latency_p50_ms is None else ""
        lines.append((label, f"top-1 {percent(m.top1, m.top1_low, m.top1_high)} on the bundle's test images"))
    if m.temperature is not None:
        errors = (f"{value:.2f} %" for value in (m.ece_unscaled, m.ece) if value is not None)
        shown = f", calibration error {' before, '.join(errors)} after" if m.ece is not None else ""
        lines.append(("", f"probabilities scaled by a temperature of {m.temperature:.3g}{shown}"))
    for name, value in result.metrics.items():
        unit, per = units[name]
        lines.append((name, f"{value / per:.4g} {unit}"))
    lines.append(("size", f"{result.macs / 1e6:.4g} MMACs, {result.parameters / 1e6:.3g} M parameters"))
    if (file := result.artifact).path is not None:
        lines.append(("file", f"{file.path} ({(file.bytes or 0) / 1e6:.2f} MB, sha256 {str(file.sha256)[:16]}…)"))
    lines += [("" if number else "arms", _arm_line(arm)) for number, arm in enumerate(result.arms)]
    for label, text in lines:
        if text is not None:
            say_beside(f"  {label:<9} ", text)
    for warning in result.warnings:
        say_warning(warning)
