"""Finds the fonts, drops those whose 47 characters cannot be told apart, and splits them by family."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

# The 47 classes of EMNIST's balanced set: lower-case letters that look like their capitals are left out.
CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
CAP_HEIGHT = 44
_SHAPE = 16
_MISSING = "\uffff"
_LOOK_ALIKE = {frozenset("0O"), frozenset("1I")}

Masks = tuple[Image.Image, ...]


@dataclass(frozen=True)
class Face:
    """One usable font file.

    Attributes:
        path: Path of the file.
        family: Family name according to the file.
        group: Number of the set of families that must stay in the same part.
    """

    path: str
    family: str
    group: int


def masks(font_at: Callable[[int], ImageFont.FreeTypeFont]) -> Masks | None:
    """Draws the 47 characters, capitals `CAP_HEIGHT` pixels high.

    Args:
        font_at: Opens the font at a size in pixels.

    Returns:
        Grey images of different sizes in the order of `CHARACTERS`; None if a character is missing or empty.
    """
    _, top, _, bottom = font_at(64).getbbox("H")
    if not 8 <= bottom - top <= 128:
        return None
    font = font_at(round(64 * CAP_HEIGHT / (bottom - top)))
    missing = bytes(font.getmask(_MISSING))
    result = []
    for character in CHARACTERS:
        mask = font.getmask(character)
        data = bytes(mask)
        if not any(data) or data == missing or max(mask.size) > 3 * CAP_HEIGHT:
            return None
        result.append(Image.frombytes("L", mask.size, data))
    return tuple(result)


def load(path: str) -> Masks | None:
    """`masks` of a font file; None if FreeType cannot use the file."""
    try:
        return masks(lambda size: ImageFont.truetype(path, size))
    except (OSError, ValueError):
        return None


def shapes(drawn: Masks) -> NDArray[np.float32]:
    """Every character, stretched to 16 × 16 pixels, with mean 0 and norm 1; float32, shape (47, 256)."""
    flat = np.array(
        [np.asarray(mask.resize((_SHAPE, _SHAPE), Image.Resampling.BOX), np.float32).ravel() for mask in drawn],
        np.float32,
    )
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return flat


def coincidences(shape: NDArray[np.float32]) -> int:
    """Number of pairs of characters with almost the same outline, without the pairs 0 and O, 1 and I.

    A font that has only capitals gives 11.
    """
    rows, columns = np.nonzero(np.triu(shape @ shape.T > 0.96, 1))
    return sum(frozenset((CHARACTERS[r], CHARACTERS[c])) not in _LOOK_ALIKE for r, c in zip(rows, columns, strict=True))


def legible(all_shapes: NDArray[np.float32], least: float = 0.7) -> NDArray[np.bool_]:
    """Says which fonts are legible: most of their characters are nearest to the mean of that character over all fonts.

    Symbol fonts that use the code points of letters, and fonts that nobody can read, are not legible.

    Args:
        all_shapes: Outlines of the characters of all fonts, shape (fonts, 47, 256).
        least: Smallest share of the 47 characters that must be nearest to their own mean.
    """
    keep = np.ones(len(all_shapes), dtype=bool)
    for _ in range(2):
        centres = all_shapes[keep].mean(axis=0)
        nearest = np.einsum("fcd,kd->fck", all_shapes, centres, optimize=True).argmax(axis=2)
        keep = (nearest == np.arange(len(CHARACTERS))).mean(axis=1) >= least
    return keep


def groups(families: Sequence[str], all_shapes: NDArray[np.float32], alike: float = 0.95) -> list[int]:
    """Group number of every font; fonts of one group must stay in the same part.

    Two fonts are in one group if the first word of their family names is the same, or if their outlines are nearly the
    same. The second rule finds clones with other names, such as Nimbus Sans and Liberation Sans.

    Args:
        families: Family name of each font.
        all_shapes: Outlines of the characters of all fonts, shape (fonts, 47, 256).
        alike: Mean correlation of the outlines above which two fonts count as clones.
    """
    parent = list(range(len(families)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[str, int] = {}
    for index, family in enumerate(families):
        parent[root(index)] = root(first.setdefault(family.lower().split()[0], index))
    flat = all_shapes.reshape(len(families), -1)
    for a, b in np.argwhere(np.triu(flat @ flat.T / len(CHARACTERS) > alike, 1)).tolist():
        parent[root(a)] = root(b)
    order: dict[int, int] = {}
    return [order.setdefault(root(index), len(order)) for index in range(len(families))]


def catalogue(folders: Sequence[Path]) -> list[Face]:
    """All usable fonts below some folders, sorted by path."""
    paths = sorted(
        {str(path) for folder in folders for path in folder.rglob("*") if path.suffix.lower() in (".ttf", ".otf")}
    )
    kept, outlines = [], []
    for path in paths:
        drawn = load(path)
        if drawn is None:
            continue
        shape = shapes(drawn)
        if coincidences(shape) <= 3:
            kept.append((path, str(ImageFont.truetype(path, 16).getname()[0] or Path(path).stem)))
            outlines.append(shape)
    if not kept:
        return []
    all_shapes = np.array(outlines)
    chosen = np.flatnonzero(legible(all_shapes))
    families = [kept[i][1] for i in chosen]
    numbers = groups(families, all_shapes[chosen])
    return [Face(kept[i][0], family, number) for i, family, number in zip(chosen, families, numbers, strict=True)]


def split(
    faces: Sequence[Face], seed: int, shares: Sequence[float] = (0.66, 0.14, 0.2), most: int = 20
) -> list[list[Face]]:
    """Splits the fonts into parts by group.

    Args:
        faces: Fonts found by `catalogue`.
        seed: Seed that decides which group goes to which part.
        shares: Share of the groups in every part.
        most: Groups with more fonts than this all go to the first part, because they would dominate a small part.

    Returns:
        One list of fonts for each share.
    """
    by_group: dict[int, list[Face]] = {}
    for face in faces:
        by_group.setdefault(face.group, []).append(face)
    large = [g for g in by_group if len(by_group[g]) > most]
    small = [g for g in by_group if len(by_group[g]) <= most]
    random.Random(seed).shuffle(small)
    cuts = [round(len(small) * sum(shares[:i])) for i in range(len(shares) + 1)]
    parts = [small[a:b] for a, b in itertools.pairwise(cuts)]
    parts[0] = large + parts[0]
    return [[face for group in part for face in by_group[group]] for part in parts]
