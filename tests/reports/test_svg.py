from nagsdk.reports.svg import Plot


def test_a_limit_outside_the_field_is_an_arrow_and_no_line_at_a_wrong_place():
    plot = Plot((0.0, 0.3), (90.0, 97.0))
    inside, outside = "".join(plot.limit(0.2, "0.2 ms", "#000")), "".join(plot.limit(0.4, "0.4 ms", "#000"))
    assert "<line" in inside and "→" not in inside
    assert "<line" not in outside and "0.4 ms →" in outside
    assert "← 0 ms" in "".join(Plot((0.1, 0.3), (90.0, 97.0)).limit(0.0, "0 ms", "#000"))
