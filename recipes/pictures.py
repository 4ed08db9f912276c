"""Makes the charts of README and documentation, and the page of the gallery, from what nagsdk answers.

    python recipes/pictures.py        # writes docs/pictures/*.svg and docs/gallery.md; takes some seconds

Nothing is measured: the answers rest on what ships, in an empty cache, so that a calibration of this machine changes
nothing. `recipes/recordings.py` makes the pictures of the terminal.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from diagrams import deploy_diagram
from drawing import BOLD, HALO, Chart, picture
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import nagsdk
from nagsdk.common.files import write_atomically
from nagsdk.common.folders import shipped
from nagsdk.cost.features import layer_features
from nagsdk.cost.prior import read_prior
from nagsdk.device.description import Device, read_device
from nagsdk.errors import InfeasibleError
from nagsdk.families.widths import make_divisible
from nagsdk.manifest.result import Result
from nagsdk.reports.svg import COLORS, GREY, line, text
from nagsdk.space.layer import LayerSpec

DOCS = Path(__file__).resolve().parents[1] / "docs"
BUNDLE = "imagenet"
BUDGETS = (5, 10, 20, 40, 80)
BLUE, ORANGE = COLORS[0], COLORS[1]
_POINTS = 48


@dataclass(frozen=True)
class Published:
    """A network of others on a Pixel 1: one large core, TFLite of 2019, batch 1."""

    name: str
    ms: float
    top1: float
    # Where its name stands in the picture: horizontal and vertical distance from its point.
    dx: float = 9
    dy: float = 4


# Howard et al., Searching for MobileNetV3, ICCV 2019 (arXiv 1905.02244, version 5), table 3, column P-1.
PUBLISHED = (
    Published("MobileNetV3-Small ×1.0", 15.8, 67.4, 22),
    Published("MobileNetV3-Large ×0.75", 39, 73.3),
    Published("MobileNetV3-Large ×1.0", 51, 75.2, 4, 19),
    Published("MobileNetV2 ×1.0", 64, 72.0),
)
# MobileNetV3-Large, table 1 of the same paper: kernel, expansion, channels, squeeze-and-excitation, activation, stride.
_LARGE = (
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hswish", 2),
    (3, 200, 80, False, "hswish", 1),
    (3, 184, 80, False, "hswish", 1),
    (3, 184, 80, False, "hswish", 1),
    (3, 480, 112, True, "hswish", 1),
    (3, 672, 112, True, "hswish", 1),
    (5, 672, 160, True, "hswish", 2),
    (5, 960, 160, True, "hswish", 1),
    (5, 960, 160, True, "hswish", 1),
)


def mobilenet_v3_large(width: float) -> list[LayerSpec]:
    """The layers of MobileNetV3-Large at 224 px."""

    def wide(channels: int) -> int:
        return make_divisible(channels * width)

    layers = [LayerSpec("stem", "conv", 3, wide(16), 3, 2, 224, "hswish")]
    into, size = wide(16), 112
    for kernel, expansion, channels, se, act, stride in _LARGE:
        middle, out = wide(expansion), wide(channels)
        if middle != into:
            layers.append(LayerSpec("expand", "pointwise", into, middle, 1, 1, size, act))
        layers.append(LayerSpec("depthwise", "depthwise", middle, middle, kernel, stride, size, act))
        after = layers[-1].out_size
        if se:
            layers.append(LayerSpec("se", "se", middle, middle, 1, 1, after, se_channels=make_divisible(middle // 4)))
        layers.append(LayerSpec("project", "pointwise", middle, out, 1, 1, after))
        if stride == 1 and into == out:
            layers.append(LayerSpec("add", "add", out, out, 1, 1, after))
        into, size = out, after
    last = wide(960)
    return [
        *layers,
        LayerSpec("head", "pointwise", into, last, 1, 1, size, "hswish"),
        LayerSpec("pool", "pool", last, last, 1, 1, size),
        LayerSpec("wide", "pointwise", last, 1280, 1, 1, 1, "hswish"),
        LayerSpec("classes", "linear", 1280, 1000, 1, 1, 1, bias=True),
    ]


def predicted_by_prior(device: Device, layers: list[LayerSpec]) -> float:
    """Milliseconds of any network under the prior of a device."""
    assert device.prior is not None
    prior = read_prior(shipped("devices") / device.prior)
    return float(layer_features(layers).sum(0) @ np.asarray(prior.weights))


def devices_with_a_prior() -> list[Device]:
    """The devices whose latencies are predicted before any calibration; each prior once, by title."""
    found = [read_device(path) for path in sorted(shipped("devices").glob("*.toml"))]
    # `pixel` is any Pixel, with the prior of the oldest.
    named = {device.prior: device for device in found if device.prior and device.id != "pixel"}
    return sorted(named.values(), key=lambda device: device.title)


@dataclass(frozen=True)
class Answers:
    """What nagsdk answers for one device.

    Attributes:
        device: The device.
        cost: Predicted latencies along the frontier, in ms.
        top1: Predicted top-1 along the frontier.
        results: The answer to each budget in `BUDGETS`, None where no network holds it.
    """

    device: Device
    cost: list[float]
    top1: list[float]
    results: dict[int, Result | None]

    @property
    def title(self) -> str:
        """The device's name; `cpu` is the processor on which its prior was measured."""
        return "x86-64 server (ONNX Runtime)" if self.device.id == "cpu" else self.device.title

    @classmethod
    def of(cls, device: Device) -> Answers:
        """Asks for the frontier and for every budget."""
        target = nagsdk.Target(device.id, bundle=BUNDLE)
        rows = nagsdk.frontier(target, strategies=["nag"], points=_POINTS).rows()
        # A cheaper network that is as accurate makes a row no part of the frontier.
        best = {row["architecture"]: (row["cost"], row["predicted_top1"]) for row in rows}
        points = sorted(best.values())
        kept = [point for n, point in enumerate(points) if point[1] > max((p[1] for p in points[:n]), default=0.0)]
        results: dict[int, Result | None] = {}
        for budget in BUDGETS:
            try:
                (results[budget],) = nagsdk.generate(target, f"{budget}ms")
            except InfeasibleError:
                results[budget] = None
        return cls(device, [cost for cost, _ in kept], [top1 for _, top1 in kept], results)

    def at(self, ms: float) -> float:
        """The best top-1 of the frontier within a latency."""
        return max(top1 for cost, top1 in zip(self.cost, self.top1, strict=True) if cost <= ms)

    def answered(self) -> str:
        """The budgets that have an answer, as an option."""
        return ",".join(f"{budget}ms" for budget, result in self.results.items() if result is not None)

    def limits(self, budget: int) -> bool:
        """Whether a budget limits anything; above what the largest network needs, it does not."""
        result = self.results[budget]
        return result is None or (result.predicted.latency_upper_ms or 0.0) > 0.95 * budget


def frontier_picture(answers: Answers, budget: int) -> str:
    """The frontier of a phone, the answer to a budget, and published networks on the same phone."""
    result = answers.results[budget]
    assert result is not None
    predicted = result.predicted
    assert predicted.latency_ms is not None and predicted.latency_upper_ms is not None and predicted.top1 is not None
    chart = Chart((10, 106), (66.5, 78.5), 560, 400)
    parts = chart.axes("latency on a Pixel 1 in ms (one large core, TFLite of 2019)", "top-1 on ImageNet in %")
    floor, edge = chart.at_y(chart.y[0]), chart.at_x(budget)
    parts.append(line(edge, chart.top, edge, floor, ORANGE, ' stroke-dasharray="5 4" stroke-width="1.6"'))
    parts.append(text(edge + 5, floor - 8, f"budget {budget} ms", color=ORANGE, size=12, extra=HALO))
    shown = [(cost, top1) for cost, top1 in zip(answers.cost, answers.top1, strict=True) if cost < chart.x[1]]
    parts.append(chart.curve([cost for cost, _ in shown], [top1 for _, top1 in shown], BLUE))
    parts.append(text(chart.at_x(13), chart.at_y(75.6), "nagsdk, predicted", color=BLUE, size=12, extra=BOLD))
    for network in PUBLISHED:
        if network.ms > answers.cost[0]:
            x, y, top = chart.at_x(network.ms), chart.at_y(network.top1), chart.at_y(answers.at(network.ms))
            gain = f"+{answers.at(network.ms) - network.top1:.1f}"
            parts.append(line(x, y, x, top, GREY, ' stroke-dasharray="1.5 3" stroke-width="1.4"'))
            parts.append(text(x + 5, y - 10, gain, color=GREY, extra=HALO))
    for network in PUBLISHED:
        x, y = chart.at_x(network.ms), chart.at_y(network.top1)
        parts.append(chart.dot(network.ms, network.top1, GREY, f"{network.name}: {network.ms:g} ms, {network.top1} %"))
        parts.append(text(x + network.dx, y + network.dy, network.name, size=12, extra=HALO))
    x, y = chart.at_x(predicted.latency_ms), chart.at_y(predicted.top1)
    upper = chart.at_x(predicted.latency_upper_ms)
    parts.append(line(x, y, upper, y, ORANGE, ' stroke-width="2.6"'))
    title = f"{predicted.latency_ms:.1f} ms, at most {predicted.latency_upper_ms:.1f} ms; {predicted.top1:.2f} %"
    parts.append(chart.dot(predicted.latency_ms, predicted.top1, ORANGE, title, hollow=True))
    chosen = f"chosen: {predicted.top1:.1f} %"
    parts.append(text(edge - 6, y - 16, chosen, anchor="end", color=ORANGE, size=12, extra=BOLD))
    for number, words in enumerate(("grey: published,", "measured by others")):
        parts.append(text(chart.width - chart.right, chart.at_y(70) + 15 * number, words, anchor="end", color=GREY))
    label = (
        f"Top-1 over latency on a Pixel 1. The frontier of nagsdk lies above MobileNetV3-Large and MobileNetV2. For a "
        f"budget of {budget} ms the network with {predicted.top1:.1f} % is chosen."
    )
    return picture(chart.width, chart.height, label, parts)


def overview_picture(every: list[Answers]) -> str:
    """The frontiers of all devices, one line each, and their names below."""
    rows = (len(every) + 1) // 2
    chart = Chart((2, 210), (66.5, 78.5), 560, 420 + 18 * rows, logarithmic=True, right=16, bottom=58 + 18 * rows)
    parts = chart.axes("predicted latency in ms (one thread)", "predicted top-1 on ImageNet in %")
    for number, answers in enumerate(sorted(every, key=lambda a: a.cost[0])):
        color = [*COLORS, GREY][number % (len(COLORS) + 1)]
        # Lines of devices that are equally fast lie on each other.
        dash = ' stroke-dasharray="8 5"' if number % 2 else ""
        parts.append(chart.curve(answers.cost, answers.top1, color, dash))
        x, y = 30 + 280 * (number // rows), chart.height - 18 * rows + 18 * (number % rows)
        parts += [
            line(x, y - 4, x + 26, y - 4, color, f' stroke-width="3"{dash}'),
            text(x + 33, y, answers.title, size=12),
        ]
    return picture(chart.width, chart.height, "Frontiers of all devices with a shipped prior", parts)


def device_picture(answers: Answers) -> str:
    """The frontier of one device with the answers to the budgets."""
    chart = Chart((0, max(answers.cost) * 1.04), (66.5, 78.5), 480, 260)
    parts = chart.axes("predicted latency in ms", "predicted top-1 in %")
    parts.append(chart.curve(answers.cost, answers.top1, BLUE))
    for budget, result in answers.results.items():
        if result is not None and answers.limits(budget):
            assert result.predicted.latency_ms is not None and result.predicted.top1 is not None
            x, y = result.predicted.latency_ms, result.predicted.top1
            parts.append(chart.dot(x, y, ORANGE, f"budget {budget} ms: {x:.1f} ms, {y:.2f} %", hollow=True))
            left = chart.at_x(x) > chart.width - 110
            end = "end" if left else "start"
            parts.append(
                text(
                    chart.at_x(x) + (0 if left else 4),
                    chart.at_y(y) + 20,
                    f"budget {budget} ms",
                    anchor=end,
                    color=ORANGE,
                )
            )
    return picture(chart.width, chart.height, f"Frontier of {answers.title}", parts)


def strategies_picture() -> str:
    """The generator beside random search on one device."""
    rows = nagsdk.frontier("pixel-1", bundle=BUNDLE, strategies=["nag", "random"], points=60).rows()
    chart = Chart((15, 140), (66.5, 78.5), 480, 300)
    parts = chart.axes("predicted latency on a Pixel 1 in ms", "predicted top-1 in %")
    for name, title, color in (("random", "20,000 random architectures", GREY), ("nag", "generator", BLUE)):
        points = sorted({(row["cost"], row["predicted_top1"]) for row in rows if row["strategy"] == name})
        parts.append(chart.curve([x for x, _ in points], [y for _, y in points], color))
        y = chart.at_y(69.5) + (0 if name == "nag" else 20)
        parts += [line(270, y - 4, 292, y - 4, color, ' stroke-width="3"'), text(298, y, title)]
    return picture(chart.width, chart.height, "Frontiers of the generator and of random search on a Pixel 1", parts)


def glyphs_picture() -> str:
    """What a trained bundle offers: its frontier over multiply-accumulates."""
    rows = nagsdk.frontier("cpu", bundle="glyphs", metric="macs", strategies=["nag"], points=80).rows()
    points = sorted({(row["cost"] / 1e6, row["predicted_top1"]) for row in rows})
    ys = [y for _, y in points]
    chart = Chart((0, points[-1][0] * 1.05), (min(ys) - 0.4, max(ys) + 0.4), 480, 280)
    parts = chart.axes("10⁶ multiply-accumulates", "predicted top-1 in %")
    parts.append(chart.curve([x for x, _ in points], ys, BLUE))
    for (x, y), title, dx, dy, end in ((points[0], "smallest", 10, 5, "start"), (points[-1], "largest", 5, 22, "end")):
        parts.append(chart.dot(x, y, ORANGE, f"{title}: {x:.2f}, {y:.1f} %", hollow=True))
        label = f"{title}: {y:.1f} %"
        parts.append(text(chart.at_x(x) + dx, chart.at_y(y) + dy, label, anchor=end, color=ORANGE, extra=HALO))
    return picture(chart.width, chart.height, "Frontier of the bundle glyphs over multiply-accumulates", parts)


def gallery(every: list[Answers]) -> str:
    """The page of the gallery."""
    pixel = next(answers for answers in every if answers.device.id == "pixel-1")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 — the page is Markdown
    )
    large = [predicted_by_prior(pixel.device, mobilenet_v3_large(width)) for width in (1.0, 0.75)]
    template = environment.get_template("gallery.md.j2")
    return template.render(every=every, budgets=BUDGETS, bundle=BUNDLE, published=PUBLISHED, pixel=pixel, large=large)


def made() -> dict[str, str]:
    """Every file below docs/, by its path."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NAGSDK_CACHE_DIR"] = cache
        every = [Answers.of(device) for device in devices_with_a_prior()]
        pixel = next(answers for answers in every if answers.device.id == "pixel-1")
        return {
            "pictures/frontier.svg": frontier_picture(pixel, 80),
            "pictures/deploy.svg": deploy_diagram(),
            "pictures/strategies.svg": strategies_picture(),
            "pictures/glyphs.svg": glyphs_picture(),
            "pictures/gallery.svg": overview_picture(every),
            **{f"pictures/gallery-{answers.device.id}.svg": device_picture(answers) for answers in every},
            "gallery.md": gallery(every),
        }


def main() -> None:
    for name, content in made().items():
        path = DOCS / name
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, content.encode())
        print(f"{path.relative_to(DOCS.parent)}: {len(content.encode()) / 1000:.1f} kB")


if __name__ == "__main__":
    main()
