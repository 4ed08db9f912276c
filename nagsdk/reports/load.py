"""The picture of a sustained load in report.html."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from nagsdk.measuring.settling import Settling
from nagsdk.reports.figures import Manifest, budget_text
from nagsdk.reports.svg import COLORS, Plot, drawing, line, text

_CURVE = 100


def sustained(m: Manifest) -> Markup | None:
    """Latency over the time of a load, the fitted model, and the clock frequency if it is known."""
    load = m["report"].get("sustained")
    if not load:
        return None
    seconds, ms, model = load["seconds"], load["ms"], load["model"]
    limits = [b for b in m["budgets"] if b.get("sustained_s") is not None]
    plot = Plot.around([0.0, *seconds], [*ms, *(b["limit"] for b in limits)], 0)
    parts = plot.axes("seconds of load", "milliseconds")
    for t, value, warmth, mhz in zip(seconds, ms, load["temperature_c"], load["frequency_mhz"], strict=True):
        known = "" if warmth is None else f", {warmth:.0f} °C"
        known += "" if mhz is None else f", {mhz:.0f} MHz"
        parts.append(plot.dot(t, value, COLORS[0], f"after {t:.0f} s: {value:.4g} ms{known}", 1.6))
    if model is not None:
        times = np.linspace(0.0, seconds[-1], _CURVE)
        parts.append(plot.path(times.tolist(), _settling(model).at(times).tolist(), COLORS[2]))
    for budget in limits:
        y = plot.at_y(budget["limit"])
        parts.append(line(plot.at_x(plot.x[0]), y, plot.at_x(plot.x[1]), y, COLORS[1], ' stroke-dasharray="4 3"'))
        parts.append(text(plot.at_x(plot.x[0]) + 4, y - 4, budget_text(budget), color=COLORS[1], size=10))
    return drawing(plot.height, "Latency under sustained load", parts)


def told(m: Manifest) -> str:
    """What the load showed, in a sentence or two; empty without a load."""
    load = m["report"].get("sustained")
    if not load:
        return ""
    model, last = load["model"], load["seconds"][-1]
    changed = model is not None and _settling(model).changes
    parts = [
        f"From {model['switch_s']:.0f} s on, the device became {_factor(load['slowdown'])} (line: the model)."
        if changed
        else f"The speed did not change within {last:.0f} s."
    ]
    parts.append("The load ended early, because the hot state was known." if load["settled"] else "")
    if load["frequency_cap"] < 1:
        parts.append(f"The device never allows more than {load['frequency_cap']:.0%} of its frequency, also when cool.")
    return " ".join(filter(None, parts))


def _factor(slowdown: float) -> str:
    return f"{slowdown:.2f} times slower" if slowdown > 1 else f"{1 / slowdown:.2f} times faster"


def _settling(model: Mapping[str, Any]) -> Settling:
    return Settling(**{name: model[name] for name in ("cold", "hot", "low", "high", "switch_s", "tau_s")})
