"""The pictures of the documentation show what nagsdk answers now, and can be shown everywhere."""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import nagsdk
from tests.conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "recipes"))

import pictures

DOCS = REPOSITORY / "docs"
SHOWN = sorted((DOCS / "pictures").glob("*.svg"))
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.glob("*.md"))]
MOST_BYTES = 150_000
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def differences(old, new, share=0.02):
    """Whether two texts differ by more than numbers that another kind of processor rounds differently."""
    if NUMBER.split(old) != NUMBER.split(new):
        return ["the words differ"]
    pairs = [(float(a), float(b)) for a, b in zip(NUMBER.findall(old), NUMBER.findall(new), strict=True)]
    return [(a, b) for a, b in pairs if abs(a - b) > share * max(a, b, 5.0)]


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.stem)
def test_a_picture_is_small_loads_nothing_and_is_shown(path):
    text = path.read_text("utf-8")
    assert ElementTree.fromstring(text).tag.endswith("svg") and len(text.encode()) < MOST_BYTES
    assert re.findall(r"https?://[^\"\s)]+", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|@import|@font-face|<image|url\([^#]", text)
    # Nothing of the machine on which it was made.
    assert str(Path.home()) not in text and str(REPOSITORY) not in text
    assert any(f"pictures/{path.name})" in page.read_text("utf-8") for page in PAGES), "no page shows it"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_picture_of_a_page_is_there_and_described(page):
    for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text("utf-8")):
        assert (page.parent / target).is_file() and len(alt.split()) >= 4, target


def test_the_gallery_has_every_device_that_is_predicted_before_a_calibration():
    text = (DOCS / "gallery.md").read_text("utf-8")
    shown = re.findall(r"^## .+ \{ #([\w-]+) \}$", text, re.MULTILINE)
    assert shown == [*(device.id for device in pictures.predicted_devices()), "published"]
    assert {"cpu", "note10", "pixel-1", "pixel-1-2019", "pixel-9-pro"} < set(shown) and "pixel" not in shown


def test_what_readme_and_gallery_show_for_a_phone_is_what_is_answered():
    text = (DOCS / "gallery.md").read_text("utf-8")
    section = text[text.index(f"{{ #{pictures.PHONE} }}") :]
    (result,) = nagsdk.generate(pictures.PHONE, "8ms", bundle=pictures.BUNDLE)
    p = result.predicted
    row = next(line for line in section.splitlines() if line.startswith("| 8 ms"))
    shown = [float(number) for number in NUMBER.findall(row)]
    asked = [8, p.latency_ms, p.latency_upper_ms, p.top1, p.top1_low, p.top1_high, result.resolution]
    assert shown[:7] == pytest.approx(asked, rel=0.005), "run: python recipes/pictures.py"
    assert f"chosen: {p.top1:.1f} %" in (DOCS / "pictures/frontier.svg").read_text("utf-8")


def test_the_prior_of_2019_agrees_with_what_was_published_for_networks_that_it_was_not_fitted_to():
    large = {"mobilenet_v3_large": 51.0, "mobilenet_v3_large_075": 39.0}
    for prediction in nagsdk.predict_networks(list(large), pictures.PHONE_2019):
        assert prediction.latency_ms == pytest.approx(large[prediction.network], rel=0.09)


@pytest.mark.nightly
def test_charts_and_gallery_are_up_to_date():
    for name, content in pictures.made().items():
        assert differences((DOCS / name).read_text("utf-8"), content) == [], f"{name}: run python recipes/pictures.py"


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_recordings_are_up_to_date():
    import recordings

    def words(text):
        # Hashes of a file differ with the processor that rounded its weights.
        return re.sub(r"[0-9a-f]{16}…", "…", text)

    for name, content in recordings.made().items():
        old = (DOCS / "pictures" / name).read_text("utf-8")
        assert differences(words(old), words(content)) == [], f"{name}: run python recipes/recordings.py"


def test_the_picture_of_break_even_is_up_to_date():
    import break_even

    old = (DOCS / "pictures" / "break-even.svg").read_text("utf-8")
    assert differences(old, break_even.drawn()) == [], "run python recipes/break_even.py"
