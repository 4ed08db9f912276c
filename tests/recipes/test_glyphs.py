"""Parts of the glyphs recipe, on the font that Pillow brings along."""

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
import figures
import fonts
import pack
import render
import sheets
from setting import SIDE, glyph_space

from nagsdk.bundle import Bundle
from nagsdk.errors import DamagedBundleError
from nagsdk.supernet.network import Supernet


@pytest.fixture(scope="module")
def drawn():
    result = fonts.masks(lambda size: ImageFont.load_default(size))
    assert result is not None
    return result


def test_a_plain_font_draws_47_different_characters(drawn):
    assert len(drawn) == 47
    assert drawn[fonts.CHARACTERS.index("H")].height == pytest.approx(fonts.CAP_HEIGHT, abs=2)
    assert fonts.coincidences(fonts.shapes(drawn)) <= 3


def test_a_font_of_capitals_only_is_found_out(drawn):
    capitals = tuple(drawn[fonts.CHARACTERS.index(c.upper())] for c in fonts.CHARACTERS)
    assert fonts.coincidences(fonts.shapes(capitals)) >= 11


def test_symbols_on_letters_code_points_are_not_legible(drawn):
    plain = fonts.shapes(drawn)
    noise = np.random.default_rng(0)
    near = [plain + noise.normal(0, 0.01, plain.shape) for _ in range(4)]
    scrambled = plain[np.roll(np.arange(47), 5)]
    assert fonts.legible(np.array([*near, scrambled])).tolist() == [True] * 4 + [False]


def test_clones_and_name_sakes_stay_together(drawn):
    plain = fonts.shapes(drawn)
    other, third = (np.random.default_rng(s).normal(size=plain.shape) / 16 for s in (1, 2))
    numbers = fonts.groups(["Free Sans", "Nimbus", "Other", "Other Serif"], np.array([plain, plain, other, third], np.float32))
    assert numbers == [0, 0, 1, 1]
    faces = [fonts.Face(f"{i}.ttf", str(i), i // 2) for i in range(60)] + [fonts.Face(f"big{i}.ttf", "big", 99) for i in range(30)]
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
    # The letter is whole: the frame's outermost pixels are ground.
    edges = np.concatenate([calm[:, 0], calm[:, -1], calm[:, :, 0], calm[:, :, -1]], axis=1)
    assert (np.abs(edges - np.median(edges, axis=1, keepdims=True)) > 30).mean() < 0.02


def test_sheets_keep_every_picture_in_its_place(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (70, 1, 1, 3), dtype=np.uint8)
    images = np.broadcast_to(colours, (70, 16, 16, 3))
    sheets.write_sheet(images, tmp_path / "s.webp")
    back = sheets.read_sheet(tmp_path / "s.webp", 70, 16)
    # Colour is stored at half the resolution and smoothed over edges: a neighbour shows in the outermost pixels.
    assert np.abs(back.astype(int) - images)[:, 2:-2, 2:-2].max() < 12
    with pytest.raises(ValueError, match="multiple of 16"):
        sheets.write_sheet(images[:, :15, :15], tmp_path / "t.webp")


def test_measured_subnets_cover_the_space_and_survive_the_table(tmp_path):
    space = glyph_space()
    subnets = figures.spread(space, 80, 0)
    macs = sorted(space.macs(a) for a in subnets)
    assert len(set(subnets)) == 80 and {a.resolution for a in subnets} == set(space.resolutions)
    largest = space.architecture(kernels=[5] * 12, expansions=[6] * 12, depths=[3] * 4, resolution=48)
    assert macs[-1] == space.macs(largest) and macs[0] < 0.1 * macs[-1] and macs[40] < 0.6 * macs[-1]
    top1 = np.random.default_rng(0).uniform(50, 95, 80)
    figures.write_table(tmp_path / "t.csv", space, subnets, top1)
    back, values = figures.read_table(tmp_path / "t.csv", space)
    assert back == subnets and values == pytest.approx(top1, abs=6e-4)


def test_a_packed_bundle_opens(tmp_path):
    space = glyph_space()
    rng = np.random.default_rng(0)
    for name in ("recalibration.webp", "test.webp"):
        sheets.write_sheet(rng.integers(0, 256, (70, SIDE, SIDE, 3), dtype=np.uint8), tmp_path / name)
    labels = rng.integers(0, 47, 70).tolist()
    (tmp_path / "test_labels.json").write_text(json.dumps(labels))
    supernet = Supernet(space)
    (tmp_path / "supernet.safetensors").write_bytes(build.half(supernet))
    output = tmp_path / "bundle"
    pack.pack(output, space, [file for file in tmp_path.iterdir() if file.is_file()], 70, 70, {"seed": 0})
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
