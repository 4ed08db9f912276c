"""The pytest plugin (``-p nagsdk.testing.plugin``): reports broken rules with reasons, and checks installed devices."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from typing import Any

import pytest

from nagsdk.common.wording import counted

pytest.register_assert_rewrite(
    *(f"nagsdk.testing.{name}" for name in ("kit", "discovery", "export", "sessions", "measuring"))
)

_MOST_REASON = 300
_PASSED = pytest.StashKey[dict[str, int]]()
_BROKEN = pytest.StashKey[list[tuple[str, str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--nagsdk-device``."""
    parser.getgroup("nagsdk").addoption(
        "--nagsdk-device",
        action="append",
        default=[],
        metavar="DEVICE",
        help="Device on which nagsdk.testing.suite runs: id, alias or description file; may be repeated.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Creates empty lists of results."""
    config.stash[_PASSED], config.stash[_BROKEN] = {}, []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Records whether a rule held or was broken."""
    report = yield
    cls = getattr(item, "cls", None)
    if cls is None or not any(base.__module__ == "nagsdk.testing.kit" for base in cls.__mro__):
        return report
    if report.failed:
        rule = " ".join((inspect.getdoc(getattr(item, "function", None)) or "").split())
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = str(crash.message if crash is not None else report.longrepr)
        report.sections.append(("The rule that was broken", rule))
        item.config.stash[_BROKEN].append(
            (f"{cls.__name__}::{item.name}", rule, " ".join(reason.split())[:_MOST_REASON])
        )
    elif report.when == "call" and report.passed:
        passed = item.config.stash[_PASSED]
        passed[cls.__name__] = passed.get(cls.__name__, 0) + 1
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Lists broken rules with their reasons."""
    passed, broken = config.stash[_PASSED], config.stash[_BROKEN]
    if not passed and not broken:
        return
    terminalreporter.section("nagsdk conformance")
    terminalreporter.write_line(f"{counted(sum(passed.values()), 'check')} held, {len(broken)} did not.")
    for name, rule, reason in broken:
        terminalreporter.write_line(f"{name}\n  rule:   {rule}\n  reason: {reason}")
