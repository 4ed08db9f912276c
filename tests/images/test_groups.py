import pytest

from nagsdk.errors import UsageError
from nagsdk.images import groups
from nagsdk.images.groups import check_pattern, groups_of


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (r"p\d+", ["p1", "p1", "p22", None]),
        (r"(p\d+)_(\w)", ["p1\0a", "p1\0b", "p22\0a", None]),
        (r"(?:p(\d+))?", ["1", "1", "22", None]),
        (r"^[^/]+/", [None, None, None, "left/"]),
        ("é", [None, None, None, "é"]),
    ],
)
def test_a_group_is_what_the_pattern_finds(pattern, found):
    assert groups_of(pattern, ["p1_a.png", "p1_b.png", "p22_a.png", "left/é.png"]) == found


def test_names_that_are_not_utf8_are_searched():
    assert groups_of(".", ["\udce9.png", "a.png"]) == ["\udce9", "a"]


@pytest.mark.parametrize("pattern", ["(", "[a", "(?P<1>a)", "a" * 1001, "a\nb", "*", "(?i", "a{99999999999}"])
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(UsageError, match="is not a pattern"):
        check_pattern(pattern)


@pytest.mark.parametrize("pattern", ["z", "", "x*", "()"])
def test_a_pattern_that_finds_nothing_is_refused(pattern):
    check_pattern(pattern)
    with pytest.raises(UsageError, match="is found in no name, such as a.png"):
        groups_of(pattern, ["a.png", "b.png"])


def test_a_pattern_that_takes_for_ever_is_refused(monkeypatch):
    monkeypatch.setattr(groups, "_MOST_SECONDS", 1.0)
    with pytest.raises(UsageError, match="nested repetitions"):
        groups_of("(a+)+b", ["a" * 200])
