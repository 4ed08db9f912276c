"""report.html: what it says, that it loads nothing, and that a real browser shows it on a phone."""

import copy
import html.parser
import json
import re
import shutil

import pytest

import nagsdk
from nagsdk.errors import UsageError
from nagsdk.reports import figures, svg
from nagsdk.reports.page import budgets, comparison_page, deployment_page
from nagsdk.reports.report import report
from tests.browser import browser  # noqa: F401 — a fixture
from tests.few_images import few_images  # noqa: F401
from tests.pipeline.test_loop import simulate, world  # noqa: F401 — fixtures

MOST_BYTES = 1_500_000


_KEPT = []


@pytest.fixture
def deployed(request, tmp_path, tmp_path_factory):
    if not _KEPT:
        request.getfixturevalue("simulate")()
        kept = tmp_path_factory.mktemp("kept")
        nagsdk.deploy("board", budget="1.5ms", output=kept / "large")
        nagsdk.deploy("board", budget=["1ms", "600kB"], output=kept / "small")
        _KEPT.append(kept)
    return shutil.copytree(_KEPT[0], tmp_path / "deployed")


def _manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


class _Reader(html.parser.HTMLParser):
    """Collects what a page would load or run, and checks that elements are closed in order."""

    VOID = ("meta", "link", "br", "img", "input")

    def __init__(self):
        super().__init__()
        self.open, self.loads, self.scripts = [], [], []

    def handle_starttag(self, tag, attributes):
        self.loads += [
            v
            for k, v in attributes
            if k in ("src", "href", "xlink:href", "data", "action") and not v.startswith("data:")
        ]
        self.scripts += [tag] * (tag == "script") + [k for k, _ in attributes if k.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def _read(text):
    reader = _Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def test_every_deployment_has_a_page_that_loads_nothing(deployed):
    text = (deployed / "large/report.html").read_text("utf-8")
    reader = _read(text)
    assert reader.loads == [] and reader.scripts == [] and len(text.encode()) < MOST_BYTES
    assert not re.search(r"url\(|@import", text)
    manifest = _manifest(deployed / "large")
    assert (
        '<span class="verdict held">held</span>' in text
        and manifest["architecture"] in text
        and manifest["artifact"]["sha256"] in text
    )
    for title in (
        "Accuracy over cost",
        "Single inferences",
        "Predicted against measured",
        "Cost of every layer",
        "The architecture",
        "Versions",
    ):
        assert title in text
    assert f"{manifest['measured']['latency_p50_ms']:.4g} ms" in text


def test_the_data_is_that_of_the_deployment(deployed):
    manifest = _manifest(deployed / "large")
    data = manifest["report"]
    assert sum(layer["macs"] for layer in data["layers"]) == manifest["macs"]
    # What the model says of the layers adds up to what it says of the network.
    assert sum(layer["predicted_ms"] for layer in data["layers"]) == pytest.approx(
        manifest["predicted"]["latency_ms"], rel=0.02
    )
    assert (
        sum(data["histogram"]["counts"]) >= 30
        and data["histogram"]["edges_ms"][0] < manifest["measured"]["latency_p50_ms"]
    )
    cost, top1 = data["frontier"]["cost"], data["frontier"]["top1"]
    assert cost == sorted(cost) and top1[-1] > top1[0]
    assert all(0.8 < predicted / measured < 1.2 for measured, predicted in data["calibration"])


def test_what_is_unknown_is_left_out(world, tmp_path):  # noqa: F811
    nagsdk.export("board", architecture="mbv3:r32:d=1,1,1,1:ks=3,3,3,3:e=2,2,2,2", output=tmp_path / "out")
    text = (tmp_path / "out/report.html").read_text("utf-8")
    _read(text)
    assert (
        "Single inferences" not in text
        and "Predicted against measured" not in text
        and "Multiply-accumulates per block" in text
    )
    assert "nothing was measured on the device" in text and "Accuracy over cost" in text


def test_texts_are_quoted(deployed):
    manifest = copy.deepcopy(_manifest(deployed / "large"))
    evil = "<script>alert(1)</script>\"'"
    manifest["warnings"] = [evil]
    manifest["device_properties"] = {evil: evil}
    manifest["report"]["layers"][0]["name"] = evil
    manifest["device"] = manifest["bundle"] = manifest["architecture"] = evil
    for text in (deployment_page(manifest), comparison_page({evil: manifest, "b": manifest})):
        assert _read(text).scripts == [] and "<script" not in text


def test_pages_are_drawn_again_and_compared(deployed, monkeypatch):
    drawn = (deployed / "large/report.html").read_bytes()
    (deployed / "large/report.html").unlink()
    assert report([deployed / "large"])["path"] == str(deployed / "large/report.html")
    assert (deployed / "large/report.html").read_bytes() == drawn
    found = report([deployed / "large", deployed / "small"], deployed / "both.html")
    assert found["deployments"] == ["large", "small"]
    rows = {row["title"]: row for row in found["rows"]}
    assert rows["budget"]["values"] == ["1.5 ms", "1 ms and 0.6 MB"] and rows["device"]["differs"] is False
    text = (deployed / "both.html").read_text("utf-8")
    assert _read(text).loads == [] and len(text.encode()) < MOST_BYTES and text.count("<svg") == 4
    monkeypatch.chdir(deployed)
    assert report(["large", "small"])["path"] == "report.html"
    with pytest.raises(UsageError, match="twice"):
        report(["large", "./large"])
    with pytest.raises(UsageError, match="ends in .html"):
        report(["large", "small"], "notes.txt")
    monkeypatch.chdir(deployed / "large")
    with pytest.raises(UsageError, match="replace the page"):
        report([".", "../small"])
    assert (deployed / "large/report.html").read_bytes() == drawn


def test_the_frontiers_of_different_budgets_share_a_picture(deployed):
    latency, both = _manifest(deployed / "large"), _manifest(deployed / "small")
    assert [f["metric"] for f in both["report"]["frontiers"]] == ["latency", "size", "macs"]
    size = copy.deepcopy(both)
    size["report"]["frontiers"] = both["report"]["frontiers"][1:]
    for pair, metric in (((size, both), "size"), ((latency, size), "macs"), ((latency, both), "latency")):
        shown = figures.frontiers(dict(zip("AB", pair, strict=True)))
        assert {name: front["metric"] for name, front in shown.items()} == {"A": metric, "B": metric}
        assert "Not shown" not in comparison_page(dict(zip("AB", pair, strict=True)))
    old = copy.deepcopy(size)  # of a version that kept one frontier
    old["report"] |= {"frontier": old["report"]["frontiers"][0], "frontiers": []}
    assert "Not shown: B;" in comparison_page({"A": latency, "B": old})


def test_the_command_compares(deployed):
    from click.testing import CliRunner

    from nagsdk.cli import cli

    found = CliRunner().invoke(
        cli, ["report", str(deployed / "large"), str(deployed / "small"), "--output", str(deployed / "c.html")]
    )
    assert found.exit_code == 0 and "measured p50 ms" in found.output and "device" not in found.output


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.171, 0.183), (1e-5, 2e-5), (93.2, 95.9), (-3, 1200)])
def test_ticks_are_few_and_within(low, high):
    ticks = svg.ticks(low, high)
    assert 2 <= len(ticks) <= 8 and all(low - 1e-9 <= t <= high + 1e-9 for t in ticks)


@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_shows_it(deployed, browser, width):  # noqa: F811 — the fixture
    report([deployed / "large", deployed / "small"], deployed / "both.html")
    for path in (deployed / "large/report.html", deployed / "both.html"):
        page = browser.new_page(viewport={"width": width, "height": 800})
        requests, said = [], []
        page.on("request", lambda request, requests=requests: requests.append(request.url))
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        page.goto(path.as_uri())
        assert [url for url in requests if not url.startswith(("file:", "data:"))] == [] and said == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        small = (
            "Math.min(...[...document.querySelectorAll('svg text')].map(t => parseFloat(t.getAttribute('font-size'))"
            " * Math.hypot(t.getScreenCTM().a, t.getScreenCTM().b)))"
        )
        assert page.evaluate(small) >= 7.5
        page.close()


def test_a_report_shows_a_metric_without_its_plugin():
    shown = {"metric": "energy", "limit": 2500.0, "percentile": 50.0, "confidence": 0.9}
    assert budgets({"budgets": [{**shown, "unit": "mJ", "unit_factor": 1000.0}]}) == "2.5 mJ"
    assert (
        budgets({"budgets": [shown, {**shown, "metric": "size", "limit": 2e6}]}) == "2500 energy and 2 MB"
    )  # as 0.1.0 wrote them


def test_a_single_folder_needs_no_list(deployed):
    folder = deployed / "small"
    assert report(folder) == report(str(folder)) == report([folder])
