"""Draws how good the picks of every search are, over evaluations and over seconds.

    python recipes/searches_picture.py FILE     # FILE: benchmarks/searches.py --data DIR --json FILE

Writes docs/pictures/searches.svg. What a search gains on the devices that it ran on is compared with what the generator
gains there; the generator's own line is the mean of all devices.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from drawing import BOLD, HALO, Chart, picture

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from searches import FIRST, ahead  # type: ignore[import-not-found, import-untyped, unused-ignore]

from nagsdk.common.files import write_atomically
from nagsdk.reports.svg import COLORS, line, text

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "searches.svg"
LOWEST, HIGHEST = 1.4, 2.8
OTHERS = COLORS[1:]
# Distance of names, so that they do not lie on each other.
APART = 13.0
# Shorter times are drawn as this.
SHORTEST = 0.01


def curves(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, float, float]]]:
    """Evaluations, processor seconds and improvement over the average random architecture of every search."""
    found: dict[str, list[tuple[int, float, float]]] = {}
    for size in sorted({row["size"] for row in rows}):
        of_size = [row for row in rows if row["size"] == size]
        base = np.mean([row["improvement"] for row in of_size if row["strategy"] == FIRST])
        for name in dict.fromkeys(row["strategy"] for row in of_size):
            seconds = np.mean([row["seconds"] for row in of_size if row["strategy"] == name])
            gain = base + ahead(of_size, name, size, lambda row: row["improvement"]).mean()
            found.setdefault(name, []).append((size, max(SHORTEST, float(seconds)), float(gain)))
    return found


def panel(chart: Chart, known: Mapping[str, list[tuple[int, float, float]]], column: int, label: str) -> list[str]:
    """One chart, with the name of every search at its end, below those that are better."""
    parts = chart.axes(label, "top-1 over the average random one, %")
    names: list[str] = []
    taken: list[tuple[float, float, float]] = []
    for number, name in enumerate(sorted(known, key=lambda name: -known[name][-1][2])):
        points = [point for point in known[name] if point[2] >= LOWEST]
        xs, ys = [point[column] for point in points], [point[2] for point in points]
        color = COLORS[0] if name == FIRST else OTHERS[number % len(OTHERS)]
        parts.append(chart.curve(xs, ys, color, width=3.2 if name == FIRST else 1.5))
        parts += [chart.dot(x, y, color, f"{name}: {y:.3f} %", radius=2.5) for x, y in zip(xs, ys, strict=True)]
        x, y, width = chart.at_x(xs[-1]), chart.at_y(ys[-1]), 7.0 * len(name)
        left, below = x + 16, y
        while any(abs(below - low) < APART and left < at + wide and at < left + width for at, low, wide in taken):
            below += 1
        taken.append((left, below, width))
        names.append(line(x, y, left - 2, below, color, ' stroke-width="0.8"'))
        names.append(text(left, below + 4, name, color=color, extra=BOLD if name == FIRST else HALO))
    return parts + names


def drawn(rows: Sequence[Mapping[str, Any]]) -> str:
    """The picture of both charts."""
    known, width, height = curves(rows), 600, 400
    every = [point for points in known.values() for point in points]
    (fewest, _, _), (most, _, _) = min(every), max(every)
    slowest = max(seconds for _, seconds, _ in every)
    upper = Chart((fewest, most), (LOWEST, HIGHEST), width, height, logarithmic=True, right=130)
    lower = Chart(
        (SHORTEST, slowest), (LOWEST, HIGHEST), width, 2 * height, logarithmic=True, right=130, top=height + 14
    )
    parts = panel(upper, known, 0, "architectures that may be evaluated")
    parts += panel(lower, known, 1, "processor seconds for ten budgets")
    return picture(
        width, 2 * height, "How good the picks of every search are, over evaluations and over seconds", parts
    )


def main() -> None:
    content = drawn(json.loads(Path(sys.argv[1]).read_text("utf-8"))).encode()
    write_atomically(PICTURE, content)
    print(f"{PICTURE.name}: {len(content) / 1000:.1f} kB")


if __name__ == "__main__":
    main()
