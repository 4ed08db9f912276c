"""Builds candidates: cuts a subnet out of the supernet, recalibrates, exports, and checks the file against torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.activations import ACTIVATION_BYTES
from nagsdk.device.backend import Backend, Tensor
from nagsdk.device.description import Device
from nagsdk.device.reconnecting import reconnecting
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk.events import ignore, stage
from nagsdk.graph.parity import check, overall_error, probe_image
from nagsdk.manifest.manifest import MODEL
from nagsdk.manifest.result import Measured
from nagsdk.measuring.accuracy import Gain, calibration_error, fitted_temperature, paired_gain
from nagsdk.pipeline.round import Built
from nagsdk.pipeline.target import Target
from nagsdk.space.architecture import Architecture

if TYPE_CHECKING:
    from nagsdk.families.protocol import Subnet
    from nagsdk.graph.ir import Graph
    from nagsdk.training.source import Source
    from nagsdk.training.tuner import Tuner

# Integers are compared on more images, because runtimes differ by steps that only many images average out.
# One number is fitted to the validation images, so that more of them tell little.
_VALIDATION_IMAGES = 1000
_PARITY_IMAGES, _INTEGER_PARITY_IMAGES = 4, 32


@dataclass(frozen=True)
class _Evaluation:
    """A file on the bundle's test images.

    Attributes:
        measured: Its top-1 and calibration error.
        integers: How a file of integers compares with float32.
        right: Whether it names the right class, by image; None without images.
    """

    measured: Measured
    integers: Mapping[str, Any]
    right: NDArray[np.bool_] | None = None


@dataclass
class Builder:
    """Builds model files for a target.

    Attributes:
        target: Bundle and device.
        images: Folder of images to recalibrate batch normalisation on; the bundle's own images if None.
        timing_only: Whether to build without images, and with random weights if the bundle's are not on this machine,
            which makes the model's accuracy worthless.
        seed: Seed of all random choices.
        validation: Images to fit a temperature on, which the files are built with; see
            `nagsdk.measuring.accuracy.fitted_temperature`. None keeps the logits as they are.
    """

    target: Target
    images: Path | None = None
    timing_only: bool = False
    seed: int = 0
    validation: Source | None = None
    _evaluated: dict[Path, _Evaluation] = field(default_factory=dict, repr=False)

    def check(self, resolution: int | None = None) -> None:
        """Raises an error before long work starts if that work cannot succeed.

        Args:
            resolution: Pinned input size, if any.

        Raises:
            WeightsMissingError: The bundle's weights are not on this machine, and the model is not for timing only.
            ImagesMissingError: There are no images, and the files depend on some.
            ArchitectureError: The pinned resolution is not in the space.
            DeviceUnavailableError: A package that writes the device's files is not installed.
            UnsupportedLayerError: The device does not run layers that every network of the space has.
        """
        bundle = self.target.bundle
        _ = self.target.costs.supported
        if not self.timing_only:
            bundle.require_weights()
        self.target.backend.check_export(self.target.device)
        if resolution is not None:
            bundle.space.resolution_index(resolution)
        self._recalibration(min(bundle.space.resolutions))

    @property
    def recalibrated_on(self) -> str:
        """Source of the images for batch normalisation; ``none`` for finished networks, which need none."""
        if self.target.bundle.finished:
            return "none"
        return self.images.name if self.images else "bundle"

    def _recalibration(self, resolution: int) -> Tensor | None:
        """Images for batch normalisation and the ranges of integers; None if the files do not depend on images."""
        device, given = self.target.device, self.images is not None
        integer = device.precision in self.target.backend.integer_precisions
        if self.timing_only or (self.target.bundle.finished and not (integer or given)):
            return None
        return self.target.bundle.recalibration_images(resolution, self.images)

    def build(self, architecture: Architecture, folder: Path, tuner: Tuner | None = None) -> Built:
        """Cuts a subnet out, recalibrates and exports it, and checks the file against torch.

        Args:
            architecture: Architecture of the subnet.
            folder: Folder for the file.
            tuner: Trains the subnet before it is exported, if given.

        Raises:
            DeviceError: The runtime refuses the file or computes other outputs than torch, or than the simulation of
                integers.
            DataError: The network has no finite ranges for integers.
        """
        import torch

        from nagsdk.graph.arena import peak_activations
        from nagsdk.graph.integer_parity import check_integers
        from nagsdk.graph.integer_passes import fed_with
        from nagsdk.graph.integers import IntegerGraph, numbers_of
        from nagsdk.graph.passes import with_temperature
        from nagsdk.graph.simulate import simulated
        from nagsdk.graph.trace import trace
        from nagsdk.supernet.recalibrate import statistics

        target, resolution = self.target, architecture.resolution
        bundle, backend, device = target.bundle, target.backend, target.device
        images = self._recalibration(resolution)
        subnet = self._subnet(architecture, images)
        integer = device.precision in backend.integer_precisions
        if tuner is not None:
            tuner.tune(subnet, integer)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{MODEL}{backend.suffix}"
        count = _INTEGER_PARITY_IMAGES if integer else _PARITY_IMAGES
        probe = np.random.default_rng(self.seed).normal(size=(count, 3, resolution, resolution)).astype(np.float32)
        if images is not None:
            probe = images[:count]
        steps = bundle.preprocessing
        seen = None if images is None else target.fed(images)

        traced = trace(subnet, resolution, device.batch)

        def written(unfed: Graph) -> tuple[Graph, Path | None]:
            network = fed_with(unfed, device.io, steps.mean, steps.std)
            if integer:
                network = backend.quantised(network, device, target.fed(probe) if seen is None else seen)
                if tuner is not None and isinstance(network, IntegerGraph):
                    network = tuner.tune_integers(network, lambda batch: torch.from_numpy(target.fed(batch.numpy())))
            backend.export(network, path, device, seen)
            return network, backend.compile(path, device, folder) if target.presence.available else None

        graph, compiled = written(traced)
        temperature = None
        if self.validation is not None:
            temperature = self._temperature(self.validation, path, compiled, resolution)
            graph, compiled = written(with_temperature(traced, temperature))
        probe = np.concatenate([probe, steps.normalised(probe_image(resolution)[None])])
        with torch.no_grad():
            exact = expected = subnet(torch.from_numpy(probe)).numpy() / np.float32(temperature or 1.0)
        probe = target.fed(probe)
        if isinstance(graph, IntegerGraph):
            expected = simulated(graph, probe)
        if compiled not in (None, path, folder / f"{MODEL}{backend.compiled_suffix}"):
            raise DeviceError(
                f"The backend {backend.id} compiled {path.name} to {compiled}, which its compiled_suffix does not say.",
                "Report this to the author of its plugin.",
            )
        actual = infer(backend, device, path, compiled, probe)
        facts = {ACTIVATION_BYTES: float(peak_activations(graph, device.io))}
        used = 0 if images is None or bundle.finished else len(images)
        tolerance, kept = backend.tolerance(device), statistics(subnet)
        if isinstance(graph, IntegerGraph):
            error = None if actual is None else check_integers(graph, probe, expected, actual, tolerance)
            record = {
                "weight_bits": graph.most.bit_length() + 1,
                "images": 0 if images is None else graph.ranges.images,
                "error": overall_error(exact, expected),
                "input": numbers_of(graph, graph.INPUT, device.io),
                "output": numbers_of(graph, graph.output, device.io),
            }
            kept |= graph.ranges.to_statistics()
            return Built(
                architecture, path, compiled, error, used, kept, expected[-1], record, subnet, facts, temperature
            )
        error = None if actual is None else check(expected, actual, tolerance)
        return Built(
            architecture, path, compiled, error, used, kept, expected[-1], facts=facts, temperature=temperature
        )

    def _subnet(self, architecture: Architecture, images: Tensor | None) -> Subnet:
        bundle = self.target.bundle
        if images is not None:
            return bundle.subnet(architecture, images)
        if bundle.has_weights:
            return bundle.supernet.extract(architecture)
        import torch

        from nagsdk.supernet.recalibrate import recalibrate

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            subnet = bundle.space.build(architecture).eval()
            noise = torch.randn(_PARITY_IMAGES, 3, architecture.resolution, architecture.resolution)
        recalibrate(subnet, noise)  # keeps activations near 1, so that runtimes can be compared with torch
        return subnet

    def evaluate(self, built: Built) -> Measured:
        """Measured top-1 of the artifact on the bundle's test images; empty if there are none."""
        return self._evaluated_once(built).measured

    def compare(self, built: Built) -> Mapping[str, Any] | None:
        """What a file of integers was made of, and how it compares with float32 on the test images; else None."""
        return None if built.integers is None else {**built.integers, **self._evaluated_once(built).integers}

    def gain(self, before: Built, after: Built) -> Gain | None:
        """How much better a file is than another one on the bundle's test images; None if there are none."""
        first, second = self._evaluated_once(before).right, self._evaluated_once(after).right
        return None if first is None or second is None else paired_gain(first, second)

    def _temperature(self, source: Source, path: Path, compiled: Path | None, resolution: int) -> float:
        """Fits a temperature to the outputs of a file for validation images."""
        images, labels = source.some("val", _VALIDATION_IMAGES, resolution)
        target = self.target
        with stage(target.on_event, "Fitting the temperature"):
            logits = infer(target.backend, target.device, path, compiled, target.fed(images))
        if logits is None:
            raise DeviceUnavailableError(
                "Nothing on this machine runs the file, so no temperature can be fitted to its outputs.",
                target.presence.reason,
            )
        return fitted_temperature(logits, labels)

    def _evaluated_once(self, built: Built) -> _Evaluation:
        if built.path not in self._evaluated:
            self._evaluated[built.path] = self._evaluate(built)
        return self._evaluated[built.path]

    def _evaluate(self, built: Built) -> _Evaluation:
        from nagsdk.supernet.evaluate import outputs, wilson

        target = self.target
        test = None if self.timing_only else target.bundle.test_set(built.architecture.resolution)
        unknown = _Evaluation(Measured(), {"float_top1": None, "agreement": None})
        if test is None:
            return unknown
        with stage(target.on_event, "Evaluating on the test images"):
            logits = infer(target.backend, target.device, built.path, built.compiled, target.fed(test.inputs))
            float_logits = None if built.exact is None or logits is None else outputs(built.exact, test.inputs)
        if logits is None:
            return unknown
        # In the same operations as `evaluate`, so that its figure is the same to the last digit.
        top1 = 100.0 * int((logits.argmax(1) == test.labels).sum()) / len(test.labels)
        low, high = (100 * limit for limit in wilson(top1 / 100, len(test.labels)))
        true = Measured(
            top1=top1,
            top1_low=low,
            top1_high=high,
            test_images=len(test.labels),
            ece=calibration_error(logits, test.labels),
        )
        if built.temperature is not None:
            unscaled = calibration_error(logits * np.float32(built.temperature), test.labels)
            true = replace(true, ece_unscaled=unscaled)
        right = logits.argmax(1) == test.labels
        if float_logits is None:
            return _Evaluation(true, {}, right)
        best = float_logits.argmax(1)
        compared = {
            "float_top1": 100.0 * int((best == test.labels).sum()) / len(test.labels),
            "agreement": 100 * float((best == logits.argmax(1)).mean()),
        }
        return _Evaluation(true, compared, right)


def infer(backend: Backend, device: Device, artifact: Path, compiled: Path | None, images: Tensor) -> Tensor | None:
    """Computes the logits of an artifact.

    Args:
        backend: The backend of the device.
        device: Device to run the artifact on.
        artifact: The model file.
        compiled: The file that runs on the device; None if the device is unavailable, so that its backend emulates it
            if it can.
        images: Normalised inputs, float32, shape (n, 3, h, w).

    Returns:
        Logits, shape (n, classes); None if nothing on this machine runs the file.
    """
    if compiled is None:
        return backend.emulate(artifact, device, images)

    def run() -> Tensor:
        with backend.open(device) as session:
            return session.infer(session.load(compiled), images)

    return reconnecting(run, ignore)
