from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from nagsdk.images import alike
from nagsdk.images.alike import near_duplicates, sets_of


def scene(seed, side=96) -> Image.Image:
    """A picture of soft blobs, as different from others as two photographs."""
    few = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(few).resize((side, side), Image.Resampling.BICUBIC)


def compressed(image) -> Image.Image:
    content = BytesIO()
    image.save(content, "JPEG", quality=30)
    return Image.open(content)


COPIES = {
    "the same": lambda image: image,
    "compressed": compressed,
    "half the size": lambda image: image.resize((48, 48)),
    "other sides": lambda image: image.resize((120, 80)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.15),
}


def saved(folder: Path, images) -> list[Path]:
    paths = []
    for number, image in enumerate(images):
        paths.append(folder / f"{number}.{'jpg' if image.format == 'JPEG' else 'png'}")
        image.save(paths[-1])
    return paths


@pytest.mark.parametrize("copy", COPIES)
def test_copies_are_found_and_nothing_else(tmp_path, copy):
    paths = saved(tmp_path, [scene(0), scene(1), COPIES[copy](scene(0)), scene(2), COPIES[copy](scene(2))])
    assert near_duplicates(paths).tolist() == [[0, 2], [3, 4]]


def test_pictures_of_one_colour_are_told_apart_by_it(tmp_path):
    plain = [Image.new("RGB", (32, 32), (red, 0, 0)) for red in (10, 11, 200)]
    assert near_duplicates(saved(tmp_path, plain)).tolist() == [[0, 1]]


def test_what_cannot_be_read_is_like_nothing(tmp_path):
    paths = saved(tmp_path, [scene(0), scene(0)])
    torn = [tmp_path / f"torn{number}.png" for number in range(2)]
    for path in torn:
        path.write_bytes(b"torn")
    assert near_duplicates([torn[0], paths[0], torn[1], paths[1]]).tolist() == [[1, 3]]
    assert near_duplicates([]).shape == (0, 2) and near_duplicates(torn).shape == (0, 2)


def test_images_are_looked_at_once(tmp_path, monkeypatch):
    paths = saved(tmp_path, [scene(0), scene(1)])
    near_duplicates(paths)
    monkeypatch.setattr(alike, "read_image", lambda *a, **k: pytest.fail("it was read again"))
    assert near_duplicates(paths).tolist() == []


def test_blocks_find_what_one_comparison_finds(monkeypatch):
    looks = np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3), np.uint8)
    looks[40:] = looks[:10]
    found = alike.alike(looks)
    monkeypatch.setattr(alike, "_BLOCK", 7)
    assert alike.alike(looks).tolist() == found.tolist() == [[place, place + 40] for place in range(10)]


def test_many_images_of_one_scene_are_one_set_with_few_pairs():
    looks = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8), 300, axis=0)
    pairs = alike.alike(looks)
    assert len(pairs) < 300 * 21 and len(set(sets_of(300, pairs).tolist())) == 1


@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=15))
@settings(max_examples=50)
def test_sets_are_the_connected_ones(count, pairs):
    pairs = [(a, b) for a, b in pairs if max(a, b) < count]
    numbers = sets_of(count, np.array(pairs, np.intp).reshape(-1, 2))
    reached = {frozenset([place]) for place in range(count)}
    for a, b in pairs:
        joined = next(s for s in reached if a in s) | next(s for s in reached if b in s)
        reached = {s for s in reached if not s & joined} | {joined}
    assert {frozenset(np.flatnonzero(numbers == n).tolist()) for n in numbers} == reached
