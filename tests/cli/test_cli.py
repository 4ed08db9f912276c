import itertools
import json
import os
import re
import shlex
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

import nagsdk
from nagsdk.cli import COMMANDS, cli


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "nagsdk", *arguments], capture_output=True, text=True, check=False, **options
    )


def test_help_imports_nothing_heavy():
    script = (
        "import sys\nfrom nagsdk.cli import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "names = {'torch', 'numpy', 'onnx', 'onnxruntime', 'pydantic', 'rich', 'scipy', 'psutil', 'cpuinfo'}\n"
        "heavy = (names | {'nagsdk_onnxruntime'}) & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("encoding", ["cp932", "cp932:surrogateescape", "cp437", "utf-8"])
def test_an_encoding_that_lacks_a_character_ends_no_command(encoding):
    """As on Windows, where pipes have encodings of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "nagsdk", "generate", "--device", "pixel", "--budget", "12ms"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    shown = done.stdout.decode(encoding.partition(":")[0])
    assert done.returncode == 0 and re.search(r"top-1 \d+\.\d\d % \(\d+\.\d\d[–?]\d+\.\d\d\)", shown), done.stderr
    assert ("–" in shown) == (encoding == "utf-8")


@pytest.mark.parametrize("encoding", ["cp932", "cp1252", "ascii", "ascii:surrogateescape"])
def test_neither_errors_nor_json_need_more_than_the_encoding_has(encoding):
    """The message has an ellipsis, and the bundle's description may have anything."""
    command = (
        "import sys; sys.stderr.reconfigure(errors='strict'); from nagsdk.cli import main; sys.argv[1:] = {}; main()"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}

    def run(*arguments):
        code = command.format(list(arguments))
        return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=environment)

    ones = ",".join("3" * 10)
    arch = f"mbv3:r224:d=2,2,2,2,2:ks={ones}:e={ones}"
    failed = run("predict", "--bundle", "imagenet", "--arch", "mbv3:é…–ﬁ")
    assert failed.returncode == 2 and b"The form is mbv3:" in failed.stderr and b"Traceback" not in failed.stderr
    answered = run("predict", "--bundle", "imagenet", "--arch", arch, "--json")
    assert answered.returncode == 0, answered.stderr
    assert json.loads(answered.stdout.decode("ascii"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name):
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0 and "Usage" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("deploy", "--device", "cpu", "--budget", "80"), 2, "80ms"),
        (("deploy", "--device", "cpu", "--budget", "80 parsecs"), 2, "parsecs"),
        (("deploy", "--device", "cpu", "--budget", "-3ms"), 2, "from 1e-12"),
        (("deploy", "--device", "cpv", "--budget", "1ms"), 2, "Did you mean cpu"),
        (("deploy", "--device", "cpu", "--budget", "1ms", "--bundle", "glyph"), 2, "Did you mean glyphs"),
        (("deploy", "--device", "cpu", "--budget", "20ms", "--bundle", "imagenet"), 5, "nagsdk bundle pull imagenet"),
        (("generate", "--device", "cpu", "--budget", "0.001ms", "--bundle", "imagenet"), 3, "the cheapest needs"),
        (("generate", "--device", "cpu", "--budget", "1kMACs"), 3, "the cheapest needs"),
        (("generate", "--device", "cpu"), 2, "--budgets"),
        (("generate", "--device", "cpu", "--min-top1", "90", "--budgets", "1ms,2ms"), 2, "--min-top1"),
        (("generate", "--device", "cpu", "--min-top1", "99.9"), 3, "the best found reaches"),
        (("generate", "--device", "cpu", "--budget", "1ms", "--strategy", "naag"), 2, "Did you mean nag"),
        (("generate", "--device", "cpu", "--budget", "1MMACs", "--budget", "1kB"), 3, "the cheapest needs"),
        (("generator", "train"), 2, "--output"),
        (("predict", "--arch", "mbv3:r7:d=1,1,1,1:ks=3,3,3,3:e=2,2,2,2"), 2, "Legal resolutions"),
        (("predict", "--archs", "/no/such/file.csv"), 2, "does not exist"),
        (("bundle", "import-ofa", "/no/such/file"), 5, "is not a file"),
        (("bundle", "pull", "glyphs"), 5, "ships its weights"),
        (("export", "--device", "cpu", "--arch", "x", "--output", "o"), 2, "mbv3:r"),
        (("android", "setup", "--from", "/no/such/file"), 4, "is not a file"),
        (("android", "setup", "--from", __file__), 4, "not a program that a phone can run"),
        (("nonsense",), 2, "No such command"),
        (("deplo",), 2, "Did you mean deploy?"),
        (("deploy", "--budget", "1ms"), 2, "NAGSDK_DEVICE"),
        (("generate", "--budget", "1ms"), 2, "Missing option '--device'. `nagsdk devices`"),
        (("deploy", "--device", "cpu", "--budget", "1ms", "--precision", "int3"), 2, "Use fp32"),
        (("deploy", "--device", "cpu", "--budget", "1ms", "--batch", "0"), 2, "--batch"),
        (("deploy", "--device", "cpu", "--device", "x86", "--budget", "1ms"), 2, "--device was given 2 times"),
        (("frontier", "--device", "cpu", "--bundle", "glyphs", "--bundle", "x"), 2, "--bundle was given 2 times"),
        (("bundle", "pull", "glyphs", "--from", "a", "--from", "b"), 2, "--from was given 2 times"),
        (("deploy", "--device", "cpu", "--budgets", "1ms", "--budget", "2ms"), 2, "either --budget or --budgets"),
        (("deploy", "--device", "cpu", "--budget", "1ms", "--output", f"{__file__}/out"), 2, "cannot be written"),
    ],
)
def test_bad_input_ends_with_its_code_and_a_next_step(arguments, code, says):
    done = run(*arguments)
    assert done.returncode == code, done.stderr
    assert says in done.stderr and done.stdout == ""
    assert "Traceback" not in done.stderr


def test_devices_bundles_and_plugins_tell_in_json_what_they_show():
    (device,) = [d for d in json.loads(run("devices", "--json").stdout) if d["id"] == "cpu"]
    assert device["available"] and "onnxruntime" in device["properties"]["runtime"]
    bundles = {b["name"]: b for b in json.loads(run("bundle", "list", "--json").stdout)}
    assert bundles["glyphs"]["weights"] and bundles["glyphs"]["images"] and not bundles["imagenet"]["weights"]
    assert {p["name"]: p["state"] for p in json.loads(run("plugins", "--json").stdout)} == dict.fromkeys(
        ("android", "cuda", "litert", "onnxruntime", "openvino", "searches", "vela"), "loaded"
    )
    assert "glyphs" in run("bundle", "list").stdout and "loaded" in run("plugins").stdout


def test_limits_together_and_devices_apart():
    (together,) = [
        json.loads(run("generate", "--device", "cpu", "--budget", "2MMACs", "--budget", "400kB", "--json").stdout)
    ]
    assert together["macs"] <= 2e6 and [b["metric"] for b in together["budgets"]] == ["macs", "size"]
    apart = json.loads(
        run("generate", "--device", "cpu", "--device", "pixel-1", "--per-device", "--budget", "2MMACs", "--json").stdout
    )
    assert len(apart) == 2 and apart[0]["macs"] == apart[1]["macs"]


def test_one_budget_without_an_answer_does_not_cost_the_others():
    done = run("generate", "--device", "cpu", "--budgets", "1kMACs,2MMACs,3MMACs", "--json")
    assert done.returncode == 3
    assert [result["budget"]["limit"] for result in json.loads(done.stdout)] == [2e6, 3e6]
    assert "1 of 3 budgets have no answer" in done.stderr and "the cheapest needs" in done.stderr
    none = run("generate", "--device", "cpu", "--budgets", "1kMACs,2kMACs", "--json")
    assert none.returncode == 3 and none.stdout == "" and "2 of 2 budgets" in none.stderr


@pytest.mark.parametrize(("points", "shown"), [(60, 20), (5, 5)])
def test_a_frontier_shows_some_budgets_and_says_how_to_get_all(points, shown):
    asked = ("frontier", "--device", "cpu", "--metric", "macs", "--strategy", "lookup", "--points", str(points))
    head, *rows, empty, note = run(*asked).stdout.splitlines()
    assert re.split("  +", head) == ["budget in MMACs", "lookup: macs", "lookup: top-1"] and not empty
    every = json.loads(run(*asked, "--json").stdout)
    assert len(rows) == shown and len(every) == points
    budgets = [float(row.split()[0]) for row in rows]
    assert budgets == sorted(budgets)
    assert budgets[0] == pytest.approx(every[0]["limit"] / 1e6, rel=1e-3)
    assert budgets[-1] == pytest.approx(every[-1]["limit"] / 1e6, rel=1e-3)
    assert all(float(row.split()[1]) <= float(row.split()[0]) for row in rows)
    assert ("all budgets" if points == shown else f"{shown} of {points} budgets") in note and "--json" in note


def test_a_device_may_be_the_file_of_a_description(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('id = "mine"\ntitle = "Mine"\nbackend = "onnxruntime"\nprior = "cpu-prior.json"\n')
    done = run(
        "predict",
        "--device",
        str(path),
        "--bundle",
        "glyphs",
        "--arch",
        "mbv3:r32:d=1,1,1,1:ks=3,3,3,3:e=2,2,2,2",
        "--json",
    )
    (result,) = json.loads(done.stdout)
    assert result["device"] == "mine" and result["predicted"]["latency_ms"] > 0
    assert run("predict", "--device", str(tmp_path / "none.toml"), "--arch", "x").returncode == 4


def test_a_disabled_plugin_takes_its_devices_along():
    import os

    done = run(
        "generate", "--device", "cpu", "--budget", "1ms", env={**os.environ, "NAGSDK_DISABLE_PLUGINS": "onnxruntime"}
    )
    assert done.returncode == 4 and "NAGSDK_DISABLE_PLUGINS" in done.stderr


def commands(path, command):
    if isinstance(command, click.Group):
        for name in command.list_commands(None):
            yield from commands((*path, name), command.get_command(None, name))
    else:
        yield path, command


LEAVES = {" ".join(path): command for path, command in commands((), cli)}


def test_help_fits_into_80_columns_without_broken_words():
    def groups(path, command):
        yield path
        if isinstance(command, click.Group):
            for name in command.list_commands(None):
                yield from groups((*path, name), command.get_command(None, name))

    for path in groups((), cli):
        lines = CliRunner().invoke(cli, [*path, "--help"], terminal_width=80, prog_name="nagsdk").output.splitlines()
        assert lines[0].startswith(f"Usage: {' '.join(('nagsdk', *path))} ") and len(lines) > 5
        # A summary that is too long for the list of a group's commands ends in dots.
        wrong = [x for x in lines[1:] if len(x) > 80 or x.endswith("-") or (x.endswith("...") and "=" not in x)]
        assert not wrong, (path, wrong)


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_has_examples_that_it_understands(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.csv").touch()
    for folder in ("photos", "deployments/small", "deployments/large", "app/src/main/assets/ml"):
        (tmp_path / folder).mkdir(parents=True)
    shown = CliRunner().invoke(cli, [*name.split(), "--help"]).output
    lines = shown.partition("Examples:")[2].replace("\\\n", " ").splitlines()
    examples = [line.strip() for line in lines if line.strip()]
    assert examples
    for example in examples:
        words = shlex.split(example.replace('"$(', "").replace(')"', ""), comments=True)
        start = words.index("nagsdk") + 1
        assert words[start : start + len(name.split())] == name.split() or name == "plugins"
        arguments = list(itertools.takewhile(lambda w: w != ">", words[start + len(name.split()) :]))
        LEAVES[name].make_context(name, arguments)


def test_completion_scripts_and_what_they_complete(own_folders):
    import os

    for shell in ("zsh", "fish", "bash"):
        done = run("completion", shell)
        assert "_NAGSDK_COMPLETE" in done.stdout and done.returncode == 0, done.stderr
    assert run("completion", "tcsh").returncode == 2

    def complete(*words, **environment):
        settings = {
            "_NAGSDK_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
        }
        script = "import sys; sys.argv[0] = 'nagsdk'; from nagsdk.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **settings, **environment},
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert complete("nagsdk", "de") == ["deploy", "devices"]
    assert complete("nagsdk", "deploy", "--device", "pixel-") == [
        "pixel-1", "pixel-1-2019", "pixel-2", "pixel-2-2019", "pixel-3-2019", "pixel-3a", "pixel-4", "pixel-6",
        "pixel-9-pro",
    ]  # fmt: skip
    assert complete("nagsdk", "deploy", "--bundle", "g") == ["glyphs"]
    assert complete("nagsdk", "generate", "--strategy", "lo") == ["lookup"]
    (own_folders / "config.toml").write_text("broken")
    assert complete("nagsdk", "deploy", "--device", "pixel-") == []


def test_the_version_is_told():
    assert run("--version").stdout.strip() == f"nagsdk, version {nagsdk.__version__}"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no current folder")
def test_a_removed_current_folder_is_told(tmp_path):
    """Libraries would end the process in their imports, in words of their own."""
    (tmp_path / "gone").mkdir()
    command = [*shlex.split('sh -c \'rmdir "$PWD" && exec "$@"\' sh'), sys.executable, "-m", "nagsdk", "devices"]
    ended = subprocess.run(command, cwd=tmp_path / "gone", capture_output=True, text=True)
    assert ended.returncode == 2 and "Error: The current folder cannot be read, or was removed." in ended.stderr
    assert "Change to another folder." in ended.stderr
