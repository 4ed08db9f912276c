"""What an app measured about a model: the JSON that the probes in `integrations/` write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from nagsdk.common.reading import read_json
from nagsdk.common.validation import SHA256, what_is_wrong
from nagsdk.errors import UsageError

_MOST_BYTES = 4 * 10**6
LEAST_RUNS = 20
_Text = Annotated[str, Field(max_length=200)]
_Milliseconds = Annotated[float, Field(ge=1e-9, le=1e9)]


class AppProbe(BaseModel):
    """What the probe in an app measured, in the process, on the thread and with the runtime of the app."""

    # Versions only ever add keys, so unknown keys of a newer version are allowed.
    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)

    format: Literal[1]
    model_sha256: Annotated[str, Field(pattern=SHA256)] = Field(description="SHA-256 of the file that the app ran.")
    latencies_ms: list[_Milliseconds] = Field(
        min_length=LEAST_RUNS, max_length=100_000, description="Single inferences after the first, in their order."
    )
    init_ms: _Milliseconds | None = Field(None, description="Time that loading the file took.")
    first_inference_ms: _Milliseconds | None = Field(None, description="Time of the first inference.")
    memory_mb: Annotated[float, Field(ge=0, le=1e9)] | None = Field(
        None, description="Memory of the process in 10⁶ bytes after the runs, beyond what it held before loading."
    )
    threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(None, description="Threads of one inference.")
    accelerator: _Text | None = Field(None, description="What the app asked the runtime for: CPU, GPU or NPU.")
    cpuset: _Text | None = Field(
        None, description="Where Android lets the app run (/proc/self/cpuset), such as /top-app or /background."
    )
    debuggable: bool | None = Field(None, description="Whether the app was built for debugging.")
    thermal_before: Annotated[int, Field(ge=0, le=6)] | None = Field(None, description="Thermal status of Android.")
    thermal_after: Annotated[int, Field(ge=0, le=6)] | None = Field(None, description="The same after the runs.")
    device: _Text | None = Field(None, description="Model of the phone, such as Pixel 9 Pro.")
    system: _Text | None = Field(None, description="Operating system and its version.")
    runtime: _Text | None = Field(None, description="Runtime and its version, such as litert 2.2.0.")


def read_probe(path: Path) -> AppProbe:
    """Reads the file of a probe.

    Raises:
        UsageError: It cannot be read, or is not what a probe writes.
    """
    try:
        # As JSON, since there a number may be a whole one, but a text is no number.
        return AppProbe.model_validate_json(json.dumps(read_json(path, _MOST_BYTES), allow_nan=False))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read as the file of a probe: {what_is_wrong(error)}.",
            "Name the file that the probe in your app wrote; docs/in-app.md says how.",
        ) from error
