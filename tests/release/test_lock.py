"""The hashed lists in `requirements/` are those of `pyproject.toml` and `constraints.txt`."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
LOCKS = ("base", "test", "docs", "release")
# Packages that are never locked by hash: PyTorch, whose builds differ, and what its CUDA build alone needs.
UNLOCKED = {"torch", *(REPOSITORY / "requirements/cuda.txt").read_text("utf-8").split("\n", 1)[1].split()}


def pinned(text):
    """Version and origins of every locked package, by name; it may have several, for ranges of Pythons."""
    found = {}
    for entry in re.split(r"\n(?=[a-z0-9])", text):
        if match := re.match(r"([a-z0-9-]+)==(\S+)", entry):
            comments = {line.strip("# ").removeprefix("via ") for line in re.findall(r"^ +#.*$", entry, re.MULTILINE)}
            hashes = re.findall(r"--hash=sha256:[0-9a-f]{64}(?= \\\n|\n|$)", entry)
            found.setdefault(match[1], []).append((match[2], comments, hashes))
    return found


def expanded(requirements):
    """The requirements with those of the project's own extras in place of their names."""
    for requirement in map(Requirement, requirements):
        if requirement.name == "nagsdk":
            for extra in requirement.extras:
                yield from expanded(PROJECT["project"]["optional-dependencies"][extra])
        else:
            yield requirement


def grouped(group):
    for entry in PROJECT["dependency-groups"][group]:
        if isinstance(entry, str):
            yield Requirement(entry)
        else:
            yield from grouped(entry["include-group"])


def asked(lock):
    """What the project asks for in a lock."""
    extras = PROJECT["project"]["optional-dependencies"]
    base = PROJECT["project"]["dependencies"]
    return {
        "base": [*expanded(base), *grouped("build")],
        "test": [*expanded([*base, *extras["test"], *extras["lint"]])],
        "docs": [*expanded([*base, *extras["docs"]])],
        "release": [*grouped("release")],
    }[lock]


def stale(lock, text, requirements, constraints):
    """Every way in which a lock does not follow from the requirements and the constraints."""
    packages, problems = pinned(text), []
    wanted = {canonicalize_name(r.name): r for r in requirements}
    own = {name for name, pins in packages.items() for _, origins, _ in pins if any("pyproject" in o for o in origins)}
    problems += [f"{name} is not locked" for name in sorted(wanted.keys() - own - UNLOCKED)]
    problems += [f"{name} is locked, but no longer asked for" for name in sorted(own - wanted.keys())]
    problems += [f"{name} must not be locked" for name in sorted(packages.keys() & UNLOCKED)]
    for name, pins in packages.items():
        for version, _, hashes in pins:
            if name in wanted and not wanted[name].specifier.contains(version):
                problems.append(f"{name} {version} is not {wanted[name].specifier}")
            if constraints.get(name, version) != version:
                problems.append(f"{name} is {version}, and {constraints[name]} in constraints.txt")
            if not hashes:
                problems.append(f"{name} has no hash")
    return [f"requirements/{lock}.txt: {problem} (run: make lock)" for problem in problems]


@pytest.fixture(scope="module")
def constraints():
    lines = (REPOSITORY / "constraints.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line.partition("#")[0]) for line in lines if line.partition("#")[0].strip()]
    assert all(re.fullmatch(r"==[^*,]+", str(pin.specifier)) for pin in pins)
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


@pytest.fixture(scope="module")
def texts():
    return {lock: (REPOSITORY / f"requirements/{lock}.txt").read_text("utf-8") for lock in LOCKS}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_follows_from_the_project(lock, texts, constraints):
    assert stale(lock, texts[lock], asked(lock), constraints) == []


def test_a_lock_names_no_index(texts):
    assert not [line for text in texts.values() for line in text.splitlines() if "://" in line or line.startswith("--")]


def test_the_locks_agree_and_pytorch_has_one_version(texts, constraints):
    versions = {}
    for lock in ("base", "test", "docs"):
        for name, pins in pinned(texts[lock]).items():
            versions.setdefault(name, set()).add(tuple(version for version, _, _ in pins))
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}
    assert "torch" in constraints


CHANGES = {
    "a new version": ("scipy==1.17.1", "scipy==1.17.0", "and 1.17.1 in constraints.txt"),
    "outside its bounds": ("rpds-py==", "numpy==3.0.0 \\\n    --hash=sha256:0\nrpds-py==", "numpy 3.0.0 is not"),
    "gone": ("\nnumpy==", "\nnumb==", "numpy is not locked"),
    "left over": ("# via jsonschema", "# via nagsdk (pyproject.toml)", "no longer asked for"),
    "without a hash": ("\nnumpy==", "\nseven==1.0\nnumpy==", "seven has no hash"),
    "a CUDA package": ("numpy==", "triton==3.7.1\nnumpy==", "triton must not be locked"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_stale_lock_is_told(name, texts, constraints):
    old, new, message = CHANGES[name]
    assert old in texts["test"]
    problems = stale("test", texts["test"].replace(old, new), asked("test"), constraints)
    assert any(message in problem and "make lock" in problem for problem in problems), problems


def test_every_bound_of_the_project_has_an_upper_end_or_a_reason():
    tables = [*PROJECT["project"]["optional-dependencies"].values(), PROJECT["project"]["dependencies"]]
    open_ended = {
        requirement.name
        for table in tables
        for requirement in expanded(table)
        if not any(specifier.operator == "<" for specifier in requirement.specifier)
    }
    # The comment in pyproject.toml gives the reason; stubs follow the package whose types they describe.
    assert open_ended == {"packaging", "flatbuffers", "nvidia-ml-py", "scipy-stubs", "types-psutil"}
