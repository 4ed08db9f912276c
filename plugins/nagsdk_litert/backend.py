"""The backend for LiteRT on the CPU of this machine; networks run in a worker process."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nagsdk.common.pip import pip
from nagsdk.device.backend import EXACT, Backend, Presence, Session, Tensor
from nagsdk.device.description import FLOAT_IO, Device
from nagsdk.device.host import processor
from nagsdk.device.integers import in_integers
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk.graph.schemes import Scheme
from nagsdk.space.layer import LayerSpec
from nagsdk_litert.session import LiteRtSession
from nagsdk_litert.settings import INTEGER, IOS, PRECISIONS, REWRITES, RUNTIMES, LiteRtSettings, split_by_default

if TYPE_CHECKING:
    from nagsdk.graph.ir import Graph

# Largest relative error of the logits that is accepted. It comes from rounding the weights, and for int8-dynamic also
# the activations, of about fifty layers. The integers of int8 are simulated, to the bit for XNNPACK on x86-64; others
# round halves in another way.
TOLERANCES = {"fp32": EXACT, "fp16": 1e-2, "int8": EXACT, "int8-dynamic": 0.35}
_OTHER_KERNELS = 0.15
_EXACT_ON = ("x86_64", "amd64")
# This machine as a device, for other plugins that check their files with LiteRT.
HOST = Device("litert-host", "this machine", "litert")
# Bytes that the tensors and operators of a layer take in a file without the weights; measured on exported files.
_OVERHEAD = {
    "conv": 300.0,
    "pointwise": 300.0,
    "depthwise": 300.0,
    "linear": 300.0,
    "se": 1400.0,
    "add": 120.0,
    "pool": 500.0,
    "maxpool": 400.0,
    "avgpool": 150.0,
    "norm": 1050.0,
    "attention": 2000.0,
}
_SPLIT_OVERHEAD = 2000.0
# What scales and zero points add to the tensors of a layer.
_INTEGER_OVERHEAD = 200.0
_INSTALL = f"Install it: {pip('install', 'ai-edge-litert', 'flatbuffers')}"


class LiteRtBackend(Backend):
    """Exports TFLite files and runs them with LiteRT on this machine's CPU.

    `LiteRtSettings.of` lists the device options.
    """

    id = "litert"
    title = "LiteRT on this machine's CPU"
    suffix = ".tflite"
    layout = "NHWC"
    precisions = PRECISIONS
    integer_precisions = (INTEGER,)
    ios = IOS

    def presence(self, device: Device) -> Presence:
        """Checks that the runtime and a suitable numpy are installed, without importing the runtime."""
        try:
            settings = LiteRtSettings.of(device)
        except DeviceError as error:
            return Presence.refused(error)
        distribution = next(name for name, package in RUNTIMES.items() if package == settings.package)
        if importlib.util.find_spec(settings.package) is None:
            return Presence(False, f"{distribution} is not installed. {_INSTALL}")
        numpy = importlib.metadata.version("numpy")
        if settings.package == "tflite_runtime" and int(numpy.split(".")[0]) >= 2:
            return Presence(
                False,
                f"tflite-runtime works only with numpy 1, but numpy {numpy} is installed. Use its successor "
                f"ai-edge-litert. {_INSTALL}",
            )
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
            # Tells readings from those of the former int8, which is now int8-dynamic.
            **({"arithmetic": "integers"} if settings.precision == INTEGER else {}),
            **numbers_of(device),
        }
        return Presence.of(properties)

    def rewrites(self, device: Device) -> Mapping[str, Device]:
        """With and without splitting large depthwise convolutions, unless the device's options choose one."""
        return rewrites_of(device)

    def tolerance(self, device: Device) -> float:
        """The tolerance of the device's precision."""
        settings = LiteRtSettings.of(device)
        known = settings.package == "ai_edge_litert" and platform.machine().lower() in _EXACT_ON
        return TOLERANCES[settings.precision] if settings.precision != INTEGER or known else _OTHER_KERNELS

    def layer_bytes(self, layer: LayerSpec, device: Device) -> float:
        """Bytes of the weights in their precision and of the layer's tensors and operators."""
        from nagsdk.graph.passes import FAST_TAPS

        settings = LiteRtSettings.of(device)
        split = layer.kind == "depthwise" and layer.kernel**2 > FAST_TAPS and settings.split_depthwise
        overhead = _SPLIT_OVERHEAD if split else layer.by_kind(_OVERHEAD)
        numbers = {"fp32": 4.0, "fp16": 2.0}.get(settings.precision, 1.0) * layer.folded_parameters
        # Beside the int8 weights, the file has a scale and a zero point for every channel, and the bias; with integers,
        # the bias has them too.
        each = {"int8-dynamic": 16.0, INTEGER: 28.0}.get(settings.precision, 0.0)
        scales = each * (layer.out_channels + layer.se_channels) if layer.weights else 0.0
        if settings.precision == INTEGER:
            overhead += _INTEGER_OVERHEAD * layer.by_kind(_OVERHEAD) / _OVERHEAD["conv"]
            scales *= 3 if split else 1  # every part has its own
        # In float16, operators of their own widen weights and biases; squeeze-and-excitation has two convolutions.
        widened = 200.0 * (1 + (layer.kind == "se")) if settings.precision == "fp16" and layer.weights else 0.0
        return numbers + scales + widened + overhead + 120.0 * (layer.activation == "hswish")

    def check_export(self, device: Device) -> None:
        """Checks that the packages which write TFLite files are installed."""
        from nagsdk.graph import tflite_schema  # noqa: F401 - raises if one is missing

    def scheme(self, device: Device) -> Scheme:
        """As XNNPACK computes it; 7x7 depthwise convolutions are split unless the device says otherwise."""
        return Scheme(split_depthwise=LiteRtSettings.of(device).split_depthwise)

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes a TFLite file; only int8 takes ranges from images."""
        settings = LiteRtSettings.of(device)
        if settings.precision == INTEGER:
            from nagsdk.graph.tflite_int8 import write_integer_tflite

            write_integer_tflite(in_integers(self, graph, device, images), path, device.io or IOS[INTEGER][0])
            return
        from nagsdk.graph.passes import split_large_depthwise
        from nagsdk.graph.tflite import write_tflite

        write_tflite(split_large_depthwise(graph) if settings.split_depthwise else graph, path, settings.precision)

    def inspect(self, artifact: Path) -> Mapping[str, Any]:
        """Operators of the file, and which of them delegates do not run; see `nagsdk.graph.lint.Lint.to_dict`."""
        from nagsdk.graph.lint import lint

        return lint(artifact).to_dict()

    def open(self, device: Device) -> Session:
        """Starts a worker process."""
        presence = self.presence(device)
        if not presence.available:
            raise DeviceUnavailableError(
                presence.reason, f"`nagsdk devices` lists the devices and says which are available. {_INSTALL}"
            )
        return LiteRtSession(LiteRtSettings.of(device))


def numbers_of(device: Device) -> dict[str, str]:
    """The numbers of input and output as a property of the device, unless they are the usual ones."""
    return {"io": device.io} if device.io not in ("", FLOAT_IO) else {}


def rewrites_of(device: Device) -> dict[str, Device]:
    """One device for each value of the option `split_depthwise`, the default first, by the name of the rewrite.

    Empty if the device has the option already.
    """
    options, default = dict(device.options), split_by_default(device.precision)
    if "split_depthwise" in options:
        return {}
    values = sorted(REWRITES, key=default.__ne__)
    return {
        REWRITES[value]: replace(device, options=tuple(sorted({**options, "split_depthwise": value}.items())))
        for value in values
    }
