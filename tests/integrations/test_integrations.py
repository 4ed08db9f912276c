"""Tests the files in `integrations/`."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nagsdk.budget import Budget
from nagsdk.errors import UsageError
from nagsdk.graph.parity import probe_image
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.manifest.app_probe import read_probe
from nagsdk.pipeline.app_evidence import judged, require_same_model
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "integrations"
STAND_IN = """#!{python}
import json, pathlib, sys
pathlib.Path(__file__).with_name("calls").open("a").write(json.dumps(sys.argv[1:]) + "\\n")
folder = pathlib.Path(sys.argv[sys.argv.index("--project") + 1]).parent
output = folder / "src/main/assets/ml/a/model.onnx"
if not output.exists():
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("model")
sys.exit(7 if (folder / "broken").exists() else 0)
"""


@pytest.fixture
def program(tmp_path):
    """A program in place of nagsdk that records its arguments."""
    path = tmp_path / "bin/nagsdk"
    path.parent.mkdir()
    path.write_text(STAND_IN.format(python=sys.executable))
    path.chmod(0o755)
    return path


def _calls(program):
    return (
        [json.loads(line) for line in program.with_name("calls").read_text().splitlines()]
        if program.with_name("calls").exists()
        else []
    )


def _tool(name):
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def test_cmake_builds_the_models_in_every_build(program, tmp_path):
    cmake, source = _tool("cmake"), tmp_path / "source"
    source.mkdir()
    (source / "nagsdk.toml").write_text("")
    (source / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(app NONE)\n"
        f'list(APPEND CMAKE_MODULE_PATH "{FOLDER}/cmake")\ninclude(Nagsdk)\n'
        "nagsdk_build(models PROJECT ${CMAKE_CURRENT_SOURCE_DIR}/nagsdk.toml LOCKED REQUIRE_VERIFIED)\n"
        "add_custom_target(app ALL COMMAND ${CMAKE_COMMAND} -E copy "
        "${CMAKE_CURRENT_SOURCE_DIR}/src/main/assets/ml/a/model.onnx copied)\n"
        "add_dependencies(app models)\n"
    )
    build = tmp_path / "build"
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        [cmake, "-S", source, "-B", build], check=True, capture_output=True, env={**os.environ, "PATH": path}
    )
    for _ in range(2):
        subprocess.run([cmake, "--build", build], check=True, capture_output=True)
    assert (build / "copied").read_text() == "model"
    assert (
        _calls(program) == [["build", "--project", str(source / "nagsdk.toml"), "--locked", "--require-verified"]] * 2
    )
    (source / "broken").touch()
    assert subprocess.run([cmake, "--build", build], check=False, capture_output=True).returncode != 0


def test_cmake_refuses_unknown_arguments(tmp_path):
    cmake = _tool("cmake")
    (tmp_path / "CMakeLists.txt").write_text(
        f'cmake_minimum_required(VERSION 3.16)\nproject(app NONE)\ninclude("{FOLDER}/cmake/Nagsdk.cmake")\n'
        "nagsdk_build(models PROJECT x LOKED)\n"
    )
    done = subprocess.run(
        [cmake, "-S", tmp_path, "-B", tmp_path / "build"], check=False, capture_output=True, text=True
    )
    assert done.returncode != 0 and "LOKED" in done.stderr


def test_cpp_makes_the_input_that_python_makes(tmp_path):
    compiler = _tool("g++")
    (tmp_path / "main.cpp").write_text(
        """
#include <cstdio>
#include <cstdlib>
#include <vector>
#include "nagsdk_input.hpp"
int main(int, char** a) {  // width height resolution crop channels_last, pixels on standard input
  const int width = std::atoi(a[1]), height = std::atoi(a[2]), resolution = std::atoi(a[3]);
  std::vector<std::uint8_t> rgb(static_cast<std::size_t>(width) * height * 3);
  if (std::fread(rgb.data(), 1, rgb.size(), stdin) != rgb.size()) return 1;
  const nagsdk::Preprocessing how{1.0f / 255, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}, std::atof(a[4])};
  const auto input = nagsdk::to_input(rgb.data(), width, height, resolution, how, std::atoi(a[5]));
  std::fwrite(input.data(), 4, input.size(), stdout);
  const auto probe = nagsdk::probe_image(resolution);
  std::fwrite(probe.data(), 1, probe.size(), stdout);
}
"""
    )
    program = tmp_path / "main"
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-O1", f"-I{FOLDER / 'cpp'}"]
    subprocess.run([compiler, *flags, tmp_path / "main.cpp", "-o", program], check=True)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    rng = np.random.default_rng(0)
    for width, height, resolution, crop in (
        (224, 224, 224, 1.0),
        (640, 480, 160, 0.875),
        (33, 90, 48, 1.0),
        (500, 333, 192, 0.875),
    ):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = Preprocessing(mean, std, crop).apply([Image.fromarray(pixels)], resolution)[0]
        for last in (False, True):
            arguments = [str(v) for v in (width, height, resolution, crop, int(last))]
            done = subprocess.run([program, *arguments], input=pixels.tobytes(), capture_output=True, check=True).stdout
            count = 3 * resolution**2
            actual = np.frombuffer(done[: 4 * count], np.float32)
            actual = (
                actual.reshape(resolution, resolution, 3).transpose(2, 0, 1)
                if last
                else actual.reshape(3, resolution, resolution)
            )
            assert np.abs(actual - expected).max() < 1.01 / 255 / min(std)
            assert np.array_equal(
                np.frombuffer(done[4 * count :], np.uint8).reshape(resolution, resolution, 3), probe_image(resolution)
            )


PROBED = """
#include <chrono>
#include <fstream>
#include <iostream>
#include "nagsdk_probe.hpp"
int main(int, char** a) {  // result, model
  for (const std::size_t size : {0u, 1u, 55u, 56u, 64u, 1000u})
    std::cout << nagsdk::sha256(std::string(size, 'x')) << std::endl;
  std::vector<char> weights;
  nagsdk::Facts facts;
  facts.threads = 4;
  facts.accelerator = "CPU";
  facts.device = "a \\"phone\\"\\n";
  facts.thermal_after = 0;
  nagsdk::probe(a[1], a[2], facts, [&] { weights.assign(30'000'000, 1); }, [&] {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
    while (std::chrono::steady_clock::now() < end) {}
  }, 40);
}
"""


def test_what_the_cpp_probe_writes_is_read_and_judged(tmp_path):
    compiler, model, result = _tool("g++"), tmp_path / "model.onnx", tmp_path / "nagsdk-probe.json"
    model.write_bytes(bytes(range(256)) * 300)
    (tmp_path / "main.cpp").write_text(PROBED)
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-O1", f"-I{FOLDER / 'cpp'}"]
    subprocess.run([compiler, *flags, tmp_path / "main.cpp", "-o", tmp_path / "main"], check=True)
    done = subprocess.run([tmp_path / "main", result, model], check=True, capture_output=True, text=True)
    assert done.stdout.split() == [hashlib.sha256(b"x" * size).hexdigest() for size in (0, 1, 55, 56, 64, 1000)]
    found = read_probe(result)
    assert found.model_sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert len(found.latencies_ms) == 40 and min(found.latencies_ms) >= 1 and found.debuggable
    assert (found.threads, found.accelerator, found.device, found.thermal_after) == (4, "CPU", 'a "phone" ', 0)
    assert sys.platform != "linux" or 25 < found.memory_mb < 60
    manifest = {
        "artifact": {"path": "model.onnx", "sha256": found.model_sha256},
        "measured": {"latency_p50_ms": 0.5},
        "threads": 1,
        "device_properties": {},
    }
    require_same_model(found, manifest)
    held, told = judged(found, manifest, [Budget.parse("0.9ms"), Budget.parse("1GB@ram")])
    assert not held and "threads: 4 in the app, 1 measured" in told and "build flags" in told


def test_gradle_builds_pinned_models_only_when_needed(program, tmp_path):
    gradle, app = _tool("gradle"), tmp_path / "app"
    app.mkdir()
    shutil.copyfile(FOLDER / "gradle/nagsdk.gradle", app / "nagsdk.gradle")
    (app / "build.gradle").write_text("task preBuild {}\napply from: 'nagsdk.gradle'\n")
    (app / "settings.gradle").write_text("rootProject.name = 'app'\n")
    for name in ("nagsdk.toml", "nagsdk.lock"):
        (app / name).write_text("1")

    def run(task):
        command = [gradle, "--offline", "--no-daemon", "--console=plain", f"-PnagsdkCommand={program}", task]
        return subprocess.run(
            command,
            cwd=app,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "GRADLE_USER_HOME": str(tmp_path / "g")},
        )

    first = run("preBuild")
    assert first.returncode == 0, first.stdout + first.stderr
    assert (app / "src/main/assets/ml/a/model.onnx").read_text() == "model"
    locked = ["build", "--locked", "--require-verified", "--project", str(app / "nagsdk.toml")]
    assert _calls(program) == [locked]
    run("preBuild")
    assert _calls(program) == [locked]
    (app / "nagsdk.lock").write_text("2")
    run("preBuild")
    assert _calls(program) == [locked] * 2
    (app / "src/main/assets/ml/a/model.onnx").unlink()
    run("preBuild")
    assert _calls(program) == [locked] * 3
    run("nagsdkUpdate")
    assert _calls(program)[3] == ["build", "--require-verified", "--project", str(app / "nagsdk.toml")]
    (app / "broken").touch()
    (app / "nagsdk.lock").write_text("3")
    failed = run("preBuild")
    assert failed.returncode != 0 and "exit code 7" in failed.stderr


def test_the_workflow_names_commands_that_exist(tmp_path, monkeypatch):
    yaml = pytest.importorskip("yaml")
    from click.testing import CliRunner

    from nagsdk.cli import cli

    workflow = yaml.safe_load((FOLDER / "github/models.yml").read_text())
    (command,) = [s["run"] for s in workflow["jobs"]["models"]["steps"] if s.get("run", "").startswith("nagsdk ")]
    arguments = command.split(" > ")[0].split()[1:]
    assert "--locked" in arguments
    # All options are valid, so that the only error is the missing file.
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"nagsdk\.toml"):
        CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert Path(FOLDER / "kotlin/NagsdkModel.kt").is_file()
