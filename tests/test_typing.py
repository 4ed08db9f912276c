"""What users see of the package: exported names, and types in the wheel that is built."""

import re
import subprocess
import sys
import textwrap
import zipfile

import pytest

import nagsdk
from tests.conftest import REPOSITORY

RIGHT = """
    from pathlib import Path

    import nagsdk

    target = nagsdk.Target("cpu", bundle="imagenet", threads=4)
    deployment: nagsdk.Deployment = nagsdk.deploy(target, "20ms", output="model")
    nagsdk.deploy("cpu", ["20ms", "12MB"], threads=4, on_event=print)
    results: list[nagsdk.Result] = nagsdk.generate([target, "litert"], [["20ms", "12MB"]], min_top1=70)
    rows: list[dict[str, object]] = [dict(row) for row in nagsdk.frontier(target).rows()]
    summary: nagsdk.CalibrationSummary = nagsdk.calibrate(target, samples=12)
    report: nagsdk.TrainingReport = nagsdk.train(data="photos", output=Path("flowers"))
    model = deployment.load()
    print(model("cat.jpg").label, [one.label for one in model("cat.jpg", "dog.jpg")])
    try:
        print(nagsdk.inventory.names("devices"))
    except nagsdk.errors.NagsdkError as error:
        print(error.next_step)
    print(deployment.load(device=Path("desk.toml"))("cat.jpg"), summary.accuracy, report.largest)
    print(nagsdk.verify("model").exit_code)
"""
WRONG = {
    'nagsdk.deploy("cpu", budgett="20ms")': 'Unexpected keyword argument "budgett"',
    'nagsdk.deploy("cpu", 20)': "incompatible type",
    'nagsdk.Target("cpu", thread=4)': 'Unexpected keyword argument "thread"',
    'nagsdk.generate("cpu", "20ms").architecture': 'has no attribute "architecture"',
    "nagsdk.trane()": 'has no attribute "trane"',
}


def test_every_verb_and_noun_is_exported():
    assert dir(nagsdk) == nagsdk.__all__ == sorted(nagsdk.__all__)
    for name in nagsdk.__all__:
        assert getattr(nagsdk, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'trane'"):
        _ = nagsdk.trane


@pytest.mark.parametrize("module", ["errors", "events", "inventory"])
def test_documented_modules_need_no_import_of_their_own(module):
    subprocess.run([sys.executable, "-c", f"import nagsdk; nagsdk.{module}"], check=True)


def test_every_argument_of_every_verb_is_explained():
    import inspect

    for name in nagsdk.__all__:
        verb = getattr(nagsdk, name)
        if not inspect.isfunction(verb):
            continue
        text = inspect.getdoc(verb)
        assert "See `" not in text.partition("Args:")[2].partition("Returns:")[0], name
        for argument, parameter in inspect.signature(verb).parameters.items():
            stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
            assert f"\n    {stars}{argument}: " in text, (name, argument)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The interpreter of an environment that holds the built wheel, as pip would install it, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*build, str(REPOSITORY)], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    (wheel,) = folder.glob("*.whl")
    (packages,) = (folder / "venv").rglob("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    return next(p for p in (folder / "venv").rglob("python*") if p.parent.name in ("bin", "Scripts") and p.is_file())


def check(program, installed, folder):
    """What mypy says of a user's program."""
    (folder / "program.py").write_text(textwrap.dedent(program))
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(installed), "program.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_users_program_is_type_checked_against_the_wheel(installed, tmp_path):
    assert "Success: no issues found" in check(RIGHT, installed, tmp_path)
    said = check("import nagsdk\n" + "\n".join(WRONG), installed, tmp_path)
    for number, message in enumerate(WRONG.values(), 2):
        assert any(line.startswith(f"program.py:{number}:") and message in line for line in said.splitlines()), said


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_examples_of_the_documentation_are_type_checked(installed, tmp_path, page):
    blocks = re.findall(r"^```python\n(.*?)^```", (REPOSITORY / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    # The environment has no packages but nagsdk.
    assert "Success: no issues found" in check(
        "\n".join(['# mypy: disable-error-code="import-not-found"', *blocks]), installed, tmp_path
    )
