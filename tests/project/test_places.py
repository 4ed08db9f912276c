"""A project file of a stranger names folders: whatever it says, they lie below it, on every system."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nagsdk.errors import UsageError
from nagsdk.project.inputs import inputs_of
from nagsdk.project.places import local, output_below
from nagsdk.project.toml import read_project

ONE = '[deployments.a]\ndevice = "cpu"\nbudget = "1ms"\n'
FORBIDDEN = [
    "/", "/etc", "//server/share/x", "\\\\server\\share", "\\x", "C:\\x", "C:x", "c:/x", ".", "..", "a/..", "a/../..",
    "../x", "a/../../x", "..\\x", ".git", ".git/hooks", ".GIT/hooks", "a/.github/workflows", "a\\.git", ".ssh",
    "~/.ssh", "a/\u200c.git", "a\x1b[2J", "a\nb", "a\0b", "a/con", "Aux.txt", "com1", "LPT9.onnx", "a.", "a /b", "a:b",
    "a?", "a*b", "x" * 256, "日" * 86,
]  # fmt: skip


@pytest.mark.parametrize("text", FORBIDDEN)
def test_an_output_elsewhere_or_of_a_strange_name_is_refused(tmp_path, text):
    (tmp_path / "project").mkdir()
    with pytest.raises(ValueError, match="the output "):
        output_below((tmp_path / "project").resolve(), text)
    assert [p.name for p in tmp_path.rglob("*")] == ["project"]


@pytest.mark.parametrize(
    ("text", "below"),
    [("a", "a"), ("a/b/", "a/b"), ("./a", "a"), ("a/../b", "b"), ("app/src/main/assets/ml", "app/src/main/assets/ml"),
     ("a.b-c_d", "a.b-c_d"), ("日本 x", "日本 x"), ("console", "console"), ("comma", "comma")],
)  # fmt: skip
def test_an_output_below_the_project_is_taken(tmp_path, text, below):
    assert output_below(tmp_path.resolve(), text) == tmp_path.resolve() / below


@settings(deadline=None)
@given(st.text(st.sampled_from("ab./\\~: .C\u200c"), max_size=12) | st.text(max_size=12))
@example("a\\..\\..\\x")
def test_every_output_lies_below_the_project_or_is_refused(text):
    with tempfile.TemporaryDirectory() as name:
        project = Path(name).resolve() / "project"
        project.mkdir()
        try:
            found = output_below(project, text)
        except ValueError:
            return
        parts = found.relative_to(project).parts
        assert parts and not any(part.startswith(".") or part[-1] in ". " for part in parts)


@pytest.mark.parametrize("aim", ["outside", "project", "project/.git", "nowhere"])
def test_a_link_leads_nowhere_else(tmp_path, aim):
    project = tmp_path.resolve() / "project"
    for folder in (project / ".git", tmp_path / "outside"):
        folder.mkdir(parents=True)
    (project / "assets").symlink_to(tmp_path / aim)
    for text in ("assets", "assets/ml", "assets/../x/../assets/ml"):
        if (aim, text) == ("project", "assets/ml"):
            assert output_below(project, text) == project / "ml"
        elif aim != "project" or text == "assets":
            with pytest.raises(ValueError, match="must"):
                output_below(project, text)


def test_a_circle_of_links_is_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match="not a usable path"):
        output_below(tmp_path.resolve(), "a/ml")


@pytest.mark.parametrize("path", ["//server/share/x", "\\\\server\\share\\x", "\\\\.\\COM1", "a\0b"])
def test_other_machines_are_not_asked(path):
    with pytest.raises(ValueError, match="this machine"):
        local(path)


def test_paths_to_read_may_lie_anywhere_on_this_machine():
    for path in ("photos", "../photos", "/data/photos", "C:\\photos", "glyphs"):
        assert local(path) == path


@pytest.mark.parametrize(
    "line",
    ['output = "../x"', 'bundle = "//server/share/b"', 'images = "//server/share/p"',
     'device = "//server/share/d.toml"',
     'device = "attacker.example:5555"', 'device = "localhost:5555"'],
)  # fmt: skip
def test_a_project_file_that_leads_elsewhere_is_refused(tmp_path, line):
    text = ONE.replace('device = "cpu"\n', "") if line.startswith("device") else ONE
    (tmp_path / "nagsdk.toml").write_text(text + line)
    with pytest.raises(UsageError, match=r"nagsdk\.toml is not valid"):
        read_project(tmp_path / "nagsdk.toml")


def test_a_mirror_on_another_machine_needs_http(tmp_path):
    (tmp_path / "nagsdk.toml").write_text(f'mirror = "//server/share"\n{ONE}')
    with pytest.raises(UsageError, match="mirror"):
        read_project(tmp_path / "nagsdk.toml")


def test_a_project_does_not_choose_which_phone_is_called(tmp_path):
    (tmp_path / "phone.toml").write_text(
        'id = "phone"\ntitle = "A phone"\nbackend = "android"\n[options]\nserial = "attacker.example:5555"\n'
    )
    (tmp_path / "nagsdk.toml").write_text(ONE.replace("cpu", "phone.toml"))
    (declared,) = read_project(tmp_path / "nagsdk.toml").deployments
    with pytest.raises(UsageError, match="ANDROID_SERIAL"):
        inputs_of(declared)
