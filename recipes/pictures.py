"""Makes the charts of README and documentation, and the page of the gallery, from what nagsdk answers.

    python recipes/pictures.py        # writes docs/pictures/*.svg and docs/gallery.md; takes some seconds

Nothing is measured: the answers rest on what ships, in an empty cache, so that a calibration of this machine changes
nothing. `recipes/recordings.py` makes the pictures of the terminal.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from diagrams import deploy_diagram
from drawing import BOLD, HALO, Chart, picture
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import nagsdk
from nagsdk.common.files import write_atomically
from nagsdk.common.folders import shipped
from nagsdk.device.description import Device, read_device
from nagsdk.errors import InfeasibleError
from nagsdk.manifest.result import Result
from nagsdk.networks.catalogue import NETWORKS
from nagsdk.reports.svg import COLORS, GREY, line, text

DOCS = Path(__file__).resolve().parents[1] / "docs"
BUNDLE = "imagenet"
BUDGETS = (4, 8, 20, 40, 80)
BLUE, ORANGE = COLORS[0], COLORS[1]
_POINTS = 48


@dataclass(frozen=True)
class Published:
    """A network of others, measured by others: batch 1, float32, on the processor of one phone."""

    network: str
    ms: float
    top1: float
    # Where its name stands in the picture: horizontal and vertical distance from its point, and which end is there.
    dx: float = 9
    dy: float = 4
    anchor: str = "start"

    @property
    def name(self) -> str:
        """Its usual name, without the width where that is the usual one."""
        return NETWORKS[self.network].title.removesuffix(" 1.0")

    def predicted(self, device: Device) -> float:
        """Milliseconds that nagsdk predicts, without the device's own reading of this network if it has one."""
        others = tuple(reading for reading in device.readings if reading[0] != self.network)
        (prediction,) = nagsdk.predict_networks([self.network], replace(device, readings=others))
        assert prediction.latency_ms is not None
        return prediction.latency_ms


# Latencies: benchmark pages of google-ai-edge/litert-samples (LiteRT 2.2, CPU). Top-1: the papers in gallery.md.j2.
PHONE = "pixel-9-pro"
ON_PHONE = (
    Published("mobilenet_v3_small", 2.411, 67.4),
    Published("mobilenet_v3_large", 7.741, 75.2, 14, 6),
    Published("mobilenet_v2", 9.847, 72.0),
    Published("efficientnet_b0", 21.798, 77.1, 4, 22, "end"),
)
# Howard et al., Searching for MobileNetV3, ICCV 2019 (arXiv 1905.02244, version 5), table 3, column P-1.
PHONE_2019 = "pixel-1-2019"
ON_PHONE_2019 = (
    Published("mobilenet_v3_small", 15.8, 67.4),
    Published("mobilenet_v3_large_075", 39, 73.3),
    Published("mobilenet_v3_large", 51, 75.2),
    Published("mobilenet_v2", 64, 72.0),
)


def predicted_devices() -> list[Device]:
    """The devices whose latencies are predicted before any calibration, by title."""
    found = [read_device(path) for path in shipped("devices").glob("*.toml")]
    # `pixel` is any Pixel, with the readings of the newest.
    known = [device for device in found if (device.prior or device.readings) and device.id != "pixel"]
    return sorted(known, key=lambda device: device.title)


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
    chart = Chart((2, 24), (66.5, 78.5), 560, 400)
    parts = chart.axes("latency on a Pixel 9 Pro in ms (CPU, LiteRT 2.2)", "top-1 on ImageNet in %")
    floor, edge = chart.at_y(chart.y[0]), chart.at_x(budget)
    parts.append(line(edge, chart.top, edge, floor, ORANGE, ' stroke-dasharray="5 4" stroke-width="1.6"'))
    parts.append(text(edge + 6, chart.at_y(69), f"budget {budget} ms", color=ORANGE, size=12, extra=HALO))
    parts.append(chart.curve(answers.cost, answers.top1, BLUE))
    parts.append(text(chart.at_x(10.4), chart.at_y(77.9), "nagsdk, predicted", color=BLUE, size=12, extra=BOLD))
    for network in ON_PHONE:
        if answers.cost[0] < network.ms <= answers.cost[-1]:
            x, y, top = chart.at_x(network.ms), chart.at_y(network.top1), chart.at_y(answers.at(network.ms))
            gain = f"+{answers.at(network.ms) - network.top1:.1f}"
            parts.append(line(x, y, x, top, GREY, ' stroke-dasharray="1.5 3" stroke-width="1.4"'))
            parts.append(text(x + 12, y - 10, gain, color=GREY, extra=HALO))
    for network in ON_PHONE:
        x, y = chart.at_x(network.ms), chart.at_y(network.top1)
        parts.append(chart.dot(network.ms, network.top1, GREY, f"{network.name}: {network.ms:g} ms, {network.top1} %"))
        parts.append(text(x + network.dx, y + network.dy, network.name, anchor=network.anchor, size=12, extra=HALO))
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
        f"Top-1 over latency on a Pixel 9 Pro. The predicted frontier lies above published MobileNets. For a budget of "
        f"{budget} ms the network with {predicted.top1:.1f} % is chosen."
    )
    return picture(chart.width, chart.height, label, parts)


def overview_picture(every: list[Answers]) -> str:
    """The frontiers of all devices, one line each, and their names below."""
    rows = (len(every) + 1) // 2
    chart = Chart((2, 230), (66.5, 78.5), 560, 420 + 18 * rows, logarithmic=True, right=16, bottom=58 + 18 * rows)
    parts = chart.axes("predicted latency in ms (one thread)", "predicted top-1 on ImageNet in %")
    for number, answers in enumerate(sorted(every, key=lambda a: a.cost[0])):
        color = [*COLORS, GREY][number % (len(COLORS) + 1)]
        # Lines of devices that are equally fast lie on each other.
        dash = ' stroke-dasharray="8 5"' if number % 2 else ""
        parts.append(chart.curve(answers.cost, answers.top1, color, dash))
        x, y = 30 + 250 * (number // rows), chart.height - 18 * rows + 18 * (number % rows)
        parts += [
            line(x, y - 4, x + 26, y - 4, color, f' stroke-width="3"{dash}'),
            text(x + 33, y, answers.title, size=12),
        ]
    return picture(chart.width, chart.height, "Frontiers of all devices that are predicted before a calibration", parts)


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
    rows = nagsdk.frontier(PHONE, bundle=BUNDLE, strategies=["nag", "random"], points=60).rows()
    chart = Chart((2, 16.5), (66.5, 78.5), 480, 300)
    parts = chart.axes("predicted latency on a Pixel 9 Pro in ms", "predicted top-1 in %")
    for name, title, color in (("random", "20,000 random architectures", GREY), ("nag", "generator", BLUE)):
        points = sorted({(row["cost"], row["predicted_top1"]) for row in rows if row["strategy"] == name})
        parts.append(chart.curve([x for x, _ in points], [y for _, y in points], color))
        y = chart.at_y(69.5) + (0 if name == "nag" else 20)
        parts += [line(270, y - 4, 292, y - 4, color, ' stroke-width="3"'), text(298, y, title)]
    return picture(chart.width, chart.height, "Frontiers of the generator and of random search on a Pixel 9 Pro", parts)


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
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 — the page is Markdown
    )
    by_id = {answers.device.id: answers for answers in every}
    template = environment.get_template("gallery.md.j2")
    return template.render(
        every=every,
        budgets=BUDGETS,
        bundle=BUNDLE,
        comparisons=[(by_id[PHONE], ON_PHONE), (by_id[PHONE_2019], ON_PHONE_2019)],
    )


def made() -> dict[str, str]:
    """Every file below docs/, by its path."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NAGSDK_CACHE_DIR"] = cache
        every = [Answers.of(device) for device in predicted_devices()]
        phone = next(answers for answers in every if answers.device.id == PHONE)
        return {
            "pictures/frontier.svg": frontier_picture(phone, 8),
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
