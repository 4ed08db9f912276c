"""`nagsdk report`: HTML pages of deployments, drawn from their manifests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nagsdk.common.files import write_atomically
from nagsdk.common.os_errors import naming_os_errors
from nagsdk.errors import UsageError
from nagsdk.manifest.manifest import MANIFEST, REPORT, read_manifest
from nagsdk.reports.page import comparison, comparison_page, deployment_page


@naming_os_errors
def report(folders: str | Path | Sequence[str | Path], output: str | Path | None = None) -> dict[str, Any]:
    """Writes the page of one deployment, or of the comparison of several.

    Args:
        folders: Folders of deployments.
        output: File of the page. If None, ``report.html`` in the folder of a single deployment, or in the current
            folder for several.

    Returns:
        The page's path, the names of the deployments, and for several deployments the compared rows (title, unit,
        values, differs).

    Raises:
        UsageError: No folder was given, or one twice, or an output that does not end in .html, or a folder is not a
            deployment, or the comparison would replace a deployment's own page.
        DamagedBundleError: A manifest is not valid.
        OutputError: The page cannot be written.
    """
    paths = [Path(folder) for folder in ([folders] if isinstance(folders, (str, Path)) else folders)]
    if not paths:
        raise UsageError("No deployment was given.", "Name the folder of at least one deployment.")
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("A deployment was given twice.", "Name different folders.")
    if output is not None and Path(output).suffix != ".html":
        raise UsageError(f"The page cannot be written to {output}.", "Name a file that ends in .html.")
    manifests = dict(zip(_names(paths), map(read_manifest, paths), strict=True))
    if len(paths) == 1:
        page = Path(output) if output is not None else paths[0] / REPORT
        write_atomically(page, deployment_page(*manifests.values()).encode())
        return {"path": str(page), "deployments": list(manifests), "rows": []}
    page = Path(output) if output is not None else Path(REPORT)
    if (page.parent / MANIFEST).exists() and page.name == REPORT:
        folder = page.parent.resolve()
        raise UsageError(
            f"The comparison would replace the page of the deployment in {folder}.", "Name another file with --output."
        )
    write_atomically(page, comparison_page(manifests).encode())
    return {"path": str(page), "deployments": list(manifests), "rows": comparison(manifests)}


def _names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that are different for all of them."""
    full = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, full)) + 1):
        names = ["/".join(parts[-count:]) for parts in full]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
