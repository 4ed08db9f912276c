"""JSON Schemas of the file formats and of JSON output, generated from the types that read and write them.

`python -m nagsdk.schemas FOLDER` writes them; a test keeps those in docs/schemas/ up to date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from nagsdk.bundle.description import Description
from nagsdk.common.files import write_atomically
from nagsdk.manifest.app_probe import AppProbe
from nagsdk.manifest.fleet import Fleet
from nagsdk.manifest.schema import DeploymentJson, ManifestFile, PreprocessingJson, ResultJson
from nagsdk.pipeline.population import PopulationFile
from nagsdk.pipeline.try_images import Trial
from nagsdk.pipeline.verify import Verification
from nagsdk.plugin.load import PluginStatus
from nagsdk.project.build import BuildReport
from nagsdk.project.init import Initialised
from nagsdk.project.lock import LockFile
from nagsdk.project.toml import ProjectFile

# Schemas by name: what each describes, and its type.
TYPES: dict[str, tuple[str, Any]] = {
    "manifest": ("manifest.json of a deployment", ManifestFile),
    "preprocessing": ("preprocessing.json of a deployment", PreprocessingJson),
    "probe": ("what the probe in an app writes (integrations/)", AppProbe),
    "lock": ("nagsdk.lock", LockFile),
    "project": ("nagsdk.toml", ProjectFile),
    "bundle": ("bundle.json of a bundle", Description),
    "deploy": ("output of nagsdk deploy --json and export --json", DeploymentJson),
    "results": (
        "output of nagsdk predict --json and profile --json, and of generate --json for several budgets or devices",
        list[ResultJson],
    ),
    "build": ("output of nagsdk build --json", BuildReport),
    "init": ("output of nagsdk init --json", Initialised),
    "try": ("output of nagsdk try --json", Trial),
    "verify": ("output of nagsdk verify --json", Verification),
    "population": ("fleet.toml", PopulationFile),
    "fleet": ("output of nagsdk fleet --json, and fleet.json", Fleet),
    "plugins": ("output of nagsdk plugins --json", list[PluginStatus]),
}


def schemas() -> dict[str, dict[str, Any]]:
    """All schemas (JSON Schema 2020-12) by name."""
    found = {}
    for name, (title, kind) in TYPES.items():
        # Input may leave out keys that have a default; output has every key.
        mode = "validation" if isinstance(kind, type) and issubclass(kind, BaseModel) else "serialization"
        body = TypeAdapter(kind).json_schema(mode=mode)  # type: ignore[arg-type]
        found[name] = {"$schema": "https://json-schema.org/draft/2020-12/schema", **body, "title": title}
    return found


def text(schema: dict[str, Any]) -> str:
    """The text of a schema's file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, schema in schemas().items():
        write_atomically(Path(sys.argv[1]) / f"{name}.schema.json", text(schema).encode())
