"""Damages files: bits and bytes of any file, values of JSON and TOML, cells of tables."""

from __future__ import annotations

import copy
import csv
import io
import json
import math
import random
from collections.abc import Callable
from typing import Any

_DEEP = "@deep@"
NASTY: list[Any] = [
    None, True, False, "", " ", -1, 0, 1, 2, 0.5, -0.0, 1e-320, 1e308, -1e308, 2**31, 2**63, 2**64, 2**2000, -(2**2000),
    math.nan, math.inf, -math.inf, [], {}, [[]], [None], [{}], {"": None}, {"a": {"b": []}}, [1, "1", None], _DEEP,
    "nan", "inf", "1", "-1", "٣", "\0", "a\0b", "\n", "\r", "\x1b[2J", "\ud800", "\u202e", "é", "x" * 300,
    "x" * 100_000, "../x", "../../../etc/passwd", "/dev/zero", "/", ".", "..", "~", "~nobody-here", "CON", "a/b",
    "a" * 5000 + "/b", "yesterday", "2026-01-01", "2026-01-01T00:00:00", "0001-01-01T00:00:00+00:00",
    "9999-12-31T23:59:59-23:59", "0" * 64, list(range(2000)), ["x"] * 2000, {str(i): i for i in range(2000)},
]  # fmt: skip
WORDS = [
    b"\0", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\n", b'"', b"'", b",", b";", b"{", b"}", b"[", b"]",
    b"(", b")", b":", b"=", b"-1", b"nan", b"inf", b"1e999", b"9" * 400, b"9" * 5000, b"\x1b[2J", b"%s", b"../", b"@p",
    b"\xd9\xa3", b"\xe2\x80\xae", b" " * 3000, b"x" * 3000, b"null", b"true", b"NaN",
]  # fmt: skip


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """A copy with one to three damages of bits, bytes or slices."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        size = len(content)
        at, to = sorted((rng.randint(0, size), rng.randint(0, size)))
        to = min(to, at + rng.choice((1, 4, 40, 4000, size)))
        match rng.randrange(8):
            case 0:  # a bit
                if size:
                    at = rng.randrange(size)
                    content = content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
            case 1:  # a byte
                content = content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
            case 2:
                content = content[:at]
            case 3:
                content = content[:at] + content[to:]
            case 4:
                content = content[:to] + content[at:to] * rng.choice((1, 1, 50)) + content[to:]
            case 5:
                content = content[:at] + rng.choice(WORDS) + content[at:]
            case 6:
                content = content[:at] + rng.choice(WORDS) + content[to:]
            case 7:  # a number of the header of a binary file
                at = rng.randrange(min(size, 64) + 1)
                content = content[:at] + rng.choice((b"\xff" * 4, b"\0" * 4, b"\xff" * 8, b"\x7f")) + content[at + 4 :]
    return content[: 10**7]


def damaged_tree(tree: Any, rng: random.Random) -> Any:
    """A copy of a tree of dictionaries and lists with one or two damaged values or keys."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 2))):
        places = list(_places(tree))
        if not places or rng.random() < 0.01:
            return _nasty(rng)
        # A table of one hundred rows must not hide the keys of which there is one.
        keys = sorted({path for _, _, path in places})
        path = rng.choice(keys)
        parent, key, _ = rng.choice([place for place in places if place[2] == path])
        kind = rng.randrange(10)
        if kind < 6:
            parent[key] = _nasty(rng)
        elif kind == 6:
            del parent[key]
        elif kind == 7 and isinstance(parent, dict):
            parent[rng.choice(["x", "", "a" * 300, "../x", "\x1b[2J", "__class__", str(key).upper()])] = parent[key]
        elif kind == 7:
            parent.insert(rng.randint(0, len(parent)), copy.deepcopy(parent[key]))
        elif kind == 8 and isinstance(parent[key], (int, float)) and not isinstance(parent[key], bool):
            parent[key] *= rng.choice((-1, 0, 1e-30, 1e30, 0.5, 1000))
        else:
            parent[key] = rng.choice(([parent[key]], {"x": parent[key]}, str(parent[key]), [parent[key]] * 3))
    return tree


def _nasty(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(NASTY))


def _places(tree: Any, path: str = "") -> Any:
    if isinstance(tree, dict):
        for key in tree:
            yield tree, key, f"{path}/{key}"
            yield from _places(tree[key], f"{path}/{key}")
    elif isinstance(tree, list):
        for number in range(len(tree)):
            yield tree, number, f"{path}/*"
            yield from _places(tree[number], f"{path}/*")


def json_text(tree: Any) -> bytes:
    """The tree as JSON, with what the standard allows and what it does not."""
    deep = "[" * 100_000 + "]" * 100_000
    return json.dumps(tree).replace(f'"{_DEEP}"', deep).encode()


def toml_text(tree: Any) -> bytes:
    """The tree as TOML; what TOML cannot say becomes a text."""
    return "".join(f"{_quoted(key)} = {_toml(value)}\n" for key, value in dict(tree).items()).encode()


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_quoted(key)} = {_toml(entry)}' for key, entry in value.items())}}}"
    return "[" * 5000 + "]" * 5000 if value == _DEEP else _quoted("" if value is None else value)


def _quoted(text: Any) -> str:
    return json.dumps(str(text), ensure_ascii=False).encode("utf-8", "replace").decode()


def damaged_json(content: bytes, rng: random.Random) -> bytes:
    """JSON with damaged values, or damaged bytes."""
    if rng.random() < 0.15:
        return damaged_bytes(content, rng)
    return json_text(damaged_tree(json.loads(content), rng))


def damaged_toml(content: bytes, rng: random.Random) -> bytes:
    """TOML with damaged values, or damaged bytes."""
    import tomllib

    if rng.random() < 0.2:
        return damaged_bytes(content, rng)
    tree = damaged_tree(tomllib.loads(content.decode()), rng)
    return toml_text(tree) if isinstance(tree, dict) else damaged_bytes(content, rng)


def damaged_lines(content: bytes, rng: random.Random) -> bytes:
    """JSON lines with damage in one line, or damaged bytes."""
    if rng.random() < 0.2:
        return damaged_bytes(content, rng)
    lines = content.splitlines()
    at = rng.randrange(len(lines))
    lines[at] = damaged_json(lines[at], rng)
    return b"\n".join(lines) + b"\n"


def damaged_csv(content: bytes, rng: random.Random) -> bytes:
    """A table with damaged cells, rows or columns, or damaged bytes."""
    if rng.random() < 0.3:
        return damaged_bytes(content, rng)
    rows = list(csv.reader(io.StringIO(content.decode())))
    row = rng.randrange(len(rows))
    cell = rng.randrange(len(rows[row]))
    match rng.randrange(6):
        case 0 | 1 | 2:
            rows[row][cell] = str(rng.choice(NASTY))
        case 3:
            del rows[row][cell]
        case 4:
            rows.insert(row, list(rows[row]))
        case 5:
            del rows[row]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def damaged_text(content: bytes, rng: random.Random) -> bytes:
    """A line of text with damaged characters or numbers."""
    if rng.random() < 0.3:
        return damaged_bytes(content, rng)
    parts = content.split(b",") if b"," in content else content.split()
    at = rng.randrange(len(parts))
    parts[at] = str(rng.choice(NASTY)).encode("utf-8", "surrogatepass")
    return (b"," if b"," in content else b" ").join(parts)


Damage = Callable[[bytes, random.Random], bytes]
