"""Tests parts of the glyphs recipe with the font that Pillow contains."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ImageFont, features

if not features.check("freetype2"):
    pytest.skip("Pillow was built without FreeType", allow_module_level=True)
sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "glyphs"))

import build
import fonts
import render
from setting import PREPROCESSING, SIDE

from nagsdk.bundle.bundle import Bundle
from nagsdk.bundle.write import Facts, write_bundle
from nagsdk.errors import DamagedBundleError
from nagsdk.families.mobilenet_v3.presets import small_mobilenet_v3
from nagsdk.images.sheets import write_sheet


@pytest.fixture(scope="module")
def drawn():
    result = fonts.masks(lambda size: ImageFont.load_default(size))
    assert result is not None
    return result


def test_a_plain_font_draws_47_different_characters(drawn):
    assert len(drawn) == 47
    assert drawn[fonts.CHARACTERS.index("H")].height == pytest.approx(fonts.CAP_HEIGHT, abs=2)
    assert fonts.coincidences(fonts.shapes(drawn)) <= 3


def test_a_font_with_only_capitals_is_detected(drawn):
    capitals = tuple(drawn[fonts.CHARACTERS.index(c.upper())] for c in fonts.CHARACTERS)
    assert fonts.coincidences(fonts.shapes(capitals)) >= 11


def test_symbols_on_letters_code_points_are_not_legible(drawn):
    plain = fonts.shapes(drawn)
    noise = np.random.default_rng(0)
    near = [plain + noise.normal(0, 0.01, plain.shape) for _ in range(4)]
    scrambled = plain[np.roll(np.arange(47), 5)]
    assert fonts.legible(np.array([*near, scrambled])).tolist() == [True] * 4 + [False]


def test_clones_and_namesakes_stay_together(drawn):
    plain = fonts.shapes(drawn)
    other, third = (np.random.default_rng(s).normal(size=plain.shape) / 16 for s in (1, 2))
    numbers = fonts.groups(
        ["Free Sans", "Nimbus", "Other", "Other Serif"], np.array([plain, plain, other, third], np.float32)
    )
    assert numbers == [0, 0, 1, 1]
    faces = [fonts.Face(f"{i}.ttf", str(i), i // 2) for i in range(60)] + [
        fonts.Face(f"big{i}.ttf", "big", 99) for i in range(30)
    ]
    parts = fonts.split(faces, 0)
    held = [{face.group for face in part} for part in parts]
    assert sum(map(len, parts)) == 90 and 99 in held[0] and all(held)
    assert not (held[0] & held[1] or held[0] & held[2] or held[1] & held[2])


def test_pictures_follow_the_seed_and_show_the_letter(drawn):
    def pictures(seed, **look):
        return render.render(lambda _: drawn, [0], 24, 48, render.Look(**look), np.random.default_rng(seed))

    first, again, other = pictures(1), pictures(1), pictures(2)
    assert first.images.shape == (24, 48, 48, 3) and first.images.dtype == np.uint8
    assert (first.images == again.images).all() and (first.labels == again.labels).all()
    assert (first.images != other.images).any()
    calm = pictures(3, noise=0, ground=0, contrast=0.4).images.astype(float).mean(axis=3)
    assert (calm.max(axis=(1, 2)) - calm.min(axis=(1, 2)) > 60).all()
    # The letter is complete: the outermost pixels of the picture are background.
    edges = np.concatenate([calm[:, 0], calm[:, -1], calm[:, :, 0], calm[:, :, -1]], axis=1)
    assert (np.abs(edges - np.median(edges, axis=1, keepdims=True)) > 30).mean() < 0.02


def test_results_of_another_recipe_are_refused(tmp_path, monkeypatch):
    build.check_plan(tmp_path, 0)
    build.check_plan(tmp_path, 0)
    with pytest.raises(SystemExit, match="another recipe"):
        build.check_plan(tmp_path, 1)
    monkeypatch.setitem(build.COUNTS, "train", 1000)
    with pytest.raises(SystemExit, match="another recipe"):
        build.check_plan(tmp_path, 0)


def test_a_packed_bundle_opens(tmp_path):
    space = small_mobilenet_v3()
    rng = np.random.default_rng(0)
    for name in ("recalibration.webp", "test.webp"):
        write_sheet(rng.integers(0, 256, (70, SIDE, SIDE, 3), dtype=np.uint8), tmp_path / name)
    labels = rng.integers(0, 47, 70).tolist()
    (tmp_path / "test_labels.json").write_text(json.dumps(labels))
    supernet = space.supernet()
    (tmp_path / "supernet.safetensors").write_bytes(build.half(supernet))
    output = tmp_path / "bundle"
    files = [file for file in tmp_path.iterdir() if file.is_file()]
    write_bundle(
        output,
        Facts("glyphs", "Glyphs", "Apache-2.0", {"seed": 0}),
        space,
        PREPROCESSING,
        fonts.CHARACTERS,
        files,
        (SIDE, 70, 70),
    )
    bundle = Bundle(output)
    assert bundle.space == space and bundle.labels == tuple(fonts.CHARACTERS)
    kept = supernet.classifier.weight
    assert torch.allclose(bundle.supernet.classifier.weight, kept, rtol=1e-3, atol=1e-6)
    tests = bundle.test_set(32)
    assert tests is not None and tests.inputs.shape == (70, 3, 32, 32) and tests.labels.tolist() == labels
    assert bundle.recalibration_images(44).shape == (70, 3, 44, 44)
    assert {file.name for file in output.iterdir()} == {*bundle.description.files, "bundle.json"}
    (output / "test.webp").write_bytes(b"torn")
    with pytest.raises(DamagedBundleError):
        bundle.test_set(32)
