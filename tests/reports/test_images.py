"""The page about a user's images: what it says, and that it fits a phone."""

import pytest

from nagsdk.reports.images import images_page, matrix, told
from tests.browser import browser  # noqa: F401 — a fixture

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


def network(top1, macs, name="x"):
    return {"name": name, "macs": macs, "top1": top1, "top1_low": top1 - 4, "top1_high": top1 + 3}


def task(noise=False, plain=()):
    gain = {"points": 8.0, "low": -1.0 if noise else 2.0, "high": 14.0, "noise": noise}
    ends = {"smallest": network(70, 1e6), "middle": network(75, 3e6), "largest": network(78, 8e6)}
    return {"images": 300, **ends, "gain": gain, "plain": list(plain), "seconds": 150.0 if plain else None}


def answers(names):
    one = {"images": 10, "top1": 90.0, "top1_low": 60.0, "top1_high": 98.0, "precision": None}
    return {
        "balanced_top1": 90.0,
        "classes": [{"name": name, **one} for name in names],
        "confused": [{"label": names[0], "predicted": names[1], "images": 1}],
        "wrong": [],
    }


WRONG = {
    "image": "ash/<b>very-long-name-" + "x" * 80 + ".png",
    "part": "val",
    "label": "ash",
    "predicted": "beech",
    "probability": 0.98,
    "label_probability": 0.01,
    "uri": PIXEL,
}


def page(count=3, **more):
    names = [f"class {number} <i>" for number in range(count)]
    counts = [[9 if a == b else int(b == a + 1) for b in range(count)] for a in range(count)]
    return images_page("flowers", task(**more), answers(names), counts, [WRONG] * 5, ["A note & more"])


def test_the_first_sentence_says_what_is_deployed_and_how_good_it_is():
    plain = [network(72, 3.1e6, "mbv3:…"), network(66, 6e6, "MobileNetV3-Small 1.0")]
    text = told(task(plain=plain), network(76.54, 2.5e6))
    assert text.startswith("Deployed is a network of 2.5 MMACs that knows 76.5 % of 300 test images (95 %: 72.5–79.5).")
    assert "(2 min), a plain network of the same family (3.1 MMACs) knows 72.0 % (68.0–75.0)" in text
    assert "MobileNetV3-Small 1.0 (6 MMACs) 66.0 %" in text
    assert text.endswith("largest network (95 %: +2.0 to +14.0).") and "The budget matters" in text
    assert "clearly better" not in text
    assert "Alone it is clearly better: train longer" in told(task(plain=[network(83, 3e6)]))
    assert "hardly matters on this task, as far as 300 test images can tell" in told(task(noise=True))
    assert told(task()).startswith("Networks of this bundle know from 70.0 % of 300 test images")


def test_the_page_escapes_names_and_loads_nothing():
    text = page()
    assert "class 0 &lt;i&gt;" in text and "<i>" not in text and "ash/&lt;b&gt;very" in text
    assert "A note &amp; more" in text and "<script" not in text and 'src="http' not in text
    assert text.count(PIXEL) == 5 and "taken for <b>beech</b>" in text


def test_a_matrix_shows_every_count_or_nothing():
    assert matrix(["a", "b"], [[5, 0], [2, 3]]).count("<rect") == 4
    assert "a taken for a: 5 images" in matrix(["a", "b"], [[5, 0], [2, 3]])
    assert matrix([str(n) for n in range(25)], [[1] * 25] * 25) is None
    assert "Confusion matrix" not in page(25)


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("count", [2, 24, 60])
def test_a_browser_shows_it_without_scrolling_sideways(browser, tmp_path, width, count):  # noqa: F811
    plain = [network(72, 3.1e6, "mbv3:r48:d=3,3,3,3:ks=" + "7," * 30), network(66, 6e6, "MobileNetV3-Small 1.0")]
    (tmp_path / "page.html").write_text(page(count, plain=plain), "utf-8")
    shown = browser.new_page(viewport={"width": width, "height": 800})
    problems = []
    shown.on("console", lambda message: problems.append(message.text))
    shown.goto((tmp_path / "page.html").as_uri())
    assert shown.evaluate("document.documentElement.scrollWidth") <= width and not problems
    shown.close()
