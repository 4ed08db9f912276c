import json

import pytest

from nagsdk.bundle.names import usual_bundle
from nagsdk.common import config
from nagsdk.errors import UnknownNameError, UsageError


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    for setting in config.SETTINGS.values():
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.setenv(config.FILE_VARIABLE, str(path))
    path.touch()
    return path


def test_the_variable_goes_before_the_file_and_the_file_before_the_default(file, monkeypatch):
    assert config.look_up("bundle").origin == "default" and config.value("bundle") == usual_bundle()
    file.write_text('bundle = "imagenet"\ndisable_plugins = ["cuda", "android"]\nplugin_timeout_s = 3\n')
    told = config.look_up("bundle")
    assert (told.value, told.origin, told.where) == ("imagenet", "file", str(file))
    assert config.value("disable_plugins") == ("cuda", "android") and config.value("plugin_timeout_s") == 3.0
    monkeypatch.setenv("NAGSDK_BUNDLE", "mine")
    monkeypatch.setenv("NAGSDK_DISABLE_PLUGINS", "litert, ")
    told = config.look_up("bundle")
    assert (told.value, told.origin, told.where) == ("mine", "environment", "NAGSDK_BUNDLE")
    assert config.value("disable_plugins") == ("litert",)


def test_folders_in_the_file_are_meant_from_the_file(file, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/of/someone")
    file.write_text('cache_dir = "cache"\ndata_dir = "~/data"\n')
    assert config.value("cache_dir") == tmp_path / "cache"
    assert str(config.value("data_dir")) == "/home/of/someone/data"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bundle = 3", "is not a valid value of the setting bundle"),
        ("disable_plugins = 3", "is not a valid value of the setting disable_plugins"),
        ("plugin_timeout_s = 0", "from 0.1 to 600"),
        ("plugin_timeout_s = true", "from 0.1 to 600"),
        ("offline = 2", "true or false in the file"),
        ("bundel = 'x'", "Did you mean bundle"),
        ("bundle = ", "not a readable TOML"),
        ("#" * 70_000, "larger than"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_what_is_legal(file, text, says):
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        for name in config.SETTINGS:
            config.value(name)
    assert says in str(caught.value) and str(file) in str(caught.value)


def test_a_file_that_was_named_must_be_there(file):
    file.unlink()
    with pytest.raises(UsageError, match="NAGSDK_CONFIG names"):
        config.value("bundle")


def test_unknown_settings_are_usage(file):
    file.write_text("x = 1")
    with pytest.raises(UnknownNameError):
        config.value("bundle")


def test_the_command_shows_every_value_with_its_origin(file, monkeypatch):
    from click.testing import CliRunner

    from nagsdk.cli import cli

    file.write_text('device = "cpu"\n')
    monkeypatch.setenv("NAGSDK_BUNDLE", "imagenet")
    shown = json.loads(CliRunner().invoke(cli, ["config", "--json"]).stdout)
    origins = {v["name"]: (v["value"], v["origin"], v["where"]) for v in shown["settings"]}
    assert origins["device"] == ("cpu", "file", str(file)) and origins["bundle"] == (
        "imagenet",
        "environment",
        "NAGSDK_BUNDLE",
    )
    assert origins["plugin_timeout_s"] == (10.0, "default", "") and set(origins) == set(config.SETTINGS)
    text = CliRunner().invoke(cli, ["config"]).stdout
    assert "NAGSDK_BUNDLE" in text and str(file) in text
    listed = CliRunner().invoke(cli, ["config", "--help"]).stdout
    assert all(s.name in listed and s.variable in listed for s in config.SETTINGS.values())


def test_options_take_their_default_from_the_settings(file):
    from click.testing import CliRunner

    from nagsdk.cli import cli

    missing = CliRunner().invoke(cli, ["generate", "--budget", "2MMACs"])
    assert missing.exit_code == 2 and "--device" in missing.output
    file.write_text('device = "x86"\nbundle = "imagenet"\n')
    done = CliRunner().invoke(cli, ["generate", "--budget", "300MMACs", "--json"])
    result = json.loads(done.stdout)
    assert (result["device"], result["bundle"]) == ("cpu", "imagenet")
    result = json.loads(
        CliRunner().invoke(cli, ["generate", "--budget", "2MMACs", "--bundle", "glyphs", "--json"]).stdout
    )
    assert result["bundle"] == "glyphs"
