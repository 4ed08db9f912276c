"""Reads and writes manifest.json. Its content is a contract that builds depend on; see docs/json.md."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nagsdk.common.files import only_line_ends_differ, sha256
from nagsdk.common.outputs import Kind
from nagsdk.common.reading import read_json
from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import DamagedBundleError, UsageError
from nagsdk.manifest.result import Result

FORMAT = 1
MANIFEST, REPORT = "manifest.json", "report.html"
MODEL, _LABELS, _PREPROCESSING = "model", "labels.txt", "preprocessing.json"
COMPANIONS = frozenset({_LABELS, _PREPROCESSING})
# What a deployment is made of beside manifest and report: a manifest that lists anything else shows no more of ours.
_OWN_NAMES = re.compile(rf"{MODEL}(\.\w+)+|{re.escape(_LABELS)}|{re.escape(_PREPROCESSING)}", re.ASCII)
_MOST_BYTES = 16 * 10**6


def manifest_bytes(result: Result, details: Mapping[str, Any]) -> bytes:
    """The content of manifest.json; the artifact's path is relative to it."""
    return manifest_text({"format": FORMAT, **result.to_dict(), **details})


def manifest_text(content: Mapping[str, Any]) -> bytes:
    """The bytes of a manifest.json; content that was read from one gives the same bytes again."""
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def companions(preprocessing: Mapping[str, Any], labels: Sequence[str] | None) -> dict[str, bytes]:
    """Contents of the files that an app reads beside the model, by file name.

    Args:
        preprocessing: The preprocessing as in the manifest.
        labels: Names of the classes, if the bundle has them.
    """
    files = {_PREPROCESSING: (json.dumps(preprocessing, indent=2) + "\n").encode()}
    if labels is not None:
        files[_LABELS] = ("\n".join(labels) + "\n").encode()
    return files


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads the manifest of a deployment.

    Raises:
        UsageError: There is no manifest: the folder is not a deployment.
        DamagedBundleError: The manifest is damaged or has another format.
    """
    from nagsdk.manifest.schema import check_manifest

    path = folder / MANIFEST
    try:
        content = read_json(path, _MOST_BYTES)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError("it has another format")
        check_manifest(content)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"{folder} is not a deployment: it has no {MANIFEST}.",
            "Name a folder that 'nagsdk deploy' or 'nagsdk build' wrote.",
        ) from error
    except (OSError, ValueError) as error:
        raise DamagedBundleError(f"{path} cannot be read: {what_is_wrong(error)}.", "Deploy again.") from error
    return content


def pinned_files(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Hash and length of every file of a deployment except manifest and report, by name."""
    models = [record for record in (manifest["artifact"], manifest.get("compiled")) if record is not None]
    return {record["path"]: record for record in models} | dict(manifest["files"])


def precision_of(manifest: Mapping[str, Any]) -> str:
    """The precision of a deployment as it is named today."""
    # Manifests without the entry are older: int8 was then what is now called int8-dynamic.
    old = manifest["precision"] == "int8" and "integers" not in manifest
    return "int8-dynamic" if old else str(manifest["precision"])


def _files(folder: Path) -> set[str]:
    """Names of all files of the deployment in a folder; names that no deployment has are left out."""
    return {MANIFEST, REPORT, *filter(_OWN_NAMES.fullmatch, pinned_files(read_manifest(folder)))}


DEPLOYMENT = Kind("a deployment", _files)


def is_pinned(path: Path, record: dict[str, Any]) -> bool:
    """Whether a file has the recorded length and hash."""
    return path.is_file() and path.stat().st_size == record["bytes"] and sha256(path) == record["sha256"]


def with_other_line_ends(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """Names of the files of a deployment whose line ends alone differ from what was deployed."""
    digests = {name: str(record["sha256"]) for name, record in pinned_files(manifest).items()}
    digests[MANIFEST] = hashlib.sha256(manifest_text(manifest)).hexdigest()
    return [name for name, digest in digests.items() if only_line_ends_differ(folder / name, digest)]
