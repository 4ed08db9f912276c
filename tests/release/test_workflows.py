"""The workflows for GitHub: valid, pinned, and no step hides that a command in it has failed."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from tests.conftest import REPOSITORY

OWN = sorted((REPOSITORY / ".github/workflows").glob("*.yml"))
SHIPPED = sorted((REPOSITORY / "integrations/github").glob("*.yml"))
# How the platform runs the text of a step: without `shell`, a pipe hides the failure of all but its last command.
SHELLS = {None: ["bash", "-e"], "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"]}
# Programs that steps call, and that can fail.
PROGRAMS = ("nagsdk", "pip", "python", "make", "git")


def steps(path):
    """Every step that runs commands, with the number of its place in the file."""
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    for name, job in jobs.items():
        for number, step in enumerate(job["steps"]):
            if "run" in step:
                yield pytest.param(step, id=f"{path.name}-{name}-{number}")


def outcome(step, folder, failing):
    """The exit code of a step in which one program fails, and which programs were called."""
    programs = folder / "programs"
    programs.mkdir()
    for name in PROGRAMS:
        program = programs / name
        program.write_text(f"#!/bin/sh\necho {name} >> {folder}/called\nexit {7 if name == failing else 0}\n")
        program.chmod(0o755)
    script = folder / "script.sh"
    script.write_text(re.sub(r"\$\{\{.*?\}\}", "value", step["run"]))
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "BASH_ENV": ""}
    done = subprocess.run(
        [*SHELLS[step.get("shell")], str(script)], cwd=folder, env=environment, capture_output=True, check=False
    )
    called = folder / "called"
    return done.returncode, set(called.read_text().split()) if called.exists() else set()


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins of the programs are shell scripts")
@pytest.mark.parametrize("step", [step for path in [*OWN, *SHIPPED] for step in steps(path)])
def test_a_step_fails_where_a_command_in_it_fails(step, tmp_path):
    (tmp_path / "well").mkdir()
    _, called = outcome(step, tmp_path / "well", None)
    # A step that says what to do after a failure may go on.
    for name in called if "||" not in step["run"] else ():
        (tmp_path / name).mkdir()
        code, _ = outcome(step, tmp_path / name, name)
        assert code != 0, f"{name} fails, and the step does not: {step['run']}"


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins of the programs are shell scripts")
@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"run": "nagsdk build --locked | tee models.json"}, False),
        ({"run": "nagsdk build --locked | tee models.json", "shell": "bash"}, True),
        ({"run": "nagsdk build --locked > models.json"}, True),
    ],
)
def test_a_pipe_hides_a_failure_in_the_default_shell_only(step, told, tmp_path):
    """The check above sees what the platform would hide."""
    code, called = outcome(step, tmp_path, "nagsdk")
    assert called == {"nagsdk"} and (code != 0) is told


@pytest.mark.parametrize("path", [*OWN, *SHIPPED], ids=lambda path: path.name)
def test_a_workflow_has_the_keys_that_the_platform_knows(path):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_key_that_the_platform_does_not_know_is_found(tmp_path):
    text = OWN[0].read_text("utf-8")
    (tmp_path / "wrong.yml").write_text(text.replace("runs-on:", "run-on:"))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    done = subprocess.run([*command, str(tmp_path / "wrong.yml")], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "run-on" in done.stdout


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_version_beside(path):
    used = re.findall(r"uses: (.+)$", path.read_text("utf-8"), re.MULTILINE)
    assert used
    assert [use for use in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", use)] == []


def test_each_action_has_one_commit():
    used = {use for path in OWN for use in re.findall(r"uses: (.+)$", path.read_text("utf-8"), re.MULTILINE)}
    assert len({use.partition("@")[0] for use in used}) == len(used)


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_a_workflow_may_do_as_little_as_it_needs_and_ends(path):
    workflow = yaml.safe_load(path.read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 90 for job in workflow["jobs"].values())
    assert "Not run yet" in path.read_text("utf-8")


def test_only_what_was_tested_is_published_and_without_a_password():
    jobs = yaml.safe_load((REPOSITORY / ".github/workflows/release.yml").read_text("utf-8"))["jobs"]
    assert (jobs["test"]["needs"], jobs["publish"]["needs"]) == ("build", "test")
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert jobs["publish"]["permissions"] == {"id-token": "write", "attestations": "write"}
    assert "secrets." not in (REPOSITORY / ".github/workflows/release.yml").read_text("utf-8")
    attested = [step for step in jobs["publish"]["steps"] if "attest-build-provenance" in step.get("uses", "")]
    assert [step["with"]["subject-path"] for step in attested] == ["dist/*"]
