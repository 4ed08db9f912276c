"""report.html of a fleet: a self-contained page, drawn only from fleet.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from nagsdk.reports.rendering import render
from nagsdk.reports.svg import BOTTOM, COLORS, GREY, LEFT, RIGHT, WIDTH, Plot, drawing, line, rectangle, text

# Bars narrower than this cannot be told apart.
_LEAST_WIDTH, _MOST_OVER = 0.4, 1.6


def fleet_page(fleet: Mapping[str, Any]) -> str:
    """The page of a fleet.

    Args:
        fleet: Content of fleet.json; see `nagsdk.manifest.fleet.Fleet`.

    Returns:
        HTML without scripts that loads no other files.
    """
    colors = {model["name"]: COLORS[number % len(COLORS)] for number, model in enumerate(fleet["models"])}
    chosen = next(size for size in fleet["sizes"] if len(size["architectures"]) == len(fleet["models"]))
    return render(
        "fleet.html.j2",
        f=fleet,
        chosen=chosen,
        colors=colors,
        figures={"population": _population(fleet, colors), "sizes": _sizes(fleet["sizes"], chosen)},
        costs=_told(fleet["sizes"], chosen),
        devices=sorted(fleet["devices"], key=lambda device: -device["share"]),
    )


def _population(fleet: Mapping[str, Any], colors: Mapping[str, str]) -> Markup:
    """The users from left to right, by how much of the budget their model takes; a bar is a kind of device."""
    devices = sorted(fleet["devices"], key=lambda one: one["latency_ms"] / one["limit_ms"])
    used = [100 * one["latency_upper_ms"] / one["limit_ms"] for one in devices]
    plot = Plot((0.0, 100.0), (0.0, min(100 * _MOST_OVER, max(110.0, *used))))
    parts, start = plot.axes("% of the users", "% of the budget"), 0.0
    for one in devices:
        end, ratio = start + one["share"], 100 / one["limit_ms"]
        left, right = plot.at_x(start), plot.at_x(end)
        top, upper = plot.at_y(one["latency_ms"] * ratio), plot.at_y(one["latency_upper_ms"] * ratio)
        chance = f"holds at {one['chance']:.0%}" if one["chance"] else "more likely exceeds than holds"
        title = (
            f"{one['title']}, {one['share']:.3g} % of the users: {one['model']}, {one['latency_ms']:.3g} ms, at most "
            f"{one['latency_upper_ms']:.3g} ms; {chance}"
        )
        gap = 0.5 if right - left > 2 else 0.0
        width = max(right - left - gap, _LEAST_WIDTH)
        parts.append(rectangle(left, top, width, plot.at_y(0) - top, colors[one["model"]], title))
        middle = (left + right) / 2
        parts.append(line(middle, top, middle, upper, GREY))
        start = end
    y = plot.at_y(100)
    parts.append(line(LEFT, y, WIDTH - RIGHT, y, COLORS[1], ' stroke-dasharray="4 3" stroke-width="1.4"'))
    parts.append(text(LEFT + 4, y - 4, fleet["budget"], color=COLORS[1], size=10))
    return drawing(plot.height, "The users, and how much of the budget their model takes", parts)


def _sizes(sizes: Sequence[Mapping[str, Any]], chosen: Mapping[str, Any]) -> Markup:
    """Mean top-1 over the number of models."""
    values = [size["top1"] for size in sizes]
    room = max((max(values) - min(values)) * 0.25, 0.5)
    plot = Plot((0.4, len(sizes) + 0.6), (min(values) - room, max(values) + room), area=210.0)
    parts = plot.axes("", "mean top-1 in %", numbered=False)
    for size in sizes:
        left, right = plot.at_x(size["models"] - 0.32), plot.at_x(size["models"] + 0.32)
        top, color = plot.at_y(size["top1"]), COLORS[0] if size is chosen else "#b7c4d1"
        title = f"{size['models']} models: {size['top1']:.2f} %, held for {size['held']:.1f} % of the users"
        parts.append(rectangle(left, top, right - left, plot.height - BOTTOM - top, color, title))
        parts.append(text((left + right) / 2, top - 4, f"{size['top1']:.2f}", anchor="middle", size=10))
        count = f"{size['models']} model{'s' * (size['models'] > 1)}"
        parts.append(text((left + right) / 2, plot.height - BOTTOM + 14, count, anchor="middle", size=10))
    return drawing(plot.height, "Mean top-1 over the number of models", parts)


def _told(sizes: Sequence[Mapping[str, Any]], chosen: Mapping[str, Any]) -> str:
    """What one model for all would cost, and what more models give, as sentences."""
    first, last = sizes[0], sizes[-1]
    told = []
    if chosen is not first:
        lost = chosen["top1"] - first["top1"]
        told.append(f"One model for all would give {lost:.2f} points less mean top-1 ({first['top1']:.2f} %).")
    if chosen is not last:
        more = last["top1"] - chosen["top1"]
        told.append(f"{last['models']} models would give {more:.2f} points more than the chosen number.")
    return " ".join(told)
