"""Measures and judges finished networks from files, without choosing an architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.budget import MACS, SHOWN_UNITS, Budget
from nagsdk.common.files import writing
from nagsdk.common.temporary import temporary_folder
from nagsdk.cost.features import layer_features
from nagsdk.device.backend import Tensor
from nagsdk.errors import UnsupportedLayerError, UsageError
from nagsdk.events import stage
from nagsdk.graph.ir import Graph
from nagsdk.graph.layers import layers_of
from nagsdk.graph.onnx_file import PROGRAM, OnnxFile, name_of
from nagsdk.graph.parity import check, probe_image
from nagsdk.graph.program_file import ProgramFile
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.manifest.manifest import MODEL
from nagsdk.manifest.result import MISSED, Result
from nagsdk.pipeline.asked import check_output, limits_of, usual_folder
from nagsdk.pipeline.bill import measured_bill
from nagsdk.pipeline.build import infer
from nagsdk.pipeline.deployment import Deployment
from nagsdk.pipeline.models import cost_model
from nagsdk.pipeline.publish import write_folder
from nagsdk.pipeline.report_data import histogram, layer_rows
from nagsdk.pipeline.round import Built
from nagsdk.pipeline.rule import known_spread_of
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import time_artifacts
from nagsdk.pipeline.told import require_told
from nagsdk.pipeline.verdict import disturbance, judge, measured, needed_by
from nagsdk.space.architecture import Architecture
from nagsdk.space.layer import LayerSpec

# A file does not tell how pixels become inputs: its inputs are taken to be the values of the pixels, from 0 to 1.
_UNCHANGED = Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1.0)
_PREPROCESSING_UNKNOWN = (
    "The file does not tell how images become inputs: preprocessing.json passes pixels on, from 0 to 1. Normalise "
    "inputs as in the training of the network."
)
_NOT_COMPARED = "The outputs were not compared with those of another program, which does not know an operator."


def profile_given(target: Target, path: Path, architectures: bool = False) -> Result:
    """Measures a network from a file.

    Args:
        target: Where it runs. The reference network of the bundle is timed beside it.
        path: An ONNX file, or a program of torch.export (``.pt2``).
        architectures: Whether architectures were given too, which is refused.

    Raises:
        UsageError: The file cannot be measured.
        UnsupportedLayerError: The device takes other files, and an operator cannot be converted.
        DeviceError: The device is unavailable, busy or fails, or its runtime refuses the file.
    """
    if architectures:
        raise UsageError("A model and architectures were given.", "Measure them one after the other.")
    given = _read(target, path)
    target.require_presence()
    with temporary_folder() as work:
        built = _built(target, given, work)
        assert built.compiled is not None
        session = time_artifacts(target, {given.name: built.compiled}, work)[given.name]
    result = _result(target, given)
    return replace(
        result,
        measured=measured([session], 50.0, known_spread_of(target)),
        warnings=result.warnings + disturbance([session]),
    )


def deploy_given(
    target: Target,
    path: Path,
    budget: str | Budget | Sequence[str | Budget],
    output: str | Path | None,
    others: Mapping[str, object],
) -> Deployment:
    """Measures a network from a file, judges it, and writes its folder if it holds the budgets.

    Args:
        target: Where it runs. The reference network of the bundle is timed beside it.
        path: An ONNX file, or a program of torch.export (``.pt2``).
        budget: The budgets, which must all hold together.
        output: Folder for the deployment; one in ``deployments`` if None.
        others: Arguments about how a network is found and built, by name; none may be given.

    Raises:
        UsageError: The file cannot be measured, or arguments do not go together.
        UnsupportedLayerError: The device takes other files, and an operator cannot be converted.
        DeviceError: The device is unavailable, busy or fails, or its runtime refuses the file.
    """
    if given_too := [name for name, value in others.items() if value]:
        raise UsageError(
            f"{', '.join(given_too)} cannot be given with a finished model, which is measured as it is.",
            "Leave out the model, or the other arguments.",
        )
    budgets = tuple(wanted.for_batch(target.device.batch) for wanted in limits_of(budget, None, False))
    if unknown := [b for b in budgets if b.metric not in SHOWN_UNITS]:
        raise UsageError(
            f"{unknown[0]} cannot be judged for a finished model: {unknown[0].metric} is computed from layers that "
            "nagsdk knows.",
            f"Limit {', '.join(SHOWN_UNITS)}.",
        )
    given = _read(target, path)
    target.require_presence()
    require_told(target, budgets)
    if given.uncounted and any(b.metric == MACS for b in budgets):
        raise UsageError(
            f"The multiply-accumulates of {path} are not known: its operators include {', '.join(given.uncounted)}.",
            "Limit the latency.",
        )
    folder = usual_folder(target, budgets, None, given.name.split(":")[1]) if output is None else Path(output)
    check_output(target, folder)
    with temporary_folder() as work:
        with writing(work):
            built = _built(target, given, work)
            turn = judge(target, replace(_result(target, given), budgets=budgets), built, budgets)
        details: dict[str, Any] = {"protocol": target.protocol.to_dict(), "rounds": [turn.to_dict()]}
        if turn.result.verdict == MISSED:
            possible = needed_by(target, turn, budgets)
            hint = f"The nearest budget that the model would have held is {possible}."
            return Deployment(replace(turn.result, warnings=(*turn.result.warnings, hint)), None, details)
        details |= {
            "hashes": {"space": target.bundle.space.fingerprint, "model": given.sha256},
            "report": {
                "layers": layer_rows(given.layers, _predicted(target, given)),
                "frontier": None,
                "frontiers": [],
                "histogram": histogram(turn.deciding),
                **turn.drawn(),
                "bill": measured_bill(target, built.compiled, [layer for layer, _ in given.layers]),
                "calibration": [],
            },
        }
        warned = [_PREPROCESSING_UNKNOWN, *([_NOT_COMPARED] if built.parity is None else [])]
        result = replace(turn.result, warnings=(*turn.result.warnings, *warned))
        return write_folder(target, result, built, _UNCHANGED, None, details, folder)


def write_given(target: Target, path: Path, artifact: Path) -> None:
    """Writes a network from a file as the device takes it, without the device.

    Args:
        target: Where it is to run.
        path: An ONNX file, or a program of torch.export (``.pt2``).
        artifact: The file to write.

    Raises:
        UsageError: The file cannot be read.
        UnsupportedLayerError: The device takes other files, and an operator cannot be converted.
    """
    _write(target, _read(target, path), artifact)


@dataclass(frozen=True)
class _Given:
    """A network from a file.

    Attributes:
        name: Kind, name and hash of the file, such as ``onnx:mobilenetv2:5f2c…``.
        sha256: SHA-256 of the file.
        resolution: Height and width of its input.
        layers: Its layers, with the multiply-accumulates of one image.
        whole: Whether the layers are all that it computes.
        parameters: Number of values in its weights.
        uncounted: Kinds of operators that are not in `layers`; see `OnnxFile`.
        content: The bytes of an ONNX file; None for other files.
        graph: The network as nagsdk writes it; None if it has an operator that cannot be converted.
    """

    name: str
    sha256: str
    resolution: int
    layers: tuple[tuple[LayerSpec, int], ...]
    whole: bool
    parameters: int
    uncounted: tuple[str, ...]
    content: bytes | None
    graph: Graph | None

    @property
    def macs(self) -> int:
        return sum(macs for _, macs in self.layers)


def _read(target: Target, path: Path) -> _Given:
    backend, device = target.backend, target.device
    as_it_is = backend.suffix == ".onnx" and path.suffix != PROGRAM
    if path.suffix == PROGRAM:
        program = ProgramFile.read(path)
        batch, *_, size = program.graph.input_shape
        if batch != device.batch:
            raise UsageError(
                f"{path} is for {batch} images at once, and {device.id} computes {device.batch}.",
                f"Choose --batch {batch}, or export the network for {device.batch}.",
            )
        name = name_of(path, program.sha256)
        given = _Given(name, program.sha256, size, (), False, program.parameters, (), None, program.graph)
    else:
        file = OnnxFile.read(path, device.batch)
        given = _Given(
            file.name, file.sha256, file.resolution, file.layers, False, file.parameters, file.uncounted, file.content,
            None,
        )  # fmt: skip
        try:
            given = replace(given, graph=file.graph())
        except UnsupportedLayerError:
            if not as_it_is:
                raise
    if given.graph is not None:
        layers, whole = layers_of(given.graph)
        given = replace(given, layers=layers, whole=whole, uncounted=())
    legal = [p for p in backend.precisions[: 1 if as_it_is else None] if p not in backend.integer_precisions]
    if device.precision not in legal:
        raise UsageError(
            f"A finished model is measured as it is, and not in {device.precision}.",
            f"Choose --precision {' or '.join(legal)}.",
        )
    if not as_it_is:
        backend.check_export(device)
    return given


def _built(target: Target, given: _Given, work: Path) -> Built:
    """Writes and compiles the file, and compares its outputs with those of another program.

    That is the reference implementation of the onnx package, or nagsdk's own computation of a program of torch.export.
    """
    artifact = work / f"{MODEL}{target.backend.suffix}"
    _write(target, given, artifact)
    compiled = target.backend.compile(artifact, target.device, work)
    probe = _UNCHANGED.normalised(probe_image(given.resolution)[None])
    with stage(target.on_event, "Comparing outputs"):
        actual = infer(target.backend, target.device, artifact, compiled, probe)
        assert actual is not None
        expected = _expected(given, target.device.batch, probe)
    parity = None
    if expected is not None:
        of = "nagsdk's own computation" if given.content is None else "the onnx package"
        next_step = f"Do not use the file on {target.device.id}, or try another version of its runtime or of {of}."
        parity = check(expected, actual, target.backend.tolerance(target.device), of, next_step=next_step)
    logits = actual if expected is None else expected
    architecture = Architecture(given.name, (), given.resolution)
    return Built(architecture, artifact, compiled, parity, 0, {}, logits[-1])


def _write(target: Target, given: _Given, artifact: Path) -> None:
    if target.backend.suffix == ".onnx" and given.content is not None:
        artifact.write_bytes(given.content)
    else:
        assert given.graph is not None
        target.backend.export(given.graph, artifact, target.device)


def _expected(given: _Given, batch: int, probe: Tensor) -> Tensor | None:
    """Outputs by another program; None if that does not know an operator."""
    if given.content is None:
        import torch

        from nagsdk.graph.interpret import tensors

        assert given.graph is not None
        computed = dict(tensors(given.graph, torch.from_numpy(probe)))
        return np.asarray(computed[given.graph.output].numpy(), np.float32)
    from nagsdk.graph.onnx_reference import reference_outputs

    try:
        (outputs,) = reference_outputs(given.content, np.repeat(probe, batch, axis=0))
    except Exception:  # it raises anything for operators and attributes that it does not have
        return None
    return np.asarray(outputs, np.float32)[:1]


def _result(target: Target, given: _Given) -> Result:
    others = ", ".join(given.uncounted)
    warnings = (f"The count of multiply-accumulates is too low: those of {others} are not known.",) if others else ()
    size = (given.resolution, given.macs, given.parameters)
    device = target.device
    return Result(
        given.name,
        *size,
        target.bundle.name,
        device=device.id,
        warnings=warnings,
        precision=device.precision,
        threads=device.threads,
    )


def _predicted(target: Target, given: _Given) -> dict[str, float]:
    """Milliseconds of the layers by the device's cost model; empty where it has none, or a part is no known layer."""
    model = cost_model(target)
    if model is None or not given.whole:
        return {}
    prices = layer_features([layer for layer, _ in given.layers]) @ model.prior.weights
    return {layer.name: float(ms) for (layer, _), ms in zip(given.layers, prices, strict=True)}
