"""Divides images into parts: in exact shares, together what belongs together, and every later time in the same way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from nagsdk.images.alike import sets_of
from nagsdk.images.split import SHARE, Item, Split, cut_of, targets

_PARTS = ("val", "test", "train")
_LAST = 2
_ENOUGH = 0.5


class UndividedError(ValueError):
    """Some classes cannot have images in every part.

    Attributes:
        classes: These classes, as indices, with the number of units of each.
    """

    def __init__(self, classes: dict[int, int]) -> None:
        super().__init__(str(classes))
        self.classes = classes


def divide(
    items: Sequence[Item],
    pairs: Iterable[tuple[int, int]] = (),
    known: Split | None = None,
    classes: Sequence[str] = (),
    *,
    train: bool = True,
) -> tuple[Split, list[str], list[int]]:
    """Divides images into ``val``, ``test`` and ``train``.

    A tenth of the images of a class, rounded, goes to each of the first two, in the order of the hashes of their names.
    Groups, and images that look nearly the same, stay together. What an earlier division held stays where it is; what
    was added goes where the rest of its group is, or to the side of the cuts on which its hash is.

    Args:
        items: The images.
        pairs: Places of images that should stay together, where that leaves every class its share.
        known: What an earlier division recorded.
        classes: The names of the classes.
        train: Whether there is a part ``train``; if not, half of the images go to ``val`` and half to ``test``.

    Returns:
        What to record, the part of each image, and the classes whose pairs were not kept together, because they are so
        many that too little would be left for another part.

    Raises:
        UndividedError: A class has too few groups.
    """
    return _Dividing(items, pairs, known or Split(), classes, train).run()


class _Dividing:
    def __init__(
        self, items: Sequence[Item], pairs: Iterable[tuple[int, int]], known: Split, classes: Sequence[str], train: bool
    ) -> None:
        self.items, self.known, self.classes, self.train = items, known, classes, train
        self.labels = [item.label for item in items]
        self.shares = [item.share for item in items]
        self.held = [_PARTS.index(known.held[i.key]) if i.key in known.held else None for i in items]
        sizes = Counter(self.labels)
        self.targets = {label: targets(count, train) for label, count in sizes.items()}
        # Cuts of a division with and without a part `train` say nothing about each other.
        cuts = {label: cut for label in sizes if (cut := known.cuts.get(classes[label])) is not None}
        self.cuts = {label: cut for label, cut in cuts.items() if (cut[1] < 1) == train}
        # Earlier versions recorded cuts alone, and did not keep together what looks the same.
        self.pairs = list(pairs) if known.held or not known.cuts else []
        self.first: dict[bytes, int] = {}
        for place, item in enumerate(items):
            self.first.setdefault(item.key, place)

    def run(self) -> tuple[Split, list[str], list[int]]:
        """See `divide`."""
        loose: set[int] = set()
        while True:
            units = self._units([p for p in self.pairs if not {self.labels[i] for i in p} & loose])
            parts = self._place(units)
            scarce = self._scarce(parts) - loose
            paired = {self.labels[i] for pair in self.pairs for i in pair}
            if not scarce & paired:
                break
            loose |= scarce & paired
        # What was divided before stays where it is, even if a class has lost its images in a part.
        empty = self._empty(parts) - self.cuts.keys()
        if empty:
            raise UndividedError({label: sum(label in self._counts(u) for u in units) for label in empty})
        made = {
            self.classes[label]: self.cuts.get(label)
            or cut_of([s for s, of in zip(self.shares, self.labels, strict=True) if of == label], self.train)
            for label in self.targets
        }
        named = [_PARTS[part] for part in parts]
        held = {**self.known.held, **{item.key: part for item, part in zip(self.items, named, strict=True)}}
        return Split({**self.known.cuts, **made}, held, self.known.group_by), named, sorted(loose)

    def _units(self, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
        """Places of the items that stay together, in the order of their hashes."""
        same = [(self.first[item.key], place) for place, item in enumerate(self.items)]
        numbers = sets_of(len(self.items), np.array([*same, *pairs], np.intp).reshape(-1, 2)).tolist()
        units: dict[int, list[int]] = {}
        for place in sorted(range(len(numbers)), key=lambda place: (self.shares[place], place)):
            units.setdefault(numbers[place], []).append(place)
        return list(units.values())

    def _place(self, units: Sequence[list[int]]) -> list[int]:
        """The part of every item."""
        parts = [-1] * len(self.items)
        free, fresh = [], []
        for unit in units:
            sides = {part for place in unit if (part := self.held[place]) is not None}
            cut = self.cuts.get(self.labels[unit[0]])
            for place in unit:
                if (part := self.held[place]) is not None:
                    parts[place] = part
                elif len(sides) == 1:
                    (parts[place],) = sides
                elif sides or cut is not None:
                    # Of images that look like those of two parts, each group goes where it would have gone alone.
                    leader = self.first[self.items[place].key] if sides else unit[0]
                    parts[place] = self._side(leader)
            if not sides:
                free.append(unit)
                if cut is None:
                    fresh.append(unit)
        self._fill(fresh, parts)
        if self.train:
            self._mend(free, parts)
        return parts

    def _fill(self, units: Sequence[list[int]], parts: list[int]) -> None:
        """Gives every part its share of new units, the first ones to the first part."""
        left = Counter(label for unit in units for label in self._counts(unit))
        for part in range(_LAST):
            room = {label: wanted[part] for label, wanted in self.targets.items()}
            for place, at in enumerate(parts):
                if at == part:
                    room[self.labels[place]] -= 1
            # Every part that comes later needs a unit, too.
            later = _LAST - part if self.train else 0
            for unit in units:
                if parts[unit[0]] >= 0:
                    continue
                counts = self._counts(unit)
                fits = sum(min(count, max(room[label], 0)) for label, count in counts.items())
                if 2 * fits > len(unit) and all(left[label] > later for label in counts):
                    for label, count in counts.items():
                        room[label] -= count
                        left[label] -= 1
                    for place in unit:
                        parts[place] = part
        for unit in units:
            if parts[unit[0]] < 0:
                for place in unit:
                    parts[place] = _LAST if self.train else 1

    def _mend(self, free: Sequence[list[int]], parts: list[int]) -> None:
        """Gives every class an image in every part, if units that were nowhere before allow that."""
        for label, lacking in self._lacking(parts):
            counts = Counter(zip(parts, self.labels, strict=True))
            if counts[lacking, label]:
                continue
            movable = [
                (parts[unit[0]] != _LAST, len(unit), number)
                for number, unit in enumerate(free)
                if label in (own := self._counts(unit))
                and all(counts[parts[unit[0]], other] > count for other, count in own.items())
            ]
            if movable:
                for place in free[min(movable)[2]]:
                    parts[place] = lacking

    def _lacking(self, parts: list[int]) -> list[tuple[int, int]]:
        counts = Counter(zip(self.labels, parts, strict=True))
        return [(label, part) for label in self.targets for part in (_LAST, 0, 1) if not counts[label, part]]

    def _empty(self, parts: list[int]) -> set[int]:
        return {label for label, _ in self._lacking(parts)} if self.train else set()

    def _scarce(self, parts: list[int]) -> set[int]:
        """Classes that are divided for the first time, and have less than half of their share in a part."""
        counts = Counter(zip(self.labels, parts, strict=True))
        return {
            label
            for label, wanted in self.targets.items()
            if label not in self.cuts and any(counts[label, part] < _ENOUGH * wanted[part] for part in range(_LAST))
        }

    def _counts(self, unit: Sequence[int]) -> Counter[int]:
        return Counter(self.labels[place] for place in unit)

    def _side(self, place: int) -> int:
        first, second = self.cuts.get(self.labels[place], (SHARE, 2 * SHARE) if self.train else (0.5, 1.0))
        return 0 if self.shares[place] < first else 1 if self.shares[place] < second else _LAST
