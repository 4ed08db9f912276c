from types import SimpleNamespace

import pytest

from nagsdk.errors import UsageError
from nagsdk.reports.calibration import draw
from nagsdk.reports.picture import check
from tests.worlds import World


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_a_picture_shows_every_sample(tmp_path, tiny_space, suffix):
    pytest.importorskip("matplotlib")
    model = World(tiny_space).model(12)
    path = tmp_path / "deep" / f"picture{suffix}"
    check(path)
    draw(SimpleNamespace(model=model), "A device, a bundle", path)
    first = path.read_bytes()
    assert len(first) > 4000
    if suffix == ".svg":
        assert first.count(b"<use") > 12


def test_a_picture_of_no_known_format_is_refused(tmp_path):
    with pytest.raises(UsageError, match="format for pictures"):
        check(tmp_path / "picture.doc")
