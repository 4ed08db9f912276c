"""Manifests, locks, projects, descriptions of devices and settings."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from pathlib import Path

import numpy as np

from tests.conftest import TINY
from tests.fuzz import mutate
from tests.fuzz.formats import Formats, written

SAMPLES = Path(__file__).parent / "samples"

FORMATS = Formats()


def _manifest() -> bytes:
    return (SAMPLES / "manifest.json").read_bytes()


def _show(manifest: dict[str, object]) -> None:
    from nagsdk.manifest.manifest import manifest_text
    from nagsdk.manifest.result import result_of
    from nagsdk.reports.page import comparison_page, deployment_page

    manifest_text(manifest)
    json.dumps(result_of(manifest).to_dict(), allow_nan=False)
    deployment_page(manifest).encode()
    comparison_page({"a": manifest, "b": json.loads(_manifest())}).encode()


@FORMATS.add("manifest.json", _manifest, mutate.damaged_json)
def _use_manifest(content: bytes, folder: Path) -> None:
    from nagsdk.manifest.manifest import read_manifest, with_other_line_ends
    from nagsdk.pipeline.deployment import Deployment
    from nagsdk.pipeline.opened import wrong_files

    written(folder, "manifest.json", content)
    manifest = read_manifest(folder)
    _show(manifest)
    wrong_files(folder, manifest)
    with_other_line_ends(folder, manifest)
    deployment = Deployment.read(folder)
    deployment._repr_html_()
    json.dumps(deployment.to_dict(), allow_nan=False)


def _lock() -> bytes:
    inputs = {"options": {"seed": 0}, "device": "0" * 64, "bundle": "1" * 64, "weights": None, "images": None}
    entry = {
        "inputs": inputs,
        "statistics": {"stem.norm": b64encode(np.ones(8, "<f4").tobytes()).decode()},
        "manifest": json.loads(_manifest()),
    }
    return json.dumps({"format": 1, "deployments": {"a": entry}}).encode()


@FORMATS.add("nagsdk.lock", _lock, mutate.damaged_json)
def _use_lock(content: bytes, folder: Path) -> None:
    from datetime import UTC, datetime

    from nagsdk.project.lock import read_lock, write_lock
    from nagsdk.project.restore import is_current

    lock = read_lock(written(folder, "nagsdk.lock", content))
    for entry in lock.deployments.values():
        entry.statistics_bytes()
        is_current(entry, folder)
        _show(entry.manifest)
        (datetime.now(UTC) - datetime.fromisoformat(entry.manifest["created_at"])).total_seconds()
    write_lock(folder / "again", lock)


def _project() -> bytes:
    return (
        b'mirror = "mirror"\n[deployments.a]\ndevice = "cpu"\nbudget = ["80ms@p90", "12MB"]\nmin_top1 = 50.0\n'
        b'bundle = "glyphs"\noutput = "out"\nimages = "images"\nstrategy = "nag"\nresolution = 32\nthreads = 1\n'
        b'batch = 1\nprecision = "fp32"\nconfidence = 0.9\nseed = 0\n[deployments.b]\ndevice = "cpu"\nbudget = "1ms"\n'
    )


@FORMATS.add("nagsdk.toml", _project, mutate.damaged_toml)
def _use_project(content: bytes, folder: Path) -> None:
    from nagsdk.project.toml import read_project

    for declared in read_project(written(folder, "nagsdk.toml", content)).deployments:
        json.dumps(declared.options)


def _device() -> bytes:
    return (
        b'id = "board"\ntitle = "A board"\nbackend = "onnxruntime"\naliases = ["a", "b"]\nthreads = 2\nbatch = 1\n'
        b'precision = "fp32"\nprior = "cpu-prior.json"\ncaveat = "Old."\n'
        b'[options]\nspinning = "1"\ncores = "0"\nopset = "17"\n'
    )


@FORMATS.add("device.toml", _device, mutate.damaged_toml)
def _use_device(content: bytes, folder: Path) -> None:
    from nagsdk.device.description import Overrides, read_device
    from nagsdk.plugin.host import host

    device = read_device(written(folder, "board.toml", content))
    backend = host().backend_of(device)
    backend.presence(Overrides(threads=3).on(device, backend.precisions))


@FORMATS.add("config.toml", lambda: b'device = "cpu"\ncache_dir = "cache"\noffline = true\nplugin_timeout_s = 5\n'
         b'disable_plugins = ["x"]\nbundle = "glyphs"\n', mutate.damaged_toml)  # fmt: skip
def _use_config(content: bytes, folder: Path) -> None:
    from nagsdk.common import config

    before = os.environ["NAGSDK_CONFIG"]
    os.environ["NAGSDK_CONFIG"] = str(written(folder, "config.toml", content))
    try:
        for name in config.SETTINGS:
            config.look_up(name)
    finally:
        os.environ["NAGSDK_CONFIG"] = before


def _space() -> bytes:
    return json.dumps(TINY.to_dict()).encode()


@FORMATS.add("space.json", _space, mutate.damaged_json, 0.5)
def _use_space(content: bytes, folder: Path) -> None:
    from nagsdk.training.plan import space_of

    space_of(str(written(folder, "space.json", content)), 5)


def _probe() -> bytes:
    facts = {"init_ms": 12.5, "memory_mb": 30, "threads": 4, "cpuset": "/background", "thermal_after": 1}
    runs = [5.0 + 0.01 * run for run in range(24)]
    return json.dumps({"format": 1, "model_sha256": "a" * 64, "latencies_ms": runs, **facts}).encode()


@FORMATS.add("probe of an app", _probe, mutate.damaged_json)
def _use_probe(content: bytes, folder: Path) -> None:
    from nagsdk.budget import Budget
    from nagsdk.manifest.app_probe import read_probe
    from nagsdk.pipeline.app_evidence import judged

    probe = read_probe(written(folder, "probe.json", content))
    manifest = {"measured": {"latency_p50_ms": 5.0}, "threads": 1, "device_properties": {"model": "M"}}
    held, told = judged(probe, manifest, [Budget.parse(text) for text in ("5ms@p90", "9ms@init", "9MB@ram")])
    json.dumps([held, told], allow_nan=False)
