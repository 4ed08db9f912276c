"""Charts of the documentation as SVG: readable on a phone, and on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import escape

from nagsdk.reports.svg import GREY, line, text, ticks

GRID = "#e3e8ee"
# Text that may lie on lines hides them behind it.
HALO = ' paint-order="stroke" stroke="#fff" stroke-width="4"'
BOLD = f'{HALO} font-weight="600"'
# The pictures bring their own background, so that they can be read on every page; where the reader prefers dark
# pages, and the picture is told so, it is dark. Attributes are what nagsdk.reports.svg writes.
LIGHT = """text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
.paper{fill:#fff}
"""
DARK = """@media (prefers-color-scheme:dark){.paper,[fill="#fff"]{fill:#161b22}[stroke="#fff"]{stroke:#161b22}
[fill="#1b2733"]{fill:#e6ebf0}
[fill="#5a6470"]{fill:#a9b4bf}[stroke="#5a6470"]{stroke:#a9b4bf}[stroke="#e3e8ee"]{stroke:#2d3742}
[fill="#0072b2"]{fill:#56b4e9}[stroke="#0072b2"]{stroke:#56b4e9}
[fill="#d55e00"]{fill:#ff9a4d}[stroke="#d55e00"]{stroke:#ff9a4d}}
"""


def picture(width: float, height: float, label: str, parts: Sequence[str], style: str = LIGHT + DARK) -> str:
    """A complete picture file.

    Args:
        width: Width in units.
        height: Height in units.
        label: Description of the picture for screen readers.
        parts: Elements of SVG, already escaped.
        style: Rules for their colours.
    """
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{escape(label)}">'
    )
    paper = f'<rect class="paper" x="0" y="0" width="{width:g}" height="{height:g}" rx="6"/>'
    return "\n".join([head, f"<style>{style}</style>", paper, *parts, "</svg>", ""])


def again(drawing: str) -> str:
    """A picture of a report as a file of the documentation: on white, for which its colours were chosen."""
    inside = drawing[drawing.index(">") + 1 : drawing.rindex("</svg>")]
    _, _, width, height = drawing.split('viewBox="')[1].split('"')[0].split()
    label = drawing.split('aria-label="')[1].split('"')[0]
    return picture(float(width), float(height), label, [inside], LIGHT)


def decades(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis: powers of ten, and 2 and 5 times as much where there are few of them."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high / low < 300 else (1,)
    return [step for power in powers for step in (factor * 10.0**power for factor in factors) if low <= step <= high]


@dataclass(frozen=True)
class Chart:
    """A plotting area of any size, whose horizontal axis may be logarithmic.

    Attributes:
        x: Ends of the horizontal axis.
        y: Ends of the vertical axis.
        width: Width of the whole picture.
        height: Height of the whole picture.
        logarithmic: Whether the horizontal axis is.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    width: float
    height: float
    logarithmic: bool = False
    left: float = 46
    right: float = 12
    top: float = 14
    bottom: float = 42

    def at_x(self, value: float) -> float:
        """Horizontal position of a value."""
        low, high = self.x
        share = math.log(value / low) / math.log(high / low) if self.logarithmic else (value - low) / (high - low)
        return self.left + share * (self.width - self.left - self.right)

    def at_y(self, value: float) -> float:
        """Vertical position of a value."""
        low, high = self.y
        return self.height - self.bottom - (value - low) / (high - low) * (self.height - self.top - self.bottom)

    def axes(self, x_label: str, y_label: str) -> list[str]:
        """Grid, ticks and labels of the axes."""
        floor, parts = self.height - self.bottom, []
        for value in decades(*self.x) if self.logarithmic else ticks(*self.x):
            x = self.at_x(value)
            parts += [
                line(x, self.top, x, floor, GRID),
                text(x, floor + 15, f"{value:,g}", anchor="middle", color=GREY),
            ]
        for value in ticks(*self.y):
            y = self.at_y(value)
            parts += [
                line(self.left, y, self.width - self.right, y, GRID),
                text(self.left - 6, y + 4, f"{value:g}", anchor="end", color=GREY),
            ]
        middle = (self.top + floor) / 2
        turn = f' transform="rotate(-90 12 {middle:.1f})"'
        across = (self.left + self.width - self.right) / 2
        return [
            *parts,
            text(across, floor + 34, x_label, anchor="middle", size=12),
            text(12, middle, y_label, anchor="middle", size=12, extra=turn),
        ]

    def curve(self, xs: Sequence[float], ys: Sequence[float], color: str, extra: str = "", width: float = 2.4) -> str:
        """A line through points."""
        points = " ".join(f"{self.at_x(x):.1f},{self.at_y(y):.1f}" for x, y in zip(xs, ys, strict=True))
        return f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{width:g}"{extra}/>'

    def dot(self, x: float, y: float, color: str, title: str, hollow: bool = False, radius: float = 5) -> str:
        """One point, which shows its title when the mouse points at it."""
        paint = f'fill="#fff" stroke="{color}" stroke-width="2.6"' if hollow else f'fill="{color}"'
        place = f'cx="{self.at_x(x):.1f}" cy="{self.at_y(y):.1f}" r="{radius:g}"'
        return f"<circle {place} {paint}><title>{escape(title)}</title></circle>"
