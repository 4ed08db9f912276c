"""Runs exported files with other programs; every program can have an environment of its own.

    python recipes/readers.py PROGRAM FOLDER

The folder comes from recipes/consumers.py, which asks for nothing of nagsdk here. FOLDER/PROGRAM.json gets for each
file what `compared` returns, or the reason why the program cannot run it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ONNX, TFLITE = ".onnx", ".tflite"
# Images (n, 3, h, w), as many as the file takes at once -> logits (n, classes).
Run = Callable[[Any], Any]


@dataclass(frozen=True)
class Program:
    """A program that reads files.

    Attributes:
        packages: Python packages that it needs.
        suffixes: Files that it reads.
        open: Opens a file.
    """

    packages: tuple[str, ...]
    suffixes: tuple[str, ...]
    open: Callable[[Path], Run]

    @property
    def missing(self) -> str:
        """Packages that are not installed."""
        return ", ".join(name for name in self.packages if importlib.util.find_spec(name) is None)


def compared(logits: Any, expected: Any) -> dict[str, float]:
    """Number of images with the expected class, and the largest relative error of any image's logits."""
    distance = np.linalg.norm(logits - expected, axis=1) / np.linalg.norm(expected, axis=1)
    return {"equal": int((logits.argmax(1) == expected.argmax(1)).sum()), "error": float(distance.max())}


def _onnxruntime(path: Path) -> Run:
    session = _module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run(["logits"], {"image": images})[0]


def _onnx(path: Path) -> Run:
    session = _module("onnx.reference").ReferenceEvaluator(str(path))
    return lambda images: session.run(["logits"], {"image": images})[0]


def _onnxsim(path: Path) -> Run:
    onnx = _module("onnx")
    simplified, correct = _module("onnxsim").simplify(onnx.load(path))
    if not correct:
        raise ValueError("the simplified network computes something else")
    return _saved(simplified, path)


def _onnxslim(path: Path) -> Run:
    return _saved(_module("onnxslim").slim(str(path)), path)


def _float16(path: Path) -> Run:
    converter = _module("onnxconverter_common.float16")
    return _saved(converter.convert_float_to_float16(_module("onnx").load(path), keep_io_types=True), path)


def _saved(model: Any, path: Path) -> Run:
    """Runs a network that was made of a file with ONNX Runtime."""
    made = path.with_suffix(".made")
    _module("onnx").save(model, made)
    return _onnxruntime(made)


def _onnx2tf(path: Path) -> Run:
    folder = path.with_suffix(".tensorflow")
    # It compares its steps on these images, and downloads them if they do not lie in the working folder.
    np.save("calibration_image_sample_data_20x128x128x3_float32.npy", np.zeros((20, 128, 128, 3), np.float32))
    _module("onnx2tf").convert(str(path), output_folder_path=str(folder), non_verbose=True)
    return _tensorflow(folder / f"{path.stem}_float32.tflite")


def _opencv(path: Path) -> Run:
    dnn = _module("cv2").dnn
    network = dnn.readNetFromONNX(str(path)) if path.suffix == ONNX else dnn.readNetFromTFLite(str(path))

    def run(images: Any) -> Any:
        network.setInput(images)  # channels first, for .tflite as well
        return network.forward()

    return run


def _openvino(path: Path) -> Run:
    network = _module("openvino").Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: network(_laid_out(images, path))[0]


def _tract(path: Path) -> Run:
    network = _module("tract").onnx().load(str(path)).into_model().into_runnable()
    return lambda images: network.run([images])[0].to_numpy()


def _tvm(path: Path) -> Run:
    tvm, relax = _module("tvm"), _module("tvm.relax")
    module = _module("tvm.relax.frontend.onnx").from_onnx(_module("onnx").load(path))
    machine = relax.VirtualMachine(tvm.compile(relax.get_pipeline("zero")(module), target="llvm"), tvm.cpu())
    return lambda images: machine["main"](tvm.runtime.tensor(images)).numpy()


def _ncnn(path: Path) -> Run:
    specification = importlib.util.find_spec("pnnx")  # importing it would need torch
    if specification is None or specification.origin is None:
        raise ValueError("pnnx is not installed")
    images = np.load(path.with_name("images.npy"), mmap_mode="r")
    shape = ",".join(str(size) for size in (int(path.stem[-1]), *images.shape[1:]))
    _call(
        Path(specification.origin).with_name("pnnx"), path.name, f"inputshape=[{shape}]", "fp16=0", folder=path.parent
    )
    ncnn = _module("ncnn")
    network = ncnn.Net()
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
    network.load_param(str(path.with_suffix(".ncnn.param")))
    network.load_model(str(path.with_suffix(".ncnn.bin")))

    def one(image: Any) -> Any:
        extractor = network.create_extractor()
        extractor.input(network.input_names()[0], ncnn.Mat(image).clone())
        return np.array(extractor.extract(network.output_names()[0])[1]).ravel()

    return lambda images: np.stack([one(image) for image in images])


def _mnn(path: Path) -> Run:
    kind, made = "ONNX" if path.suffix == ONNX else "TFLITE", path.with_suffix(".mnn")
    # The program `mnnconvert` installs a package with whatever pip is on the path, and reports its use to its maker. A
    # process of its own, because the converter crashes on some files.
    code = "import sys, MNN, _tools; _tools.mnnconvert(sys.argv)"
    options = ("-f", kind, "--modelFile", path.name, "--MNNModel", made.name, "--bizCode", "x")
    _call(Path(sys.executable), "-c", code, *options, folder=path.parent)
    mnn = _module("MNN")
    network = mnn.nn.load_module_from_file(str(made), ["image"], ["logits"])

    def run(images: Any) -> Any:
        given = _laid_out(images, path)
        variable = mnn.expr.placeholder(list(given.shape), mnn.expr.NCHW if path.suffix == ONNX else mnn.expr.NHWC)
        variable.write(given.tolist())
        return np.array(mnn.expr.convert(network.forward(variable), mnn.expr.NCHW).read()).reshape(len(images), -1)

    return run


def _litert(path: Path) -> Run:
    return _interpreted(_module("ai_edge_litert.interpreter").Interpreter, path)


def _compiled(path: Path) -> Run:
    model = _module("ai_edge_litert.compiled_model").CompiledModel.from_file(str(path))
    sources, targets = model.create_input_buffers(0), model.create_output_buffers(0)
    classes = int(np.load(f"{path}.npy", mmap_mode="r").shape[1])

    def run(images: Any) -> Any:
        sources[0].write(_laid_out(images, path))
        model.run_by_index(0, sources, targets)
        return targets[0].read(len(images) * classes, np.float32).reshape(len(images), classes)

    return run


def _tflite_runtime(path: Path) -> Run:
    return _interpreted(_module("tflite_runtime.interpreter").Interpreter, path)


def _tensorflow(path: Path) -> Run:
    return _interpreted(_module("tensorflow").lite.Interpreter, path)


def _interpreted(interpreter: Any, path: Path) -> Run:
    network = interpreter(model_path=str(path), num_threads=1)
    network.allocate_tensors()
    source, target = network.get_input_details()[0]["index"], network.get_output_details()[0]["index"]

    def run(images: Any) -> Any:
        network.set_tensor(source, np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
        network.invoke()
        return network.get_tensor(target)

    return run


def _quantizer(path: Path) -> Run:
    quantizer = _module("ai_edge_quantizer.quantizer").Quantizer(path.read_bytes())
    quantizer.load_quantization_recipe(_module("ai_edge_quantizer.recipe").dynamic_wi8_afp32())
    made = path.with_suffix(".made")
    made.write_bytes(quantizer.quantize().quantized_model)
    return _litert(made)


def _mediapipe(path: Path) -> Run:
    tasks, writers = _module("mediapipe.tasks.python"), "mediapipe.tasks.python.metadata.metadata_writers"
    settings = json.loads(path.with_name("preprocessing.json").read_text("utf-8"))
    mean, std = 255 * np.array(settings["mean"]), 255 * np.array(settings["std"])
    labels = (
        _module(f"{writers}.metadata_writer").Labels().add(path.with_name("labels.txt").read_text("utf-8").splitlines())
    )
    create = _module(f"{writers}.image_classifier").MetadataWriter.create
    content, _ = create(bytearray(path.read_bytes()), mean[:1].tolist(), std[:1].tolist(), labels).populate()
    base = tasks.BaseOptions(model_asset_buffer=bytes(content))
    task = tasks.vision.ImageClassifier.create_from_options(
        tasks.vision.ImageClassifierOptions(base_options=base, max_results=-1)
    )
    kind, image_class = _module("mediapipe").ImageFormat.SRGB, _module("mediapipe").Image

    def one(image: Any) -> Any:
        pixels = np.rint(image.transpose(1, 2, 0) * std + mean).astype(np.uint8)
        found = task.classify(image_class(image_format=kind, data=np.ascontiguousarray(pixels)))
        categories = found.classifications[0].categories
        return np.array([c.score for c in sorted(categories, key=lambda c: c.index)])

    return lambda images: np.stack([one(image) for image in images])


def _laid_out(images: Any, path: Path) -> Any:
    return images if path.suffix == ONNX else np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def _call(program: Path, *arguments: str, folder: Path) -> None:
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ValueError(f"{program.name} ends with {done.returncode}: {done.stderr[-200:]}")


def _module(name: str) -> Any:
    return importlib.import_module(name)


PROGRAMS: Mapping[str, Program] = {
    "onnxruntime": Program(("onnxruntime",), (ONNX,), _onnxruntime),
    "onnx": Program(("onnx",), (ONNX,), _onnx),
    "onnxsim": Program(("onnxsim", "onnx", "onnxruntime"), (ONNX,), _onnxsim),
    "onnxslim": Program(("onnxslim", "onnx", "onnxruntime"), (ONNX,), _onnxslim),
    "float16": Program(("onnxconverter_common", "onnx", "onnxruntime"), (ONNX,), _float16),
    "onnx2tf": Program(("onnx2tf", "tensorflow"), (ONNX,), _onnx2tf),
    "opencv": Program(("cv2",), (ONNX, TFLITE), _opencv),
    "openvino": Program(("openvino",), (ONNX, TFLITE), _openvino),
    "tract": Program(("tract",), (ONNX,), _tract),
    "tvm": Program(("tvm", "onnx"), (ONNX,), _tvm),
    "ncnn": Program(("ncnn", "pnnx"), (ONNX,), _ncnn),
    "mnn": Program(("MNN",), (ONNX, TFLITE), _mnn),
    "litert": Program(("ai_edge_litert",), (TFLITE,), _litert),
    "compiled": Program(("ai_edge_litert",), (TFLITE,), _compiled),
    "tflite_runtime": Program(("tflite_runtime",), (TFLITE,), _tflite_runtime),
    "tensorflow": Program(("tensorflow",), (TFLITE,), _tensorflow),
    "quantizer": Program(("ai_edge_quantizer", "ai_edge_litert"), (TFLITE,), _quantizer),
    "mediapipe": Program(("mediapipe",), (TFLITE,), _mediapipe),
}


def main(name: str, folder: Path) -> None:
    """Runs all files of a folder with a program, but those that it was tried with before."""
    program, images, kept = PROGRAMS[name], np.load(folder / "images.npy"), folder / f"{name}.json"
    results: dict[str, dict[str, Any]] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    legal = (p for p in folder.iterdir() if p.suffix in program.suffixes and Path(f"{p}.npy").exists())
    for path in sorted(p for p in legal if p.name not in results):
        batch = int(path.stem[-1])
        results[path.name] = {"reason": "the process ended"}  # stays if a native library ends it
        kept.write_text(json.dumps(results))
        try:
            run = program.open(path)
            parts = [run(images[i : i + batch]) for i in range(0, len(images), batch)]
            logits = np.concatenate([np.array(part).reshape(batch, -1) for part in parts])
            results[path.name] = compared(logits, np.load(f"{path}.npy"))
        except Exception as error:  # each program has its own
            results[path.name] = {"reason": f"{type(error).__name__}: {error}"[:500]}
        kept.write_text(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve())
