"""The picture of a calibration: predicted against measured latencies."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nagsdk.calibration.calibrate import Calibration
from nagsdk.reports.picture import save

_BAND = 0.1


def draw(calibration: Calibration, title: str, path: Path) -> None:
    """Draws every measured architecture against the prediction of a model that was fitted without it.

    Args:
        calibration: The calibration.
        title: First line of the title.
        path: File to write, in the format of its suffix.

    Raises:
        OutputError: The picture cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    samples, accuracy = calibration.model.calibrated, calibration.model.accuracy
    figure = Figure(figsize=(6, 5.4), layout="constrained")
    axes = figure.subplots()
    both = np.concatenate([samples.p50_ms, samples.left_out_ms])
    ends = np.array([both.min() * 0.93, both.max() * 1.07])
    axes.fill_between(ends, ends * (1 - _BAND), ends * (1 + _BAND), color="#dde6f0", label=f"±{_BAND:.0%}")
    axes.plot(ends, ends, color="#8899aa", linewidth=1)
    axes.errorbar(
        samples.p50_ms,
        samples.left_out_ms,
        yerr=samples.left_out_sd_ms,
        fmt="o",
        markersize=4,
        color="#1f4e79",
        elinewidth=1,
        label="left out one by one, ±1 sd",
    )
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="measured p50 (ms)", ylabel="predicted (ms)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axis.set_major_formatter("{x:.3g}")
        axis.set_minor_formatter(NullFormatter())
    axes.set_title(
        f"{title}\n{accuracy['within_5_percent']:.0%} within 5 %, {accuracy['within_10_percent']:.0%} within 10 %, "
        f"n = {len(samples)}",
        fontsize=10,
    )
    axes.legend(loc="upper left", frameon=False)
    save(figure, path)
