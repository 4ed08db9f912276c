"""Checks the interpreter and the installed packages against the requirements of nagsdk and its extras."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from nagsdk.common.pip import pip
from nagsdk.device.finding import ABSENT, OK, WRONG, Finding

_OWN = "nagsdk"
# Extras for people who work on nagsdk itself.
_INNER_EXTRAS = ("test", "lint", "docs", "recipes")
# Conflicts that packages do not declare: (package, other package, conflicting versions of the other, why, the fix).
CLASHES = (
    (
        "tflite-runtime",
        "numpy",
        ">=2",
        "was built for numpy 1 and crashes with numpy 2",
        f"{pip('uninstall', 'tflite-runtime')} && {pip('install', 'ai-edge-litert')}",
    ),
    (
        "onnxruntime-gpu",
        "onnxruntime",
        ">=0",
        "installs the same files: which of the two is used depends on chance",
        f"{pip('uninstall', 'onnxruntime', 'onnxruntime-gpu')} && {pip('install', 'onnxruntime-gpu')}",
    ),
    (
        "onnxruntime-openvino",
        "onnxruntime",
        ">=0",
        "installs the same files: which of the two is used depends on chance",
        f"{pip('uninstall', 'onnxruntime', 'onnxruntime-openvino')} && {pip('install', 'onnxruntime-openvino')}",
    ),
)


def python() -> Iterator[Finding]:
    """Finds facts about the interpreter."""
    inside = sys.prefix != sys.base_prefix
    found = f"Python {platform.python_version()} on {platform.machine()} {platform.system()}, {sys.prefix}"
    yield Finding(
        "python",
        OK,
        f"{found}{'' if inside else ' (no virtual environment)'}.",
        "" if inside else f"{'python' if sys.platform == 'win32' else 'python3'} -m venv .venv",
    )


def packages() -> Iterator[Finding]:
    """Checks the packages that nagsdk and its extras need, and known conflicts."""
    own = distribution(_OWN)
    problems, needed = _compared(own, "")
    yield from problems
    if not problems:
        yield Finding(
            "packages", OK, f"nagsdk {own.version} and the {len(needed)} packages that it needs fit together."
        )
    for extra in sorted(set(own.metadata.get_all("Provides-Extra") or ()) - set(_INNER_EXTRAS)):
        problems, needed = _compared(own, extra)
        wrong = [finding for finding in problems if finding.state == WRONG]
        yield from wrong
        if not problems:
            yield Finding("packages", OK, f"The extra {extra} is installed ({', '.join(needed)}).")
        elif not wrong:
            yield Finding(
                "packages", ABSENT, f"The extra {extra} is not installed.", pip("install", f"nagsdk[{extra}]")
            )
    for name, other, versions, why, fix in CLASHES:
        one, two = _installed(name), _installed(other)
        if (
            one is not None
            and two is not None
            and Requirement(f"{other}{versions}").specifier.contains(two.version, prereleases=True)
        ):
            yield Finding("packages", WRONG, f"{name} {one.version} {why} (installed: {other} {two.version}).", fix)


def _compared(own: Distribution, extra: str) -> tuple[list[Finding], list[str]]:
    """The missing or conflicting requirements of an extra (or of nagsdk itself), and the names of all of them."""
    findings: list[Finding] = []
    names: list[str] = []
    for requirement in _requirements(own, extra):
        names.append(requirement.name)
        package = _installed(requirement.name)
        if package is None:
            state = ABSENT if extra else WRONG
            findings.append(
                Finding("packages", state, f"{requirement.name} is not installed.", pip("install", _plain(requirement)))
            )
            continue
        if not _fits(requirement, package):
            findings.append(_conflict(f"nagsdk {own.version}", requirement, package))
        for inner in _requirements(package, ""):
            other = _installed(inner.name)
            if other is not None and not _fits(inner, other):
                findings.append(_conflict(f"{requirement.name} {package.version}", inner, other))
    return findings, names


def _requirements(package: Distribution, extra: str) -> Iterable[Requirement]:
    for line in package.requires or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue  # an old package, whose requirements pip cannot read either
        asked = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        always = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if asked and (not extra or not always):
            yield requirement


def _fits(requirement: Requirement, package: Distribution) -> bool:
    return not requirement.specifier or requirement.specifier.contains(Version(package.version), prereleases=True)


def _conflict(who: str, requirement: Requirement, package: Distribution) -> Finding:
    found = f"{who} needs {requirement.name}{requirement.specifier}, and {package.version} is installed."
    return Finding("packages", WRONG, found, pip("install", _plain(requirement)))


def _plain(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(canonicalize_name(name))
    except PackageNotFoundError:
        return None
