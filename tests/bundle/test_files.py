"""A right hash does not make a right file: what others wrote is used as it should be, or refused by name."""

import copy
import hashlib
import io
import json
import os
import random
import shutil
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load, save

import nagsdk
from nagsdk.bundle.bundle import Bundle
from nagsdk.common.folders import shipped
from nagsdk.errors import DamagedBundleError
from nagsdk.generator.generator import _digest
from nagsdk.inventory import show_bundle

GLYPHS = shipped("bundles") / "glyphs"
TEXT = json.loads((GLYPHS / "bundle.json").read_text("utf-8"))
CLASSES, COUNT = TEXT["space"]["classes"], TEXT["images"]["test"]["count"]
WEIGHTS, PREDICTOR, GENERATOR = (f"{name}.safetensors" for name in ("supernet", "predictor", "generator"))


def content(name):
    return (GLYPHS / name).read_bytes()


def use(bundle, name):
    """Uses a file of a bundle as commands do."""
    if name == "labels.txt":
        return bundle.labels
    if name == "bundle.json":
        return json.dumps(show_bundle(bundle.folder), allow_nan=False)
    if name in ("test.webp", "test_labels.json"):
        return bundle.test_set(32)
    if name == "recalibration.webp":
        return bundle.recalibration_images(32)
    if name == WEIGHTS:
        return bundle.supernet
    show_bundle(bundle.folder)
    return nagsdk.generate("cpu", budget="2MMACs", bundle=bundle)


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Makes a copy of glyphs with other files, whose right hashes bundle.json lists."""
    folder = tmp_path_factory.mktemp("bundles")

    def made(files, edit=lambda text: None):
        shutil.rmtree(folder)
        folder.mkdir()
        text = copy.deepcopy(TEXT)
        for name in TEXT["files"]:
            if name not in files:
                shutil.copyfile(GLYPHS / name, folder / name)
        for name, changed in files.items():
            (folder / name).write_bytes(changed)
            text["files"][name] = {"sha256": hashlib.sha256(changed).hexdigest(), "bytes": len(changed)}
        edit(text)
        (folder / "bundle.json").write_text(json.dumps(text))
        return folder

    return made


def refused(folder, name):
    with pytest.raises(DamagedBundleError) as caught:
        use(Bundle(folder), name)
    assert caught.value.next_step and (name in caught.value.message or name == "bundle.json")
    return caught.value.message


def picture(width, height, file_format="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, file_format)
    return file.getvalue()


def names(*changed):
    lines = [*changed, *(f"class {i}" for i in range(len(changed), CLASSES))]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")


def numbers(*changed):
    return json.dumps([*changed, *[0] * (COUNT - len(changed))]).encode()


@pytest.mark.parametrize(
    ("name", "changed", "says"),
    [
        ("labels.txt", "ä\n".encode("latin-1") * CLASSES, "it is not UTF-8"),
        ("labels.txt", b"", "holds 1 names"),
        ("labels.txt", names() + b"more\n", "holds 48 names"),
        ("labels.txt", names()[:-9], "holds 46 names"),
        ("labels.txt", names("\x1b[31m"), "line 1 "),
        ("labels.txt", names("a", "b\0"), "line 2 "),
        ("labels.txt", names("\x85"), "line 1 "),
        ("labels.txt", names("\ud800"), "it is not UTF-8"),
        ("labels.txt", names(" "), "line 1 "),
        ("labels.txt", names("x" * 201), "line 1 "),
        ("labels.txt", names("class 5"), "'class 5'"),
        ("test_labels.json", b"x", "cannot be used"),
        ("test_labels.json", b"{}", "not a list"),
        ("test_labels.json", b"[" * 5000 + b"]" * 5000, "nested"),
        ("test_labels.json", numbers()[:-4] + b"]", "not a list of"),
        ("test_labels.json", numbers("x"), "label 0"),
        ("test_labels.json", numbers(0, 1.5), "label 1"),
        ("test_labels.json", numbers(True), "label 0"),
        ("test_labels.json", numbers(-1), "label 0"),
        ("test_labels.json", numbers(CLASSES), "label 0"),
        ("test_labels.json", numbers(10**30), "too large"),
        ("test_labels.json", b"[" + b"9" * 5000 + b"]", "too large"),
        ("test_labels.json", b"\xff\xfe[", "cannot be used"),
        ("test.webp", b"no image", "not a readable image"),
        ("test.webp", content("test.webp")[:5000], "not a readable image"),
        ("test.webp", picture(48, 48), "48 x 48"),
        ("recalibration.webp", b"", "not a readable image"),
        ("recalibration.webp", picture(1, 1), "1 x 1"),
        ("recalibration.webp", picture(3072, 768, "JPEG"), "not a readable image"),
    ],
)
def test_contents_with_a_right_hash_that_are_no_such_file_are_refused(make, name, changed, says):
    told = refused(make({name: changed}), name)
    assert says in told and "has the recorded hash" in told


def test_names_of_classes_in_other_forms_are_read(make):
    lines = "".join(f"Klasse {i} – ö日\r\n" for i in range(CLASSES)).removesuffix("\r\n")
    labels = use(Bundle(make({"labels.txt": lines.encode()})), "labels.txt")
    assert labels[0] == "Klasse 0 – ö日" and len(labels) == CLASSES


def tensors(name, change):
    return save({key: change(key, array) for key, array in load(content(name)).items()})


def described(header, body=b"1234"):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


BROKEN = {
    "empty": b"",
    "torn": content(WEIGHTS)[:-100],
    "header of 2^62 bytes": struct.pack("<Q", 2**62) + b"{}",
    "deep header": described(b"[" * 10**5),
    "2^80 elements": described({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}),
    "no elements, but huge": described({"a": {"dtype": "F32", "shape": [0, 2**63], "data_offsets": [0, 0]}}, b""),
    "unknown type": described({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}),
    "float8": described({"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}),
    "no tensors": save({}),
    "another shape": tensors(WEIGHTS, lambda key, array: array.reshape(-1)[:1]),
    "whole numbers": tensors(WEIGHTS, lambda key, array: array.astype(np.int32)),
    "nan": tensors(WEIGHTS, lambda key, array: array * np.float16("nan")),
    "beyond float32": tensors(WEIGHTS, lambda key, array: np.full(array.shape, 1e300)),
    "negative variances": tensors(WEIGHTS, lambda key, array: array - 99 if key.endswith("running_var") else array),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_weights_that_are_none_are_refused(make, kind):
    refused(make({WEIGHTS: BROKEN[kind]}), WEIGHTS)


def predictor(weights, **card):
    text = {**json.loads(content("predictor.json")), "sha256": hashlib.sha256(weights).hexdigest(), **card}
    return {PREDICTOR: weights, "predictor.json": json.dumps(text).encode()}


@pytest.mark.parametrize("kind", BROKEN)
def test_predictors_that_are_none_are_refused(make, kind):
    refused(make(predictor(BROKEN[kind])), PREDICTOR)


@pytest.mark.parametrize(
    "change",
    [
        lambda key, array: array * np.nan if array.dtype != bool else array,
        lambda key, array: np.full_like(array, 1e30) if array.dtype != bool else array,
        lambda key, array: -array if key == "numbers" else array,
        lambda key, array: array - 100 if key == "resolutions.doubt" else array,
        lambda key, array: np.full_like(array, -1e6) if key == "ensemble.bias" else array,
        lambda key, array: array[:0] if key == "ensemble.second" else array,
        lambda key, array: array.astype(np.float64) if key == "leverage" else array,
    ],
)
def test_predictors_that_predict_no_numbers_are_refused(make, change):
    refused(make(predictor(tensors(PREDICTOR, change))), PREDICTOR)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"x", b"[]", b'"x"', b"[" * 10**5, b"{}", b"\xff", b"\xef\xbb\xbf{}",
        *(
            json.dumps({**json.loads(content("predictor.json")), key: value}).encode()
            for key, values in {
                "format": [None, "2", 3], "space": [None, 1], "sha256": [None, "0" * 64, []],
                "warnings": ["text", [1], {}, None], "doubt": [1, ["x"]], "seed": [float("nan"), 10**40],
            }.items()
            for value in values
        ),
    ],
)  # fmt: skip
def test_cards_of_predictors_that_are_none_are_refused(make, text):
    refused(make({"predictor.json": text}), "predictor.json")


def generator(change=lambda key, array: array, card=None):
    file = content(GENERATOR)
    metadata = json.loads(file[8 : 8 + int.from_bytes(file[:8], "little")])["__metadata__"]
    card = metadata["card"] if card is None else card(json.loads(metadata["card"]))
    arrays = {key: change(key, array) for key, array in load(file).items()}
    return save(arrays, metadata={"card": card, "sha256": _digest(card, arrays)})


@pytest.mark.parametrize(
    "changed",
    [
        BROKEN["empty"],
        BROKEN["2^80 elements"],
        save(load(content(GENERATOR))),
        save(load(content(GENERATOR)), metadata={"x": "y"}),
        generator(lambda key, array: array * np.nan),
        generator(lambda key, array: np.full_like(array, 1e30)),
        generator(lambda key, array: array[:0]),
        generator(lambda key, array: array.reshape(-1)),
        generator(lambda key, array: array.astype(np.float64)),
        generator(card=lambda card: "[]"),
        generator(card=lambda card: "[" * 10**5),
        *(
            generator(card=lambda card, wrong=wrong: json.dumps({**card, **wrong}))
            for wrong in ({"seed": "x"}, {"seed": True}, {"recipe": []}, {"kind": 1}, {"more": 1}, {"regret": None})
        ),
    ],
)
def test_generators_that_are_none_are_refused(make, changed):
    refused(make({GENERATOR: changed}), GENERATOR)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("preprocessing", "crop_fraction"), 1e-300), (("preprocessing", "crop_fraction"), 0.01),
        (("preprocessing", "std"), [0, 1, 1]), (("preprocessing", "std"), [-1, 1, 1]),
        (("preprocessing", "mean"), [1e308] * 3), (("preprocessing", "mean"), [float("nan")] * 3),
        (("images", "test", "file"), "../test.webp"), (("images", "test", "count"), 100_000),
        (("images", "recalibration", "file"), "/etc/passwd"), (("images", "tile"), 1),
        (("space", "resolution_choices"), [32, 9999]), (("space", "resolution_choices"), list(range(1, 300))),
        (("space", "resolution_choices"), None), (("space", "resolution_choices"), "32"),
        (("space", "classes"), 10**12),
        (("space", "classes"), True), (("space", "classes"), 1.5), (("space", "stem_width"), -8),
        (("space", "head_width"), 10**9), (("space", "feature_width"), float("inf")), (("space", "stem_width"), 2**80),
        (("space", "width_multiplier"), 1e308), (("space", "width_multiplier"), "1"),
        (("space", "width_multiplier"), 16),
        (("space", "kernels"), {}), (("space", "kernels"), [2]), (("space", "stages"), "x"), (("space", "stages"), [1]),
        (("space", "stages"), TEXT["space"]["stages"] * 500), (("space", "stages", 0, "stride"), 0),
        (("space", "stages", 0, "stride"), 10**6), (("space", "stages", 0, "width"), "a"),
        (("space", "stages", 0, "depths"), None), (("space", "stages", 0, "se"), 1),
        (("space", "stages", 0, "activation"), []), (("space", "family"), []), (("provenance", "x"), float("inf")),
        (("provenance", "x"), 10**400), (("title",), "x" * 10**5), (("weights_source_sha256",), "x"),
        (("files", "a/b"), {"sha256": "0" * 64, "bytes": 1}), (("files", "..", ), {"sha256": "0" * 64, "bytes": 1}),
    ],
)  # fmt: skip
def test_descriptions_with_values_that_cannot_be_used_are_refused(make, where, value):
    def edit(text):
        for key in where[:-1]:
            text = text[key]
        text[where[-1]] = value

    refused(make({}, edit), "bundle.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
@pytest.mark.parametrize("name", ["bundle.json", "labels.txt", WEIGHTS, "predictor.json", GENERATOR, "test.webp"])
@pytest.mark.parametrize("special", ["pipe", "zero", "loop", "folder"])
def test_special_files_are_not_read(make, name, special):
    path = make({}) / name
    path.unlink()
    if special == "pipe":
        os.mkfifo(path)
    elif special == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if special == "zero" else path)
    refused(path.parent, name)


def mutated(text, rng):
    """The content with some bytes changed, inserted or missing, mostly near its beginning."""
    text = bytearray(text)
    for _ in range(rng.choice([1, 1, 2, 4])):
        place = int(rng.random() ** 4 * len(text))
        kind = rng.randrange(4)
        if kind == 0 and text:
            text[min(place, len(text) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            text[place:place] = rng.randbytes(rng.choice([1, 8]))
        elif kind == 2:
            del text[place : place + rng.choice([1, 8, 100])]
        else:
            text[place : place + 8] = rng.choice([b"\xff" * 8, bytes(8), b"99999999"])
    return bytes(text)


@given(seed=st.integers(0, 2**32), name=st.sampled_from([*TEXT["files"], "bundle.json"]))
@settings(deadline=None, max_examples=60)
def test_mutated_files_are_used_or_refused_by_name(make, seed, name):
    if name == "measured.csv":  # read with the command that fits the predictor again, not from the bundle
        return
    changed = mutated(content(name), random.Random(seed))
    if name == PREDICTOR:
        folder = make(predictor(changed))
    elif name == "bundle.json":
        folder = make({})
        (folder / name).write_bytes(changed)
    else:
        folder = make({name: changed})
    try:
        use(Bundle(folder), name)
    except DamagedBundleError as error:
        assert error.next_step
