"""``nagsdk report``."""

from __future__ import annotations

import click

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say


@o.command("report", "nagsdk report deployments/small deployments/large --output comparison.html")
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False))
@click.option(
    "--output",
    type=click.Path(dir_okay=False),
    help="File of the page [default: report.html in the folder of a single deployment, else in the current folder].",
)
@o.json_option
def command(folders: tuple[str, ...], output: str | None, as_json: bool) -> None:
    """Write the HTML page of a deployment again, or of a comparison of several."""
    from nagsdk.reports.report import report

    found = report(folders, output)
    if as_json:
        printing.print_json(found)
        return
    if found["rows"]:
        rows = [
            (f"{row['title']} {row['unit']}".strip(), *map(_shown, row["values"]))
            for row in found["rows"]
            if row["differs"]
        ]
        printing.print_table(("", *found["deployments"]), rows)
    say(found["path"])


def _shown(value: object) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
