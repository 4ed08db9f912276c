"""The table of counts at the end of a run."""


def pytest_terminal_summary(terminalreporter):
    reports = (report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, []))
    rows = sorted(row for report in reports for name, row in report.user_properties if name == "fuzz")
    if rows:
        line = "{:<30} {:>8} {:>9} {:>8} {:>6} {:>10}".format
        terminalreporter.section("damaged files")
        terminalreporter.line(line("format", "cases", "accepted", "refused", "wrong", "slowest s"))
        for *counts, slowest in rows:
            terminalreporter.line(line(*counts, f"{slowest:.2f}"))
        sums = (sum(column) for column in list(zip(*rows, strict=True))[1:5])
        terminalreporter.line(line("together", *sums, ""))
