"""Draws how much faster int8 has to be to pay for the accuracy that it loses.

    python recipes/break_even.py        # writes docs/pictures/break-even.svg; takes some seconds

For every budget, the fp32 network of the exact frontier is compared with the larger network that is as accurate after
the loss in int8: the ratio of their fp32 latencies is the speed-up at which both precisions are equally good. Nothing
is measured: latencies and top-1 are predicted, the losses are those of the bundles. The horizontal lines are the
speed-ups in docs/int8.md.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from drawing import BOLD, HALO, Chart, picture
from numpy.typing import NDArray

import nagsdk
from nagsdk.common.files import write_atomically
from nagsdk.reports.svg import COLORS, GREY, line, text

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "break-even.svg"
_POINTS, _WIDTH, _HEIGHT, _MOST = 160, 420.0, 360.0, 2.6
# Latency in fp32 as a multiple of that in int8, of networks at 224 pixels: docs/int8.md says what was measured where.
SPEED_UPS = (
    ("Pixel 9 Pro, LiteRT (published)", 2.4),
    ("x86-64 with VNNI, OpenVINO", 1.7),
    ("x86-64 with VNNI, LiteRT", 1.6),
    ("x86-64 with VNNI, ONNX Runtime", 1.3),
)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Needed:
    """The speed-up that int8 needs on one device, over budgets.

    Attributes:
        share: Budgets in percent of the latency of the slowest network.
        speed_up: The speed-up needed for the mean loss.
        low: The same for the lower end of the interval of the loss; NaN where no network is as accurate.
        high: The same for its upper end.
    """

    share: Floats
    speed_up: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, device: str, bundle: str) -> Needed:
        """Asks for the frontier in fp32, and for what networks lose in int8."""
        target = nagsdk.Target(device, bundle=bundle)
        loss = nagsdk.Target(device, bundle=bundle, precision="int8").known_loss
        assert loss is not None
        found = nagsdk.frontier(target, strategies=["lookup"], points=_POINTS)
        top1, first = np.unique(found.top1["lookup"], return_index=True)
        cost = found.cost["lookup"][first]

        def needed(points: float) -> Floats:
            return np.interp(top1 + points, top1, cost, right=np.nan) / cost

        return cls(100 * cost / found.limits[-1], *(needed(points) for points in (loss.mean, loss.low, loss.high)))


def drawn() -> str:
    """The picture."""
    chart = Chart((0, 80), (0.9, _MOST), _WIDTH, _HEIGHT)
    parts = chart.axes("budget in % of the latency of the slowest network", "speed-up of int8 that is needed")
    for label, ratio in SPEED_UPS:
        y = chart.at_y(ratio)
        parts += [
            line(chart.left, y, _WIDTH - chart.right, y, GREY, ' stroke-dasharray="4 4"'),
            text(_WIDTH - chart.right - 4, y - 4, f"{label}: {ratio:g}", anchor="end", color=GREY, extra=HALO),
        ]
    shown = (("imagenet", "pixel-9-pro", "imagenet"), ("glyphs", "cpu", "glyphs"))
    for (label, device, bundle), color in zip(shown, COLORS, strict=False):
        needed = Needed.of(device, bundle)
        kept = ~np.isnan(needed.high) & (needed.high <= _MOST)
        around = [*zip(needed.share[kept], needed.low[kept], strict=True)]
        around += [*zip(needed.share[kept][::-1], needed.high[kept][::-1], strict=True)]
        points = " ".join(f"{chart.at_x(x):.1f},{chart.at_y(y):.1f}" for x, y in around)
        parts.append(f'<polygon points="{points}" fill="{color}" fill-opacity="0.15"/>')
        kept = ~np.isnan(needed.speed_up) & (needed.speed_up <= _MOST)
        xs, ys = needed.share[kept].tolist(), needed.speed_up[kept].tolist()
        parts.append(chart.curve(xs, ys, color))
        end = chart.at_x(xs[-1]) + 8, chart.at_y(ys[-1]) + 4
        parts.append(text(*end, label, anchor="start", color=color, size=12, extra=BOLD))
    label = "The speed-up that int8 needs to be as good as fp32, over budgets, for two bundles, and measured speed-ups"
    return picture(_WIDTH, _HEIGHT, label, parts)


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NAGSDK_CACHE_DIR"] = cache  # no calibration of this machine
        write_atomically(PICTURE, drawn().encode())


if __name__ == "__main__":
    main()
