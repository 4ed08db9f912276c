import re

from nagsdk.reports.figures import _best
from nagsdk.reports.svg import TOP, Plot


def test_a_limit_outside_the_field_is_an_arrow_and_no_line_at_a_wrong_place():
    plot = Plot((0.0, 0.3), (90.0, 97.0))
    inside, outside = "".join(plot.limit(0.2, "0.2 ms", "#000")), "".join(plot.limit(0.4, "0.4 ms", "#000"))
    assert "<line" in inside and "→" not in inside
    assert "<line" not in outside and "0.4 ms →" in outside
    assert "← 0 ms" in "".join(Plot((0.1, 0.3), (90.0, 97.0)).limit(0.0, "0 ms", "#000"))


def test_titles_of_limits_lie_above_the_area_one_in_each_row():
    plot = Plot((0.0, 1.0), (0.0, 1.0), titles=3)
    at = [
        float(re.search(r'<text x="[^"]+" y="([^"]+)"', "".join(plot.limit(x, "t", "#000", row)))[1])
        for row, x in enumerate((0.5, 0.51, 2.0))
    ]
    assert at == sorted(set(at)) and max(at) < plot.top == plot.at_y(1.0)
    assert plot.height - Plot((0.0, 1.0), (0.0, 1.0)).height == plot.top - TOP


def test_the_line_passes_through_the_best_point_that_is_known():
    assert _best([(1.0, 90.0), (2.0, 92.0), (1.5, 93.0), (3.0, 94.0)]) == ([1.0, 1.5, 3.0], [90.0, 93.0, 94.0])
