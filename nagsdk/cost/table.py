"""Additive cost tables: the form in which generators read costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from nagsdk.space.decisions import Contexts
from nagsdk.space.layer import LayerSpec
from nagsdk.space.space import Codes, SearchSpace

Floats = NDArray[np.float64]
# What tells layers apart, besides their names.
_identity = attrgetter(*(field.name for field in fields(LayerSpec) if field.name != "name"))


@dataclass(frozen=True)
class AdditiveTable:
    """A cost that is a sum over fixed layers and active choices, at every resolution.

    ``inf`` marks what is not allowed: a choice that the device cannot run, or a resolution (in `base`) that the user
    excluded. Generators never use it.

    Attributes:
        base: Cost of the fixed layers, shape (resolutions,).
        choice: Cost that each choice adds, in the same unit, shape (resolutions, rows, most choices); 0 where a
            decision adds nothing or has no such choice.
        rows: The rows of a space whose decisions read others (`SearchSpace.rows`); None if every decision has one row.
    """

    base: Floats
    choice: Floats
    rows: Contexts | None = None

    def cost(self, codes: Codes) -> Floats:
        """Returns the costs of architectures, shape (n,)."""
        resolution = codes[:, 0].astype(np.intp)
        most = self.choice.shape[2]
        # A column of zeros after the last choice serves inactive decisions, so that no mask is needed.
        padded = np.concatenate([self.choice, np.zeros((*self.choice.shape[:2], 1))], axis=2)
        row = np.arange(codes.shape[1]) if self.rows is None else self.rows.index(codes)
        index = np.where(codes < 0, most, codes).astype(np.intp)
        flat = (resolution[:, None] * self.choice.shape[1] + row) * (most + 1) + index
        result: Floats = self.base[resolution] + padded.ravel()[flat].sum(1)
        return result

    def masked(self, allowed: NDArray[np.bool_] | None = None, resolution: int | None = None) -> AdditiveTable:
        """Returns the table with everything forbidden but the given choices and resolution.

        Args:
            allowed: Choices to keep, broadcast against `choice`: shape (rows, most choices), or with a leading
                axis of resolutions; None keeps all.
            resolution: Index of the only resolution to keep; None keeps all.
        """
        choice = self.choice if allowed is None else np.where(allowed, self.choice, np.inf)
        base = self.base if resolution is None else np.where(np.arange(len(self.base)) == resolution, self.base, np.inf)
        return replace(self, base=base, choice=choice)


def exact_table(space: SearchSpace, value: Callable[[LayerSpec], float]) -> AdditiveTable:
    """Returns the table of a cost that is known exactly for every layer, such as its MACs.

    Args:
        space: Any search space.
        value: Returns the cost of one layer; it must not depend on the layer's name.
    """
    layers = SpaceLayers.of(space)
    return layers.table(space, np.array([value(layer) for layer in layers.unique], dtype=np.float64))


@dataclass(frozen=True)
class SpaceLayers:
    """All layers of a space, grouped into cells, with equal layers stored once.

    A cell holds the layers of one choice in a row of cost tables at a resolution. The last cell of a resolution holds
    its fixed layers.

    Attributes:
        unique: Layers that differ in more than their names.
        which: Index into `unique` of every layer of every cell, shape (layers,).
        cells: Index of the cell of every layer, shape (layers,).
        shape: Number of resolutions, and of cells per resolution.
    """

    unique: tuple[LayerSpec, ...]
    which: NDArray[np.intp]
    cells: NDArray[np.intp]
    shape: tuple[int, int]

    @classmethod
    def of(cls, space: SearchSpace) -> SpaceLayers:
        """Returns the layers of a space; they are collected once per space and process."""
        known = _LAYERS.get(space.fingerprint)
        if known is None:
            known = _LAYERS[space.fingerprint] = cls._found(space)
        return known

    @classmethod
    def _found(cls, space: SearchSpace) -> SpaceLayers:
        most = int(space.sizes.max())
        per_resolution = len(space.rows) * most + 1
        seen: dict[tuple[object, ...], int] = {}
        unique: list[LayerSpec] = []
        which: list[int] = []
        cells: list[int] = []
        for r, resolution in enumerate(space.resolutions):
            parts = [(per_resolution - 1, space.fixed_layers(resolution))]
            for d, size in enumerate(space.sizes.tolist()):
                for row, context in enumerate(space.rows.all(d), int(space.rows.starts[d])):
                    if space.rows.possible(d, context):
                        parts += [(row * most + c, space.choice_layers(resolution, d, c, context)) for c in range(size)]
            for cell, part in parts:
                for layer in part:
                    index = seen.setdefault(_identity(layer), len(unique))
                    if index == len(unique):
                        unique.append(layer)
                    which.append(index)
                cells += [r * per_resolution + cell] * len(part)
        shape = (len(space.resolutions), per_resolution)
        return cls(tuple(unique), np.array(which, dtype=np.intp), np.array(cells, dtype=np.intp), shape)

    def sums(self, values: Floats) -> Floats:
        """Sums values over the layers of every cell.

        Args:
            values: Values of the unique layers, shape (unique, F).

        Returns:
            The sums, shape (resolutions, cells, F).
        """
        total = np.zeros((self.shape[0] * self.shape[1], values.shape[1]))
        np.add.at(total, self.cells, values[self.which])
        return total.reshape(*self.shape, -1)

    def table(self, space: SearchSpace, values: Floats) -> AdditiveTable:
        """Returns the table of the sum of a value over layers.

        Args:
            space: The space that the layers belong to.
            values: Values of the unique layers, shape (unique,).
        """
        sums = self.sums(values[:, None])[..., 0]
        return AdditiveTable(sums[:, -1], sums[:, :-1].reshape(len(space.resolutions), len(space.rows), -1), space.rows)


_LAYERS: dict[str, SpaceLayers] = {}


def priced(space: SearchSpace, table: AdditiveTable) -> Floats:
    """Returns the costs of choices, shape (resolutions, rows, most choices), inf where a choice does not exist."""
    return np.where(space.existing, table.choice, np.inf)


def mixed(tables: Sequence[AdditiveTable], weights: Floats) -> AdditiveTable:
    """Returns a weighted sum of costs; what one of them forbids stays forbidden even if its weight is 0."""

    def sum_of(parts: Iterable[Floats]) -> Floats:
        with np.errstate(invalid="ignore"):  # 0 · inf is computed before it is replaced
            total: Floats = np.sum(
                [np.where(np.isfinite(p), w * p, np.inf) for w, p in zip(weights, parts, strict=True)], axis=0
            )
        return total

    return replace(tables[0], base=sum_of(t.base for t in tables), choice=sum_of(t.choice for t in tables))
