"""The worker process in which Vela compiles; it is apart because Vela is native code that may end its process."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ethosu.vela import vela

from nagsdk.device.serve import Handler, Message, serve

# Columns of Vela's summary -> names of the figures; its memories are in KiB.
_MEMORIES = {
    "sram_bytes": ("sram_memory_used",),
    "flash_bytes": ("on_chip_flash_memory_used", "off_chip_flash_memory_used"),
    "dram_bytes": ("dram_memory_used",),
}


class VelaWorker:
    """Compiles files and answers with what Vela reports."""

    def __init__(self, arguments: list[str]) -> None:
        self.arguments = arguments

    def compile(self, request: dict[str, Any], body: bytes) -> Message:
        """Compiles a file; the answer holds the figures, and its body the compiled file."""
        source = Path(request["path"])
        with tempfile.TemporaryDirectory() as folder:
            arguments = [*self.arguments, "--config=Arm/vela.ini", "--verbose-performance", f"--output-dir={folder}"]
            try:
                vela.main([*arguments, str(source)])
            except SystemExit as ended:  # how its command line refuses
                raise ValueError(f"Vela ended with {ended.code}") from ended
            (summary,) = _rows(Path(folder), "_summary_")
            operators = _rows(Path(folder), "_per-layer")
            compiled = (Path(folder) / f"{source.stem}_vela.tflite").read_bytes()
        on_cpu = sorted({row["Original Operator"] for row in operators if row["Target"] == "CPU"})
        figures = {name: 1024 * sum(float(summary[c]) for c in of) for name, of in _MEMORIES.items()}
        figures |= {"npu_cycles": float(summary["cycles_total"]), "ms": 1e3 * float(summary["inference_time"])}
        return {"figures": figures, "on_cpu": on_cpu}, compiled


def start(settings: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, Handler]]:
    """Creates the worker."""
    return {}, {"compile": VelaWorker(settings["arguments"]).compile}


def _rows(folder: Path, name: str) -> list[dict[str, str]]:
    (file,) = folder.glob(f"*{name}*.csv")
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


if __name__ == "__main__":
    serve(start)
