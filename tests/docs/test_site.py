"""The site of the documentation in a real browser: nothing is cut off, and nothing is loaded from elsewhere.

Needs what `make docs` installs, playwright and Chromium.
"""

import functools
import http.server
import importlib.util
import subprocess
import sys
import threading

import pytest

from tests.browser import browser  # noqa: F401 — a fixture
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.documented
# What reaches beyond the screen, unless it lies in something that scrolls; pictures that are not there; titles.
LOOK = """() => {
    const width = document.documentElement.clientWidth;
    const scrolls = (element) => {
        for (let outer = element.parentElement; outer && outer !== document.body; outer = outer.parentElement)
            if (getComputedStyle(outer).overflowX !== "visible" && outer.getBoundingClientRect().right <= width + 1)
                return true;
        return false;
    };
    const wide = [...document.querySelectorAll(".md-content *")].filter((element) => {
        const box = element.getBoundingClientRect();
        return box.width && box.right > width + 1 && !scrolls(element);
    });
    return {
        beyond: document.documentElement.scrollWidth - width,
        wide: wide.slice(0, 3).map((element) => element.outerHTML.slice(0, 80)),
        missing: [...document.images].filter((image) => !image.naturalWidth).map((image) => image.src),
        silent: [...document.querySelectorAll(".md-content img")].filter((image) => !image.alt).map((i) => i.src),
        titles: document.querySelectorAll(".md-content h1").length,
    };
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Address and pages of the site."""
    if importlib.util.find_spec("material") is None:
        pytest.skip("MkDocs Material is not installed: `make docs` installs it")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield (
        f"http://127.0.0.1:{server.server_port}/",
        sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html")),
    )
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("width", [360, 1280])
def test_every_page_fits_and_loads_nothing_from_elsewhere(site, browser, width):  # noqa: F811 — the fixture
    address, pages = site
    assert len(pages) > 30
    page, outside, said = browser.new_page(viewport={"width": width, "height": 800}), [], []
    page.on("request", lambda request: outside.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    for name in pages:
        page.goto(f"{address}{name}")
        found = page.evaluate(LOOK)
        expected = {"beyond": 0, "wide": [], "missing": [], "silent": [], "titles": 1}
        assert found == expected, name
    page.close()
    assert [url for url in outside if not url.startswith((address, "data:", "blob:"))] == [] and said == []
