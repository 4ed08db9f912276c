import pytest

from nagsdk.reports.fleet import fleet_page
from tests.browser import browser  # noqa: F401 — a fixture


def fleet(devices=5):
    """The content of a fleet.json."""
    models = [
        {
            "name": f"model-{number}",
            "architecture": "mbv3:" + "r224:d=4,4,4,4,4:" * 6,
            "top1": 78.0 - number,
            "macs": 4 * 10**8,
            "share": 50.0,
            "folders": {"android": f"model-{number}"},
        }
        for number in (1, 2)
    ]
    sizes = [
        {"models": n, "top1": 76 + n / 10, "held": 90.1, "architectures": ["mbv3"] * n, "gap": 0.0, "seconds": 1.0}
        for n in (1, 2, 3, 4)
    ]
    kinds = [
        {
            "title": f"<script>{number}</script>",
            "share": 100 / devices,
            "model": f"model-{1 + number % 2}",
            "limit_ms": 20.0,
            "latency_ms": 8.0 + number,
            "latency_upper_ms": 9.0 + 3 * number,
            "chance": 0.0 if number > 15 else 0.9,
            "source": "prior",
        }
        for number in range(devices)
    ]
    rule = {"benchmark": "model-2", "confidence": 0.8, "held": 91.0, "top1": 76.2, "bytes": 300, "left_out": 0}
    asked = {"bundle": "imagenet", "budget": "20ms", "share": 90.0, "candidates": 80, "folder": "out"}
    return {**asked, "models": models, "sizes": sizes, "devices": kinds, "selector": rule, "warnings": ["1 & 2"]}


def test_the_page_says_what_one_model_costs_and_what_more_give():
    page = fleet_page(fleet())
    assert "One model for all would give 0.10 points less mean top-1 (76.10 %)." in page
    assert "4 models would give 0.20 points more than the chosen number." in page
    assert "1 &amp; 2" in page and "<script" not in page and "&lt;script&gt;0" in page
    assert page.count("<rect") == 5 + 4  # a bar for each device, and one for each number of models


def test_a_device_that_no_model_suits_is_said():
    assert ">unlikely<" in fleet_page(fleet(devices=20)) and ">unlikely<" not in fleet_page(fleet())


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("devices", [1, 300])
def test_a_browser_shows_it_without_a_bar_below(browser, width, devices):  # noqa: F811 — the fixture
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.set_content(fleet_page(fleet(devices)))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
