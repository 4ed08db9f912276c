"""What is imported when nagsdk starts: nothing that the answer does not need."""

import os
import subprocess
import sys

import pytest

GENERATE = ["generate", "--device", "pixel-1", "--bundle", "imagenet", "--budget", "80ms", "--json"]
PREDICT = [
    "predict",
    "--device",
    "note10",
    "--bundle",
    "glyphs",
    "--arch",
    "mbv3:r32:d=1,1,1,1:ks=3,3,3,3:e=2,2,2,2",
    "--json",
]
HEAVY = {
    "torch",
    "onnx",
    "onnxruntime",
    "scipy",
    "rich",
    "httpx",
    "jinja2",
    "matplotlib",
    "PIL",
    "pymoo",
    "openvino",
    "ethosu",
    "ai_edge_litert",
}
# Of measuring, keeping, locking and calibrating; of validating what does not ship; of exporting.
UNUSED = {"sqlite3", "filelock", "pydantic", "concurrent.futures.thread", "nagsdk.graph.ir"}


def imported(script, **environment):
    """The modules that a fresh interpreter has imported after a script."""
    code = f"import sys\n{script}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return set(done.stderr.split())


def command(*arguments):
    run = f"cli.main({list(arguments)!r}, standalone_mode=False)"
    return f"from nagsdk.cli import cli\ntry: {run}\nexcept SystemExit: pass"


def test_the_package_alone_imports_nothing():
    assert not imported("import nagsdk") & (HEAVY | UNUSED | {"numpy", "click"})


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["deploy", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    assert not imported(command(*arguments)) & (HEAVY | UNUSED | {"numpy"})


@pytest.mark.parametrize("arguments", [GENERATE, PREDICT])
def test_an_answer_by_inference_imports_what_it_needs_and_no_more(arguments):
    found = imported(command(*arguments))
    assert "numpy" in found and not found & (HEAVY | UNUSED)
