"""LiteRT on the CPU of this machine, in a process of its own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nagsdk.architecture import LayerSpec
from nagsdk.device.backend import EXACT, Backend, Presence, Session, Tensor
from nagsdk.device.description import Device
from nagsdk.device.host import processor
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk.graph.ir import Graph
from nagsdk.graph.passes import FAST_TAPS, split_large_depthwise
from nagsdk.installing import pip
from nagsdk.processes import can_pin

# Distribution -> package; tflite-runtime is the predecessor, last released in 2023.
RUNTIMES = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}
# What the option `split_depthwise` chooses between.
REWRITES = {"1": "split depthwise", "0": "none"}
# Relative error of logits: rounding of weights, and of activations too for int8, over some fifty layers.
TOLERANCES = {"fp32": EXACT, "fp16": 1e-2, "int8": 0.35}
# The machine itself, for other plugins that check their files with LiteRT.
HOST = Device("litert-host", "this machine", "litert")
_INSTALL = f"Install it: {pip('install', 'nagsdk[litert]')}"


@dataclass(frozen=True)
class Settings:
    """What the worker is started with.

    Attributes:
        threads: Threads of one inference.
        package: Of the runtime; see `RUNTIMES`.
        split_depthwise: Whether 7x7 depthwise convolutions are written as sums of smaller ones.
        precision: Of weights and arithmetic.
        cores: Cores to stay on; empty for all.
    """

    threads: int
    package: str
    split_depthwise: bool
    precision: str
    cores: tuple[int, ...]

    @classmethod
    def of(cls, device: Device) -> Settings:
        """Reads the options `runtime` (a key of `RUNTIMES`), `split_depthwise` (0 or 1) and `cores` (such as ``2,3``; not on macOS).

        Raises:
            DeviceError: An option that is none of these, or has an impossible value.
        """
        precision = device.precision or LiteRtBackend.precisions[0]
        options = {"runtime": "", "split_depthwise": split_by_default(precision), "cores": "", **dict(device.options)}
        cores = options["cores"].split(",") if options["cores"] else []
        runtime = options["runtime"] or _installed()
        known = len(options) == 3 and runtime in RUNTIMES and options["split_depthwise"] in ("0", "1")
        if not known or not all(c.strip().isdecimal() for c in cores) or (cores and not can_pin()):
            raise DeviceError(
                f"The options of the device {device.id} do not suit this backend: {options}.",
                f"Use runtime ({' or '.join(RUNTIMES)}), split_depthwise (0 or 1) and, except on macOS, cores (numbers such as 2,3).",
            )
        return cls(device.threads, RUNTIMES[runtime], options["split_depthwise"] == "1", precision, tuple(int(c) for c in cores))


class LiteRtBackend(Backend):
    """Exports TFLite files and runs them with LiteRT on this machine's CPU; see `Settings.of` for the device options."""

    id = "litert"
    title = "LiteRT on this machine's CPU"
    suffix = ".tflite"
    layout = "NHWC"
    precisions = ("fp32", "fp16", "int8")

    def presence(self, device: Device) -> Presence:
        """Looks for the runtime without importing it, and for the numpy that it works with."""
        try:
            settings = Settings.of(device)
        except DeviceError as error:
            return Presence.refused(error)
        distribution = next(name for name, package in RUNTIMES.items() if package == settings.package)
        if importlib.util.find_spec(settings.package) is None:
            return Presence(False, f"{distribution} is not installed. {_INSTALL}")
        numpy = importlib.metadata.version("numpy")
        if settings.package == "tflite_runtime" and int(numpy.split(".")[0]) >= 2:
            return Presence(False, f"tflite-runtime works with numpy 1 only, and this is numpy {numpy}. Use its successor. {_INSTALL}")
        if settings.precision != "fp32" and importlib.util.find_spec("ai_edge_quantizer") is None:
            told = f"ai-edge-quantizer, which {settings.precision} needs, is not installed."
            return Presence(False, f"{told} Install it: {pip('install', 'nagsdk[quantize]')}")
        properties = {
            "processor": processor(),
            "processor_cores": str(os.cpu_count()),
            "machine": f"{platform.machine()} {platform.system()}",
            "runtime": "litert",
            "runtime_version": f"{distribution} {importlib.metadata.version(distribution)}",
            "threads": str(settings.threads),
            "precision": settings.precision,
            "rewrite": REWRITES[str(int(settings.split_depthwise))],
            "pinned_to": ",".join(map(str, settings.cores)) or "all cores",
        }
        return Presence.of(properties)

    def rewrites(self, device: Device) -> Mapping[str, Device]:
        """With and without splitting large depthwise convolutions, where the description does not say."""
        return rewrites_of(device)

    def tolerance(self, device: Device) -> float:
        """That of the precision."""
        return TOLERANCES[Settings.of(device).precision]

    def layer_bytes(self, layer: LayerSpec, device: Device) -> float:
        """The weights in their precision, and what tensors and operators take besides, read off exported files."""
        settings = Settings.of(device)
        split = layer.kind == "depthwise" and layer.kernel**2 > FAST_TAPS and settings.split_depthwise
        overhead = {"se": 1400.0, "add": 120.0, "pool": 500.0}.get(layer.kind, 2000.0 if split else 300.0)
        numbers = {"fp32": 4.0, "fp16": 2.0, "int8": 1.0}[settings.precision] * layer.folded_parameters
        # Besides int8 weights stand a scale and a zero point for every channel, and the bias.
        scales = 16.0 * (layer.out_channels + layer.se_channels) if settings.precision == "int8" and layer.weights else 0.0
        return numbers + scales + overhead + 120.0 * (layer.activation == "hswish")

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes a TFLite file; none of the precisions needs images."""
        from nagsdk.graph.tflite import write_tflite

        settings = Settings.of(device)
        write_tflite(split_large_depthwise(graph) if settings.split_depthwise else graph, path)
        if settings.precision != self.precisions[0]:
            from nagsdk.graph.quantize import quantize

            quantize(path, settings.precision)

    def inspect(self, artifact: Path) -> Mapping[str, Any]:
        """Operators, and which of them delegates leave to the plain CPU kernels; see `nagsdk.graph.lint.Lint.to_dict`."""
        from nagsdk.graph.lint import lint

        return lint(artifact).to_dict()

    def open(self, device: Device) -> Session:
        """Starts a worker process."""
        from nagsdk_litert.session import LiteRtSession

        presence = self.presence(device)
        if not presence.available:
            raise DeviceUnavailableError(presence.reason, f"`nagsdk devices` shows what is there. {_INSTALL}")
        return LiteRtSession(Settings.of(device))


def split_by_default(precision: str) -> str:
    """What is faster: the kernels for int8 have no cliff at 25 taps, and quantise the input of every part anew."""
    return "0" if precision == "int8" else "1"


def rewrites_of(device: Device) -> dict[str, Device]:
    """The values of the option `split_depthwise` by name, unless the device has the option already."""
    options, first = dict(device.options), split_by_default(device.precision)
    if "split_depthwise" in options:
        return {}
    values = sorted(REWRITES, key=first.__ne__)
    return {REWRITES[value]: replace(device, options=tuple(sorted({**options, "split_depthwise": value}.items()))) for value in values}


def _installed() -> str:
    """The first of the runtimes that is installed; the first of all where none is."""
    return next((name for name, package in RUNTIMES.items() if importlib.util.find_spec(package)), next(iter(RUNTIMES)))
