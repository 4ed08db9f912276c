"""Pictures as SVG: 360 units wide, so that text stays readable on a phone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH = 360.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 10.0, 34.0
# Distinguishable without colour vision (Okabe and Ito, 2008), and in print by their lightness.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
GREY = "#5a6470"
# Height of a row of titles.
_TITLE = 12.0


def text(
    x: float,
    y: float,
    content: str,
    *,
    anchor: str = "start",
    color: str = "#1b2733",
    size: float = 11,
    extra: str = "",
) -> str:
    """Some text; `content` is escaped, `extra` attributes are not."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:g}"'
    return f'<text {place} fill="{color}"{extra}>{escape(content)}</text>'


def rectangle(x: float, y: float, width: float, height: float, color: str, title: str = "", extra: str = "") -> str:
    """A filled rectangle that shows its title when the mouse points at it."""
    inside = f"<title>{escape(title)}</title>" if title else ""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.4):.1f}" height="{height:.1f}"'
    return f'<rect {place} fill="{color}"{extra}>{inside}</rect>'


def line(x1: float, y1: float, x2: float, y2: float, color: str = GREY, extra: str = "") -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"{extra}/>'


def drawing(height: float, label: str, parts: Sequence[str]) -> Markup:
    """A complete picture.

    Args:
        height: Height in the units in which it is `WIDTH` wide.
        label: Description of the picture for screen readers.
        parts: Elements of SVG, already escaped.
    """
    size = f'viewBox="0 0 {WIDTH:g} {height:.0f}"'
    head = f'<svg {size} role="img" aria-label="{escape(label)}" xmlns="http://www.w3.org/2000/svg">'
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 — every text in it passed `escape`


@dataclass(frozen=True)
class Plot:
    """A plotting area with axes.

    Attributes:
        x: Ends of the horizontal axis.
        y: Ends of the vertical axis.
        titles: Number of rows above the area for the titles of limits, which so cover nothing that is drawn.
        area: Height of the picture without these rows.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    titles: int = 0
    area: float = 250.0

    @classmethod
    def around(cls, xs: Sequence[float], ys: Sequence[float], titles: int = 0) -> Plot:
        """A plot with some room around the given values."""
        return cls(_widened(xs), _widened(ys), titles)

    @property
    def top(self) -> float:
        """Vertical position of the upper end of the area."""
        return TOP + _TITLE * self.titles

    @property
    def height(self) -> float:
        """Height of the whole picture."""
        return self.area + _TITLE * self.titles

    def at_x(self, value: float) -> float:
        """Horizontal position of a value, limited to the plotting area."""
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def at_y(self, value: float) -> float:
        """Vertical position of a value, limited to the plotting area."""
        share = (value - self.y[0]) / (self.y[1] - self.y[0])
        return self.height - BOTTOM - min(max(share, 0.0), 1.0) * (self.height - self.top - BOTTOM)

    def axes(self, x_label: str, y_label: str, *, numbered: bool = True) -> list[str]:
        """Grid, ticks and labels of the axes; the horizontal axis has ticks if it is `numbered`."""
        parts = []
        for value in ticks(*self.x) if numbered else ():
            parts += [
                line(self.at_x(value), self.top, self.at_x(value), self.height - BOTTOM, "#e3e8ee"),
                text(self.at_x(value), self.height - BOTTOM + 13, f"{value:.6g}", anchor="middle", color=GREY, size=10),
            ]
        for value in ticks(*self.y):
            parts += [
                line(LEFT, self.at_y(value), WIDTH - RIGHT, self.at_y(value), "#e3e8ee"),
                text(LEFT - 5, self.at_y(value) + 3.5, f"{value:.6g}", anchor="end", color=GREY, size=10),
            ]
        middle = (self.top + self.height - BOTTOM) / 2
        turned = f' transform="rotate(-90 10 {middle:.1f})"'
        parts.append(text((LEFT + WIDTH - RIGHT) / 2, self.height - 6, x_label, anchor="middle"))
        if y_label:
            parts.append(text(10, middle, y_label, anchor="middle", extra=turned))
        return parts

    def path(self, xs: Sequence[float], ys: Sequence[float], color: str) -> str:
        """A line through points."""
        points = " ".join(f"{self.at_x(x):.1f},{self.at_y(y):.1f}" for x, y in zip(xs, ys, strict=True))
        return f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.8"/>'

    def dot(self, x: float, y: float, color: str, title: str, radius: float = 4.0, hollow: bool = False) -> str:
        """One point."""
        paint = f'fill="#fff" stroke="{color}" stroke-width="2"' if hollow else f'fill="{color}"'
        place = f'cx="{self.at_x(x):.1f}" cy="{self.at_y(y):.1f}" r="{radius:g}"'
        return f"<circle {place} {paint}><title>{escape(title)}</title></circle>"

    def limit(self, x: float, title: str, color: str, row: int = 0) -> list[str]:
        """A vertical line with a title in one of the rows above the area; only an arrow if it lies outside."""
        at, y = self.at_x(x), TOP + _TITLE * row
        right = at > WIDTH * 0.6
        side = "end" if right else "start"
        if not self.x[0] <= x <= self.x[1]:
            return [text(at, y, f"{title} →" if right else f"← {title}", anchor=side, color=color, size=10)]
        return [
            line(at, y - 8, at, self.height - BOTTOM, color, ' stroke-dasharray="4 3" stroke-width="1.4"'),
            text(at - 4 if right else at + 4, y, title, anchor=side, color=color, size=10),
        ]


def ticks(low: float, high: float, about: int = 7) -> list[float]:
    """Round values within an interval, about as many as given."""
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    return [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _widened(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * 0.06
    if room < 1e-12:  # equal, but for rounding
        room = abs(high) * 0.1 if abs(high) > 1e-9 else 1.0
    return low - room, high + room
