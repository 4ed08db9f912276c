"""The page of a bundle that was trained on a user's images, and the sentences about its task in reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from nagsdk.common.wording import counted
from nagsdk.reports.rendering import render
from nagsdk.reports.svg import GREY, WIDTH, drawing, rectangle, text

_MOST_CELLS = 24
_LABEL, _SHOWN_LETTERS, _DARK = 96.0, 14, 0.45
_MINUTES = 120  # seconds, from which on a time is shown in minutes
Record = Mapping[str, Any]


def images_page(
    name: str,
    task: Record | None,
    answers: Record,
    confusion: Sequence[Sequence[int]],
    wrong: Sequence[Record],
    notes: Sequence[str],
) -> str:
    """The page about a network on labelled images.

    Args:
        name: Name of the bundle.
        task: Content of the bundle's task.json; None leaves out what it says.
        answers: What the network answers, by class; see `nagsdk.training.answers.Answers.to_dict`.
        confusion: Number of images by label and predicted class.
        wrong: The surest wrong answers, each with its picture as a data URI under ``uri``.
        notes: Messages about the images.

    Returns:
        HTML without scripts that loads no other files.
    """
    return render(
        "images.html.j2",
        name=name,
        told=None if task is None else told(task),
        task=task,
        answers=answers,
        matrix=matrix([of["name"] for of in answers["classes"]], confusion),
        wrong=wrong,
        notes=notes,
    )


def told(task: Record, deployed: Record | None = None) -> str:
    """What is deployed, how good it is, what plain networks give, and whether the budget matters, in sentences.

    Args:
        task: Content of a bundle's task.json.
        deployed: Measured top-1 of a deployment with its interval, and its multiply-accumulates, as a network of the
            task; None tells about the bundle.
    """
    if deployed is not None:
        first = f"Deployed is a network of {_macs(deployed)} that knows {_share(deployed, task['images'])}."
    else:
        ends = f"{_share(task['smallest'], task['images'])} with {_macs(task['smallest'])}"
        first = f"Networks of this bundle know from {ends} to {_short(task['largest'])} with {_macs(task['largest'])}."
    parts = [first]
    if task["plain"]:
        own, *known = task["plain"]
        seconds = task["seconds"]
        lasted = f"{seconds:.0f} s" if seconds < _MINUTES else f"{seconds / 60:.0f} min"
        others = "".join(f"; {of['name']} ({_macs(of)}) {_short(of)}" for of in known)
        parts.append(
            f"Trained alone for as long as all of them together ({lasted}), a plain network of the same family "
            f"({_macs(own)}) knows {_short(own)}{others}; the bundle's network of the same architecture "
            f"{_short(task['middle'])}."
        )
        if own["top1_low"] > task["middle"]["top1"] and own["top1"] > task["middle"]["top1_high"]:
            parts.append("Alone it is clearly better: train longer, or start from pretrained weights (--init).")
    gain = task["gain"]
    reach = (
        f"{gain['points']:+.1f} points of top-1 from the smallest to the largest network "
        f"(95 %: {gain['low']:+.1f} to {gain['high']:+.1f})"
    )
    parts.append(
        f"The budget hardly matters on this task, as far as {counted(task['images'], 'test image')} can tell: {reach}."
        if gain["noise"]
        else f"The budget matters on this task: {reach}."
    )
    return " ".join(parts)


def matrix(names: Sequence[str], confusion: Sequence[Sequence[int]]) -> Markup | None:
    """The confusion matrix: one row for each label, one column for each predicted class; None if it is too large."""
    count = len(names)
    if count > _MOST_CELLS:
        return None
    side = (WIDTH - _LABEL - 6) / count
    size = max(5.0, min(11.0, side * 0.42))
    top = 30.0
    parts = [text(_LABEL, 12, "taken for", size=10, color=GREY), text(4, top - 6, "label", size=10, color=GREY)]
    small = min(10.0, size + 1)
    for row, (name, counts) in enumerate(zip(names, confusion, strict=True)):
        y, images = top + row * side, max(sum(counts), 1)
        parts.append(text(_LABEL - 5, y + side * 0.65, f"{_cut(name)} {row + 1}", anchor="end", size=small))
        parts.append(text(_LABEL + (row + 0.5) * side, top - 5, str(row + 1), anchor="middle", size=small))
        for column, value in enumerate(counts):
            x, share = _LABEL + column * side, value / images
            title = f"{name} taken for {names[column]}: {counted(value, 'image')}"
            if not value:
                parts.append(rectangle(x, y, side - 1, side - 1, "#f1f4f7", title))
                continue
            paint, strength = "#1a7240" if row == column else "#b3261e", f' fill-opacity="{0.15 + 0.85 * share:.2f}"'
            parts.append(rectangle(x, y, side - 1, side - 1, paint, title, strength))
            color = "#fff" if share > _DARK else "#1b2733"
            parts.append(text(x + side / 2, y + side * 0.65, str(value), anchor="middle", color=color, size=size))
    return drawing(top + count * side + 6, "Confusion matrix: labels in rows, predicted classes in columns", parts)


def _cut(name: str) -> str:
    return name if len(name) <= _SHOWN_LETTERS else f"{name[: _SHOWN_LETTERS - 1]}…"


def _macs(of: Record) -> str:
    return f"{of['macs'] / 1e6:.3g} MMACs"


def _short(of: Record) -> str:
    return f"{of['top1']:.1f} % ({of['top1_low']:.1f}–{of['top1_high']:.1f})"


def _share(of: Record, images: int) -> str:
    reach = f"95 %: {of['top1_low']:.1f}–{of['top1_high']:.1f}"
    return f"{of['top1']:.1f} % of {counted(images, 'test image')} ({reach})"
