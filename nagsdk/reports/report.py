"""`nagsdk report`: pages of deployments, drawn from their manifests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nagsdk.common.files import write_atomically
from nagsdk.errors import UsageError
from nagsdk.manifest.manifest import MANIFEST, read_manifest
from nagsdk.reports.page import REPORT, comparison, comparison_page, deployment_page


def report(folders: Sequence[str | Path], output: str | Path | None = None) -> dict[str, Any]:
    """Writes the page of one deployment, or the comparison of several.

    Args:
        folders: Of deployments.
        output: The page; ``report.html`` in the folder of a single deployment, in the current folder for several, where None.

    Returns:
        path, and for several deployments their names and the compared rows (title, unit, values, differs).

    Raises:
        UsageError: No folder was given, or one twice, or an output that does not end in .html, or the comparison would replace a deployment's own page.
        DamagedBundleError: A folder has no valid manifest.
        OutputError: The page cannot be written.
    """
    paths = [Path(folder) for folder in folders]
    if not paths:
        raise UsageError("No deployment was given.", "Name the folder of one or more.")
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("A deployment was given twice.", "Name different folders.")
    if output is not None and Path(output).suffix != ".html":
        raise UsageError(f"{output} is no name for a page.", "Name a file that ends in .html.")
    manifests = dict(zip(_names(paths), map(read_manifest, paths), strict=True))
    if len(paths) == 1:
        page = Path(output) if output is not None else paths[0] / REPORT
        write_atomically(page, deployment_page(*manifests.values()).encode())
        return {"path": str(page), "deployments": list(manifests), "rows": []}
    page = Path(output) if output is not None else Path(REPORT)
    if (page.parent / MANIFEST).exists() and page.name == REPORT:
        whose = page.parent.resolve()
        raise UsageError(
            f"The comparison would replace the page of the deployment in {whose}.", "Name another file with --output."
        )
    write_atomically(page, comparison_page(manifests).encode())
    return {"path": str(page), "deployments": list(manifests), "rows": comparison(manifests)}


def _names(paths: Sequence[Path]) -> list[str]:
    """The last parts of paths, as many as tell them apart."""
    whole = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, whole)) + 1):
        names = ["/".join(parts[-count:]) for parts in whole]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
