"""The pool of a lab: devices that were calibrated before, so that the next one of their kind needs fewer samples.

Each member keeps what was measured: architectures of one space and their latencies. What the members have in common,
and how they differ, becomes the prior of another device's calibration (few-shot calibration with a pool, as in HELP:
Lee et al., 2021). Members are files in the user's data folder; a pool travels as one file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.common.files import write_atomically
from nagsdk.common.folders import data_folder
from nagsdk.common.reading import read_json
from nagsdk.common.validation import what_is_wrong
from nagsdk.cost.features import FeatureTable
from nagsdk.cost.model import LEAST_SAMPLES, CostModel
from nagsdk.cost.prior import Prior, flat_prior
from nagsdk.cost.shape import directions_of, population
from nagsdk.cost.table import Floats
from nagsdk.device.description import LEGAL_NAME
from nagsdk.errors import NagsdkError, OutputError, UnknownNameError, UsageError
from nagsdk.measuring.key import MeasurementKey
from nagsdk.space.space import SearchSpace

FORMAT = "nagsdk-lab-pool/1"
_MOST_BYTES, _MOST_MEMBERS, _MOST_SAMPLES, _MOST_TEXT = 16 * 10**6, 200, 1000, 400
_LEAST_MS, _MOST_MS = 1e-6, 1e9
# Spread of the scale of the next device: at least this, and for a single member, since one says nothing of others.
_LEAST_SPREAD, _ONE_SPREAD = 0.3, 1.0
# Pull of fitted prices towards 0, which keeps prices of features that hardly differ over the space small.
_PULL, _LEAST_COST = 0.01, 0.01
_NEXT_STEP = "Export the pool again (nagsdk devices pool export), and copy the complete file."


@dataclass(frozen=True)
class Member:
    """A device that was calibrated.

    Attributes:
        name: Its unique name in the pool.
        title: The device, for people.
        key: What the measurements depend on besides the architecture.
        space: Fingerprint of the search space.
        date: When it was calibrated, in ISO 8601.
        architectures: The measured architectures, in their text form.
        p50_ms: Their median latencies in milliseconds.
    """

    name: str
    title: str
    key: MeasurementKey
    space: str
    date: str
    architectures: tuple[str, ...]
    p50_ms: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields, JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Member:
        """Rebuilds a member from the result of `to_dict`.

        Raises:
            ValueError: A value is missing, unknown or out of its range; or NagsdkError for the key.
        """
        if not isinstance(values, dict) or values.keys() != {field.name for field in fields(cls)}:
            raise ValueError("a member has missing or unknown fields")
        texts = [values[name] for name in ("name", "title", "space", "date")]
        architectures, p50_ms = values["architectures"], values["p50_ms"]
        if not isinstance(architectures, list) or not isinstance(p50_ms, list):
            raise ValueError("its samples are no lists")
        if not all(isinstance(text, str) and 0 < len(text) <= _MOST_TEXT for text in (*texts, *architectures)):
            raise ValueError(f"its texts must have up to {_MOST_TEXT} characters")
        if not LEGAL_NAME.fullmatch(values["name"]):
            raise ValueError("its name must consist of up to 64 letters, digits and _ . -")
        if not LEAST_SAMPLES <= len(architectures) <= _MOST_SAMPLES or len(architectures) != len(p50_ms):
            raise ValueError(f"it must have {LEAST_SAMPLES} to {_MOST_SAMPLES} architectures with a latency each")
        if not all(type(ms) in (int, float) and _LEAST_MS <= ms <= _MOST_MS for ms in p50_ms):
            raise ValueError(f"its latencies must lie between {_LEAST_MS:g} and {_MOST_MS:g} ms")
        key = MeasurementKey.from_dict(values["key"])
        return cls(
            values["name"], values["title"], key, values["space"], values["date"], tuple(architectures),
            tuple(map(float, p50_ms)),
        )  # fmt: skip

    @classmethod
    def of(cls, name: str, title: str, key: MeasurementKey, model: CostModel, date: str) -> Member:
        """Returns a member from the calibration of a device.

        Raises:
            UsageError: It cannot be a member, such as because of its name.
        """
        samples = model.calibrated
        values = {
            "name": name,
            "title": title,
            "key": key.to_dict(),
            "space": model.space.fingerprint,
            "date": date,
            "architectures": [a.text for a in model.space.decode(samples.codes)],
            "p50_ms": samples.p50_ms.tolist(),
        }
        try:
            return cls.from_dict(values)
        except ValueError as error:
            raise UsageError(
                f"{title} cannot join the pool: {error}.", "Give another name, or calibrate it."
            ) from error

    def alike(self, key: MeasurementKey, space: SearchSpace) -> bool:
        """Whether it tells something of another device with this key: the same runtime, settings and space."""
        same = ("runtime", "precision", "rewrite", "threads", "batch")
        return (
            self.space == space.fingerprint
            and self.key.device != key.device
            and all(getattr(self.key, name) == getattr(key, name) for name in same)
        )


@dataclass(frozen=True)
class Lab:
    """The pool of this user.

    Attributes:
        folder: Where its members lie.
    """

    folder: Path

    @classmethod
    def here(cls) -> Lab:
        """The pool in the user's data folder."""
        return cls(data_folder() / "pool")

    def members(self) -> list[Member]:
        """All members, by name.

        Raises:
            NagsdkError: A file of the pool is damaged.
        """
        return [member for path in sorted(self.folder.glob("*.json")) for member in _read(path, "Remove this file.")]

    def add(self, members: Iterable[Member], *, replacing: bool = False) -> int:
        """Adds members and returns how many are new; adds none after an error.

        Args:
            members: The members.
            replacing: Whether a member takes the place of one with the same name.

        Raises:
            UsageError: A name belongs to another member, or there are too many members.
            OutputError: The file cannot be written.
        """
        known = {member.name.lower(): member for member in self.members()}
        new = [member for member in members if known.get(member.name.lower()) != member]
        taken = [member.name for member in new if member.name.lower() in known]
        if taken and not replacing:
            raise UsageError(
                f"The pool has another member with the name {taken[0]}.",
                f"Remove it first: nagsdk devices pool remove {taken[0]}.",
            )
        if len(known.keys() | {member.name.lower() for member in new}) > _MOST_MEMBERS:
            raise UsageError(f"The pool may have {_MOST_MEMBERS} members.", "Remove some: nagsdk devices pool remove.")
        for member in new:
            # Where names differ only in their case, some file systems know one file.
            write_atomically(self.folder / f"{member.name.lower()}.json", _text([member]).encode())
        return len(new)

    def remove(self, name: str) -> None:
        """Removes a member.

        Raises:
            UnknownNameError: There is no such member.
        """
        names = [member.name for member in self.members()]
        if name not in names:
            raise UnknownNameError.among("member of the pool", name, names)
        (self.folder / f"{name.lower()}.json").unlink()

    def export(self, path: Path) -> int:
        """Writes all members to a file and returns their number.

        Raises:
            OutputError: The file cannot be written.
        """
        members = self.members()
        if not members:
            raise OutputError("The pool is empty.", "Add a calibrated device: nagsdk devices pool add --device NAME.")
        write_atomically(path, _text(members).encode())
        return len(members)

    def take_in(self, path: Path) -> int:
        """Adds the members of a file and returns how many are new; adds none after an error.

        Raises:
            NagsdkError: The file is damaged or too large, or a name belongs to another member.
        """
        return self.add(_read(path, _NEXT_STEP))


def lab_prior(space: SearchSpace, members: Sequence[Member], described: Prior | None = None) -> Prior:
    """Returns what calibrated devices tell of the next one of their kind: their mean prices, and how these differ.

    Args:
        space: The space of the members.
        members: Devices that ran the same runtime with the same settings; at least one.
        described: What is known of the device itself, which counts like one more member.

    Raises:
        NagsdkError: An architecture of a member does not belong to the space.
    """
    features = FeatureTable.of(space)
    codes = population(space)
    amounts = features.of_codes(codes)
    scale_known = described is not None and math.isfinite(described.spread)
    start = described if described is not None and scale_known else flat_prior(features)
    rows = []
    for member in members:
        own = space.encode([space.parse(text) for text in member.architectures])
        cost = CostModel.fit(space, start, own, np.array(member.p50_ms)).table.cost(codes)
        rows.append(_prices(amounts, np.maximum(cost, _LEAST_COST * float(np.median(cost)))))
    if described is not None and scale_known:
        rows.append(described.weights)
    known = np.array(rows)
    levels = np.log((amounts @ known.T).mean(0))
    shapes = known / np.exp(levels)[:, None]
    mean, directions = directions_of(amounts @ shapes.T)
    typical = math.exp(float(levels.mean()))
    spread = max(_LEAST_SPREAD, float(levels.std(ddof=1))) if len(levels) > 1 else _ONE_SPREAD
    title = f"{len(members)} calibrated {'devices' if len(members) > 1 else 'device'} of the pool"
    source = {"title": title, "members": [member.name for member in members]}
    jitter, threads = start.jitter, members[0].key.threads
    return Prior(typical * (mean @ shapes), spread, jitter, threads, source, typical * (directions @ shapes))


def _prices(amounts: Floats, cost: Floats) -> Floats:
    """Non-negative prices of features with the least relative errors of costs."""
    from scipy.optimize import nnls

    mean = amounts.mean(0)
    used = mean > 0
    unit = np.divide(float(cost.mean()), mean, out=np.zeros_like(mean), where=used)
    pull = _PULL * math.sqrt(len(cost)) / used.sum() * np.eye(len(unit))
    matrix = np.concatenate([amounts * unit / cost[:, None], pull])
    solution: Floats = nnls(matrix, np.concatenate([np.ones(len(cost)), np.zeros(len(unit))]), maxiter=10_000)[0]
    prices: Floats = solution * unit
    return prices


def _text(members: Sequence[Member]) -> str:
    return json.dumps({"format": FORMAT, "members": [member.to_dict() for member in members]}, indent=1) + "\n"


def _read(path: Path, next_step: str) -> list[Member]:
    try:
        content = read_json(path, _MOST_BYTES)
        if not isinstance(content, dict) or content.keys() != {"format", "members"} or content["format"] != FORMAT:
            raise ValueError("it is not a pool of this version")
        if not isinstance(content["members"], list) or len(content["members"]) > _MOST_MEMBERS:
            raise ValueError(f"it must hold a list of up to {_MOST_MEMBERS} members")
        members = [Member.from_dict(values) for values in content["members"]]
        if len({member.name.lower() for member in members}) < len(members):
            raise ValueError("two members have the same name")
        return members
    except (OSError, ValueError, NagsdkError) as error:
        raise UsageError(f"{path} cannot be read as a pool: {what_is_wrong(error)}.", next_step) from error
