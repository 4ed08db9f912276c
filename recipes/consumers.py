"""Tries the exported files with other programs and writes the table of docs/consumers.md.

    python recipes/consumers.py ENVIRONMENTS [--only TITLE]

ENVIRONMENTS is a folder, in which every program gets a virtual environment of its own (4 GB in all, from PyPI).
Environments that are there are used as they are. A cell that is not right needs a note in `NOTES`, and a note
needs such a cell.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from readers import ONNX, PROGRAMS, TFLITE

import nagsdk
from nagsdk.device.description import Device
from nagsdk.graph.trace import trace
from nagsdk_litert.backend import LiteRtBackend
from nagsdk_onnxruntime.backend import OnnxRuntimeBackend

PAGE = Path(__file__).parents[1] / "docs/consumers.md"
START, END = "<!-- table -->", "<!-- end -->"
ARCHITECTURE = "mbv3:r44:d=3,2,2,2:ks=5,5,5,5,3,5,3,5,5:e=6,6,6,6,6,6,6,6,2"
IMAGES, BATCHES = 64, (1, 4)
OPSETS, PRECISIONS = ("17", "13", "11"), ("fp32", "fp16", "int8-dynamic", "int8")
INTEGER_ONNX = "int8, ONNX"
KINDS = (*(f"opset{opset}" for opset in OPSETS), INTEGER_ONNX, *PRECISIONS)
# Largest relative error of the logits, by kind of file, and by program if it makes another number format of the file.
# Every runtime rounds the activations of int8-dynamic in its own way. Those of integers are rounded by the file, but
# some runtimes round less often than it says.
TOLERANCE, TOLERANCES = 1e-4, {"int8-dynamic": 0.1, "int8": 0.25, INTEGER_ONNX: 0.25, "float16": 1e-2, "quantizer": 0.1}


@dataclass(frozen=True)
class Row:
    """A program in one version.

    Attributes:
        title: Its name in the table.
        program: Key of `PROGRAMS`.
        packages: What pip installs.
        alone: What pip installs without the packages that it depends on.
        batches: Numbers of images that it takes at once.
    """

    title: str
    program: str
    packages: tuple[str, ...]
    alone: tuple[str, ...] = ()
    batches: tuple[int, ...] = BATCHES


ROWS = (
    Row("ONNX Runtime 1.16.3 (2023)", "onnxruntime", ("onnxruntime==1.16.3", "numpy<2")),
    Row("onnx 1.23.2, reference evaluator", "onnx", ("onnx==1.23.2",)),
    Row("onnxsim 0.8.1", "onnxsim", ("onnxsim==0.8.1", "onnxruntime==1.31.1")),
    Row("onnxslim 0.1.98", "onnxslim", ("onnxslim==0.1.98", "onnxruntime==1.31.1")),
    Row("onnxconverter-common 1.16.0, float16", "float16", ("onnxconverter-common==1.16.0", "onnx", "onnxruntime")),
    Row("onnx2tf 1.29.24", "onnx2tf", ("onnx2tf==1.29.24",)),
    Row("OpenCV 5.0.0", "opencv", ("opencv-python-headless==5.0.0.93",)),
    Row("OpenCV 4.11.0", "opencv", ("opencv-python-headless==4.11.0.86", "numpy<2")),
    Row("OpenVINO 2026.4.1", "openvino", ("openvino==2026.4.1",)),
    Row("ncnn 1.0.20261020, by pnnx", "ncnn", ("ncnn==1.0.20261020",), ("pnnx==20261020",)),
    Row("MNN 3.6.1", "mnn", ("MNN==3.6.1",)),
    Row("TVM 0.27.0", "tvm", ("apache-tvm==0.27.0.post1", "onnx")),
    Row("tract 0.23.9", "tract", ("tract==0.23.9",)),
    Row("LiteRT 1.0.1", "litert", ("ai-edge-litert==1.0.1", "numpy<2")),
    Row("LiteRT 1.2.0", "litert", ("ai-edge-litert==1.2.0",)),
    Row("LiteRT 1.4.0", "litert", ("ai-edge-litert==1.4.0",)),
    Row("LiteRT 2.3.0, CompiledModel", "compiled", ("ai-edge-litert==2.3.0",)),
    Row("tflite-runtime 2.14.0 (2023)", "tflite_runtime", ("tflite-runtime==2.14.0", "numpy<2")),
    Row("TensorFlow 2.19.0", "tensorflow", ("onnx2tf==1.29.24",)),
    Row("ai-edge-quantizer 0.10.0, int8", "quantizer", ("ai-edge-quantizer==0.10.0", "ai-edge-litert==2.3.0")),
    Row("MediaPipe 0.10.21, one image", "mediapipe", ("mediapipe==0.10.21",), batches=(1,)),
)
_ROUNDING = "Every runtime rounds activations of int8-dynamic in its own way: images between classes may change theirs."
_OPENCV_4 = "OpenCV 4 has no sums with a constant in .tflite files: give it the .onnx, or use OpenCV 5."
_OPENCV_5 = "OpenCV reads no int8 weights beside float32 activations: give it the .onnx, or the file in fp32 or fp16."
_MNN = "MNN or its converter crashes on int8 weights: convert the .onnx in fp32 with `--weightQuantBits 8`."
_OPENCV_INTEGERS = "OpenCV refuses files of integers: give it the .onnx in fp32."
_OLD_RUNTIME = (
    "A runtime of 2023 rounds some operators of int8 in another way: images between classes may change theirs."
)
_ONNX = "The reference evaluator computes integers from opset 19 on only; nagsdk writes at most 17."
_ONNX2TF = "onnx2tf makes a file whose outputs are not numbers: give it the .onnx in fp32."
_PNNX = "pnnx does not convert files of integers: give it the .onnx in fp32."
NOTES = {
    **{
        (title, "int8-dynamic"): _ROUNDING
        for title in ("OpenVINO 2026.4.1", "LiteRT 1.0.1", "tflite-runtime 2.14.0 (2023)")
    },
    **{(title, "int8-dynamic"): _ROUNDING for title in ("TensorFlow 2.19.0", "MediaPipe 0.10.21, one image")},
    ("ai-edge-quantizer 0.10.0, int8", "fp32"): _ROUNDING,
    **{("OpenCV 4.11.0", kind): _OPENCV_4 for kind in PRECISIONS},
    ("OpenCV 5.0.0", "int8-dynamic"): _OPENCV_5,
    **{("MNN 3.6.1", kind): _MNN for kind in ("int8-dynamic", "int8", INTEGER_ONNX)},
    **{
        (f"OpenCV {version}", kind): _OPENCV_INTEGERS
        for version in ("5.0.0", "4.11.0")
        for kind in ("int8", INTEGER_ONNX)
    },
    ("tflite-runtime 2.14.0 (2023)", "int8"): _OLD_RUNTIME,
    ("onnx 1.23.2, reference evaluator", INTEGER_ONNX): _ONNX,
    ("onnx2tf 1.29.24", INTEGER_ONNX): _ONNX2TF,
    ("ncnn 1.0.20261020, by pnnx", INTEGER_ONNX): _PNNX,
}


def write_files(folder: Path, count: int = IMAGES) -> None:
    """Writes the network in every kind of file, the images, and the logits to compare with.

    The logits are those of the runtime with which nagsdk checks every file of the kind.

    Args:
        folder: An empty folder.
        count: Number of images.
    """
    bundle = nagsdk.load_bundle("glyphs")
    architecture = bundle.architecture(ARCHITECTURE)
    test = bundle.test_set(architecture.resolution)
    assert test is not None
    images, subnet = test.inputs[:count], bundle.subnet(architecture)
    np.save(folder / "images.npy", images)
    (folder / "labels.txt").write_text("".join(f"{number}\n" for number in range(bundle.space.classes)), "utf-8")
    (folder / "preprocessing.json").write_text(json.dumps(bundle.preprocessing.to_dict()), "utf-8")
    onnx, tflite = OnnxRuntimeBackend(), LiteRtBackend()
    for batch in BATCHES:
        graph = trace(subnet, architecture.resolution, batch)
        for kind in KINDS:
            backend = tflite if kind in PRECISIONS else onnx
            options = (("opset", kind.removeprefix("opset")),) if kind.startswith("opset") else ()
            precision = kind if kind in PRECISIONS else "int8" if kind == INTEGER_ONNX else ""
            device = Device("this", kind, backend.id, batch=batch, precision=precision, options=options)
            path = folder / names(kind, (batch,))[0]
            backend.export(graph, path, device, bundle.recalibration_images(architecture.resolution))
            with backend.open(device) as session:
                np.save(f"{path}.npy", session.infer(session.load(path), images))


def names(kind: str, batches: tuple[int, ...] = BATCHES) -> list[str]:
    """The files of a kind."""
    name, suffix = kind.replace(", ", "-"), TFLITE if kind in PRECISIONS else ONNX
    return [f"{name}_{batch}{suffix}" for batch in batches]


def reads(program: str, kind: str) -> bool:
    """Whether a program is meant for files of a kind."""
    suffix = TFLITE if kind in PRECISIONS else ONNX
    if program == "quantizer":
        return kind == "fp32"
    # There is nothing to convert to float16 in a file of integers.
    return suffix in PROGRAMS[program].suffixes and not (program == "float16" and kind == INTEGER_ONNX)


def fault(result: dict[str, Any], program: str, kind: str, count: int) -> str:
    """What is wrong with a result of the readers; empty if it is right."""
    if "reason" in result:
        return str(result["reason"])
    most = TOLERANCES.get(program, TOLERANCES.get(kind, TOLERANCE))
    if result["equal"] == count and result["error"] <= most:
        return ""
    return f"{result['equal']} of {count} classes are equal, the error is {result['error']:.1e} of at most {most:g}"


def environment(row: Row, folder: Path) -> Path:
    """The Python of a row's environment, which is made if it is not there."""
    place = folder / re.sub(r"[^A-Za-z0-9.]+", "-", " ".join(row.packages))
    python = place / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)  # noqa: S603
        install: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
        subprocess.run([*install, *row.packages], check=True)  # noqa: S603
        if row.alone:
            subprocess.run([*install, "--no-deps", *row.alone], check=True)  # noqa: S603
    return python


def tried(program: str, python: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """What a program made of the files; in silence, because programs print much.

    A program that crashes on a file is started again for the others.
    """
    command: list[str | Path] = [python, Path(__file__).with_name("readers.py"), program, folder]
    # A program that installs something at run time finds its own pip, and no package.
    own = {**os.environ, "PATH": os.pathsep.join([str(python.parent), os.defpath]), "PIP_NO_INDEX": "1"}
    found: dict[str, dict[str, Any]] = {}
    while True:
        done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False)  # noqa: S603
        before, results = len(found), folder / f"{program}.json"
        if not results.exists():
            raise ValueError(f"{program} cannot be started: {done.stderr[-500:]}")
        found = json.loads(results.read_text("utf-8"))
        if done.returncode == 0 or len(found) == before:
            return found


def cells(row: Row, results: dict[str, dict[str, Any]]) -> list[str]:
    """The cells of a row.

    Raises:
        ValueError: A cell is not right and has no note, or has a note and is right.
    """
    line = []
    for kind in KINDS:
        if not reads(row.program, kind):
            line.append("")
            continue
        found = [results[name] for name in names(kind, row.batches)]
        wrong = next((text for result in found if (text := fault(result, row.program, kind, IMAGES))), "")
        if bool(wrong) != ((row.title, kind) in NOTES):
            raise ValueError(f"{row.title}, {kind}: {wrong or 'is right, but has a note'}")
        mark = f" [{marks()[NOTES[row.title, kind]]}]" if wrong else ""
        if any("reason" in result for result in found):
            line.append(f"no{mark}")
        else:
            least = min(result["equal"] for result in found)
            line.append(f"{least}, {max(result['error'] for result in found):.0e}{mark}")
    return line


def marks() -> dict[str, int]:
    """The numbers of the notes, in the order in which the table shows them."""
    return {text: number for number, text in enumerate(dict.fromkeys(NOTES.values()), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environments", type=Path)
    parser.add_argument("--only", help="try one program, and print its cells instead of writing the page")
    options = parser.parse_args()
    lines = [f"| program | {' | '.join(KINDS)} |", f"|---|{'---|' * len(KINDS)}"]
    with tempfile.TemporaryDirectory() as work:
        files = Path(work) / "files"
        files.mkdir()
        write_files(files)
        for number, row in enumerate(ROWS):
            if options.only in (None, row.title):
                folder = shutil.copytree(files, Path(work) / f"row{number}")  # programs leave files beside these
                line = cells(row, tried(row.program, environment(row, options.environments), folder))
                lines.append(f"| {row.title} | {' | '.join(line)} |")
                print(lines[-1], flush=True)
    if options.only is None:
        lines += ["", *(f"{number}. {text}" for text, number in marks().items())]
        before, rest = PAGE.read_text("utf-8").split(START)
        text = "\n".join([before + START, "", *lines, "", END + rest.split(END)[1]])
        PAGE.write_text(text, "utf-8", newline="\n")


if __name__ == "__main__":
    main()
