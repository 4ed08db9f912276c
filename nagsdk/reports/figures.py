"""The pictures of report.html, drawn only from manifests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from markupsafe import Markup

from nagsdk.budget import MEASURED, SHOWN_UNITS
from nagsdk.manifest.result import budget_of, result_of
from nagsdk.reports.svg import COLORS, GREY, TOP, WIDTH, Plot, drawing, line, rectangle, text

Manifest = Mapping[str, Any]
_AXES = {"latency": (1.0, "predicted latency in ms"), "size": (1e6, "file size in MB"), "macs": (1e6, "10⁶ MACs")}
_KINDS = {
    "expansions and other 1×1": (("pointwise",), COLORS[0]),
    "depthwise": (("depthwise",), COLORS[4]),
    "squeeze-and-excitation": (("se",), COLORS[2]),
    "everything else": (("conv", "add", "pool", "linear", "maxpool", "avgpool", "norm", "attention"), COLORS[3]),
}
_KERNELS = {3: "#bcd9ee", 5: "#5ba3d0", 7: "#1f5f95"}
_ROW = 17.0


def colors(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    """The colour of each deployment, the same in all pictures of a page."""
    return {name: COLORS[number % len(COLORS)] for number, name in enumerate(manifests)}


def budget_text(budget: Mapping[str, Any]) -> str:
    """A budget of a manifest as text, in the unit in which it was asked for."""
    if budget.get("images") is not None or budget.get("sustained_s") is not None:
        return str(budget_of(budget))
    # Manifests of version 0.1.0 do not name the unit; a plugin's metric is then shown in its canonical unit.
    name, factor = SHOWN_UNITS.get(budget["metric"], (budget["metric"], 1.0))
    unit, scale = budget.get("unit") or name, budget.get("unit_factor") or factor
    percentile = f"@p{budget['percentile']:g}" if budget["metric"] == "latency" and budget["percentile"] != 50 else ""
    measured = f"@{budget['metric']}" if budget["metric"] in MEASURED else ""
    return f"{budget['limit'] / scale:.6g} {unit}{percentile}{measured}"


def frontiers(manifests: Mapping[str, Manifest]) -> dict[str, Mapping[str, Any]]:
    """The frontiers that one picture can show together: those over the metric that most deployments have."""
    every = {
        n: {f["metric"]: f for f in m["report"].get("frontiers") or [m["report"]["frontier"]] if f}
        for n, m in manifests.items()
    }
    metrics = [metric for of_one in every.values() for metric in of_one]
    metric = max(metrics, key=metrics.count, default="")  # in a tie the first one, which the first budget limits
    return {n: of_one[metric] for n, of_one in every.items() if metric in of_one}


def pareto(manifests: Mapping[str, Manifest]) -> Markup | None:
    """Top-1 over cost along the frontiers, and the position of the deployments; see `frontiers`.

    Args:
        manifests: One or more manifests, by the names that the picture shows.
    """
    fronts = frontiers(manifests)
    if not fronts:
        return None
    found, metric = {n: manifests[n] for n in fronts}, next(iter(fronts.values()))["metric"]
    scale, label = _AXES[metric]
    curves: list[tuple[list[float], list[float], str]] = []
    dots = []
    of = colors(manifests)
    for name, front in fronts.items():
        points = list(_points(manifests[name], metric, scale, name if len(found) > 1 else ""))
        predicted = [(x, y) for x, y, _, hollow in points if hollow]
        curves.append(
            (*_best([*zip((c / scale for c in front["cost"]), front["top1"], strict=True), *predicted]), of[name])
        )
        dots += [(*point, of[name]) for point in points]
    limits = [
        (budget, COLORS[1] if len(found) == 1 else of[name])
        for name, m in found.items()
        for budget in m["budgets"]
        if budget["metric"] == metric
    ]
    plot = Plot.around(
        [x for xs, _, _ in curves for x in xs] + [d[0] for d in dots],
        [y for _, ys, _ in curves for y in ys] + [d[1] for d in dots],
        len(limits),
    )
    parts = plot.axes(label, "top-1 in %")
    for xs, ys, color in curves:
        parts.append(plot.path(xs, ys, color))
    for row, (budget, color) in enumerate(limits):
        parts += plot.limit(budget["limit"] / scale, budget_text(budget), color, row)
    for x, y, title, hollow, color in dots:
        parts.append(plot.dot(x, y, COLORS[1] if len(found) == 1 else color, title, 5.0, hollow))
    return drawing(plot.height, f"Top-1 over {label}", parts)


def _best(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """The best top-1 that is known for every cost, as costs and top-1."""
    kept: list[tuple[float, float]] = []
    for cost, top1 in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or top1 > kept[-1][1]:
            kept.append((cost, top1))
    return [cost for cost, _ in kept], [top1 for _, top1 in kept]


def _points(m: Manifest, metric: str, scale: float, name: str) -> Iterator[tuple[float, float, str, bool]]:
    """The points of a deployment, predicted, then measured: cost, top-1, title, whether it is drawn hollow."""
    predicted, measured = m["predicted"], m["measured"]
    prefix = f"{name}: " if name else ""
    costs = {"latency": predicted["latency_ms"], "size": m["artifact"]["bytes"], "macs": m["macs"]}
    cost = costs[metric]
    if cost is not None and predicted["top1"] is not None:
        yield cost / scale, predicted["top1"], f"{prefix}predicted: {cost / scale:.3g}, {predicted['top1']:.2f} %", True
    timed = metric == "latency"
    top1 = predicted["top1"] if timed and measured["top1"] is None else measured["top1"]
    true = measured["latency_p50_ms"] if timed else cost
    if true is not None and top1 is not None:
        yield true / scale, top1, f"{prefix}measured: {true / scale:.3g}, {top1:.2f} %", False


def histogram(manifests: Mapping[str, Manifest]) -> Markup | None:
    """Latencies of single inferences: opaque bars for one deployment, transparent ones for several."""
    found = {n: m for n, m in manifests.items() if m["report"]["histogram"]}
    if not found:
        return None
    every = [m["report"]["histogram"] for m in found.values()]
    # With several deployments, a limit far away from the runs would leave no room for them.
    limits = [b["limit"] for m in found.values() for b in m["budgets"] if b["metric"] == "latency" and len(found) == 1]
    edges = [h["edges_ms"][0] for h in every] + [h["edges_ms"][-1] for h in every] + limits
    shares = [[100 * c / max(sum(h["counts"]) + h["slower"], 1) for c in h["counts"]] for h in every]
    low, high = min(edges), max(edges)
    marks: list[tuple[str, float, str]] = []
    if len(found) == 1:
        (m,) = found.values()
        asked = result_of(m).percentile
        figures = {50.0: "latency_p50_ms", 90.0: "latency_p90_ms", asked: "latency_asked_ms"}
        marks = [
            (f"p{p:g}", value, COLORS[0] if p == 50 else GREY)
            for p, name in sorted(figures.items())
            if (value := m["measured"].get(name)) is not None
        ]
        marks += [(f"budget {budget_text(b)}", b["limit"], COLORS[1]) for b in m["budgets"] if b["metric"] == "latency"]
    plot = Plot(
        (max(low - (high - low) * 0.05, 0.0), high + (high - low) * 0.06),
        (0.0, max(max(s) for s in shares) * 1.1),
        len(marks),
        220.0,
    )
    parts = plot.axes("milliseconds", "% of runs")
    of = colors(manifests)
    for name, h, share in zip(found, every, shares, strict=True):
        color = of[name]
        for left, right, value in zip(h["edges_ms"], h["edges_ms"][1:], share, strict=False):
            x, y = plot.at_x(left), plot.at_y(value)
            paint = ' fill-opacity="0.55"' if len(found) > 1 else ""
            parts.append(
                rectangle(
                    x,
                    y,
                    plot.at_x(right) - x,
                    plot.at_y(0) - y,
                    color,
                    f"{name}: {left:.4g}–{right:.4g} ms: {value:.1f} %",
                    paint,
                )
            )
    for row, (title, value, color) in enumerate(marks):
        parts += plot.limit(value, title, color, row)
    return drawing(plot.height, "Distribution of measured latencies", parts)


def agreement(m: Manifest) -> Markup | None:
    """Predicted against measured latencies: the calibration's samples and the rounds of the deployment."""
    samples = [(measured, predicted) for measured, predicted in m["report"]["calibration"]]
    rounds = [
        (turn["second_session_p50_ms"] or turn["first_session_p50_ms"], turn["predicted_latency_ms"], turn["verdict"])
        for turn in m.get("rounds", [])
        if turn["predicted_latency_ms"] is not None
    ]
    every = [v for pair in samples for v in pair] + [v for turn in rounds for v in turn[:2]]
    if not every:
        return None
    low, high = 0.85 * min(every), 1.15 * max(every)
    plot = Plot((low, high), (low, high), area=260.0)
    corners = ((low, low * 0.9), (high, high * 0.9), (high, high), (high / 1.1, high), (low, low * 1.1))
    band = " ".join(f"{plot.at_x(x):.1f},{plot.at_y(y):.1f}" for x, y in corners)
    parts = [*plot.axes("measured p50 in ms", "predicted in ms"), f'<polygon points="{band}" fill="#e6eef5"/>']
    parts.append(plot.path([low, high], [low, high], GREY))
    for measured, predicted in samples:
        parts.append(
            plot.dot(
                measured,
                predicted,
                COLORS[0],
                f"calibration: measured {measured:.4g} ms, predicted {predicted:.4g} ms",
                3.0,
            )
        )
    for measured, predicted, verdict in rounds:
        title = f"round ({verdict}): measured {measured:.4g} ms, predicted {predicted:.4g} ms"
        parts.append(plot.dot(measured, predicted, COLORS[1], title, 5.0, hollow=verdict != "held"))
    return drawing(plot.height, "Predicted against measured latency", parts)


def costs(m: Manifest) -> Markup:
    """The cost of every layer: one bar for each block, with its layers side by side."""
    layers = m["report"]["layers"]
    key, unit = (
        ("predicted_ms", "ms") if all(layer["predicted_ms"] is not None for layer in layers) else ("macs", "MACs")
    )
    rows = [(name, part) for name, part in _blocks(layers) if sum(layer[key] for layer in part) > 0]
    bill = (m["report"].get("bill") or {}).get("layers", {}) if unit == "ms" else {}
    took = [sum(bill.get(layer["name"], 0.0) for layer in part) for _, part in rows]
    most = max([*(sum(layer[key] for layer in part) for _, part in rows), *took], default=0)
    start, end = 92.0, WIDTH - (70 if bill else 50)
    parts = []
    for number, (name, part) in enumerate(rows):
        x, y, total = start, TOP + number * _ROW, sum(layer[key] for layer in part)
        parts.append(text(start - 5, y + 10, name, anchor="end", size=10))
        for layer in part:
            width = (end - start) * layer[key] / most
            color = next((color for kinds, color in _KINDS.values() if layer["kind"] in kinds), COLORS[3])
            parts.append(
                rectangle(x, y, width, 12, color, f"{layer['name']} ({layer['kind']}): {layer[key]:.3g} {unit}")
            )
            x += width
        shown = f"{total / 1e6:.3g} M" if unit == "MACs" else f"{total:.3g}"
        if bill:
            width = (end - start) * took[number] / most
            parts.append(rectangle(start, y + 12, width, 3, "#1b2733", f"{name} measured: {took[number]:.3g} ms"))
            x, shown = max(x, start + width), f"{shown} | {took[number]:.3g}"
        parts.append(text(x + 4, y + 10, shown, size=10, color=GREY))
    y = TOP + len(rows) * _ROW + 6
    for number, (title, (_, color)) in enumerate(_KINDS.items()):
        at = 8 + (number % 2) * 180.0, y + (number // 2) * 16
        parts += [rectangle(*at, 10, 10, color), text(at[0] + 15, at[1] + 9, title, size=10)]
    return drawing(y + 36, f"Cost of every block in {unit}", parts)


def network(m: Manifest) -> Markup:
    """The architecture from input to output: the width shows the number of channels, the colour the kernel."""
    rows = list(_blocks(m["report"]["layers"]))
    most = max(_middle(part) for _, part in rows)
    centre, widest = 195.0, 190.0
    parts, size = [], 0
    kernels = {layer["kernel"] for layer in m["report"]["layers"]} & _KERNELS.keys()
    for number, (name, part) in enumerate(rows):
        y, first, last = TOP + number * _ROW, part[0], part[-1]
        if first["in_size"] != size:
            size = first["in_size"]
            parts += [line(4, y - 2, WIDTH - 4, y - 2, "#e3e8ee"), text(4, y + 10, f"{size}²", size=10, color=GREY)]
        deep = next((layer for layer in part if layer["kind"] == "depthwise"), first)
        width = widest * (_middle(part) / most) ** 0.5
        dark = deep["kernel"] == 7
        color = _KERNELS.get(deep["kernel"], "#e8e2d0")
        inside = " ".join(
            filter(None, [f"{deep['kernel']}×{deep['kernel']}" if deep["kernel"] > 1 else "", _expansion(part)])
        )
        parts.append(text(98, y + 10, name, anchor="end", size=10))
        title = "; ".join(
            f"{layer['name']}: {layer['kind']} {layer['in_channels']}→{layer['out_channels']}" for layer in part
        )
        parts.append(rectangle(centre - width / 2, y, width, 13, color, title, ' rx="2"'))
        room = width >= 12 + 5.2 * len(inside)
        parts.append(
            text(
                centre if room else centre + width / 2 + 4,
                y + 10,
                inside,
                anchor="middle" if room else "start",
                size=9,
                color="#fff" if dark and room else "#1b2733",
            )
        )
        marks = (
            [f"→{last['out_channels']}"]
            + ["SE"] * any(layer["kind"] == "se" for layer in part)
            + ["+"] * (last["kind"] == "add")
        )
        parts.append(text(WIDTH - 4, y + 10, " ".join(marks), anchor="end", size=10, color=GREY))
    y = TOP + len(rows) * _ROW + 6
    parts.append(text(4, y + 9, "kernel", size=10, color=GREY))
    for number, kernel in enumerate(sorted(kernels)):
        parts += [
            rectangle(46 + number * 46, y, 10, 10, _KERNELS[kernel]),
            text(60 + number * 46, y + 9, f"{kernel}×{kernel}", size=10),
        ]
    parts.append(text(WIDTH - 4, y + 9, "e expansion, + residual", anchor="end", size=10, color=GREY))
    return drawing(y + 18, "The architecture, block by block", parts)


def _blocks(layers: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Layers by block: `stage2.block3.expand` belongs to block 2.3, and `blocks.block1.widen` to block1.

    Other layers go by the first part of their name; only those of a head stand alone.
    """

    def name(layer: Mapping[str, Any]) -> str:
        parts = str(layer["name"]).split(".")
        if parts[0].startswith("stage") and len(parts) == 3:
            return f"{parts[0].removeprefix('stage')}.{parts[1].removeprefix('block')}"
        block = next((part for part in parts[:-1] if "block" in part and part != "blocks"), "")
        return block or (parts[-1] if parts[0] == "head" else parts[0])

    for key, group in groupby(layers, name):
        yield key, list(group)


def _middle(part: Sequence[Mapping[str, Any]]) -> int:
    """Number of channels where a block is widest."""
    return max(int(layer["out_channels"]) for layer in part)


def _expansion(part: Sequence[Mapping[str, Any]]) -> str:
    first = part[0]
    wide = len(part) > 1 and str(first["name"]).endswith(".expand")
    return (
        f"e{first['out_channels'] / first['in_channels']:.3g} · {first['out_channels']}" if wide else str(_middle(part))
    )
