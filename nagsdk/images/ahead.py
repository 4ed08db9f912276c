"""Prepares the batches of the next steps in threads, so that a GPU does not wait for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from nagsdk.common.cores import usable_cores
from nagsdk.images.batches import Batches

_MOST_THREADS, _STEPS = 8, 4


class Ahead:
    """`Batches` that are prepared before they are asked for, in memory from which copies to a GPU are fast.

    A batch depends only on its step and resolution, so it is the same as without threads. These share the memory of
    the images, and most of their work is done outside of Python.

    Args:
        batches: The batches.
        wanted: Returns the resolutions at which a step will ask for its batch; none after the last step.
    """

    def __init__(self, batches: Batches, wanted: Callable[[int], Iterable[int]]) -> None:
        self.batches, self.wanted = batches, wanted
        self._ready: dict[tuple[int, int], Future[tuple[Tensor, Tensor]]] = {}
        self._planned = -1

    def __enter__(self) -> Self:
        """Starts the threads."""
        self._pool = ThreadPoolExecutor(min(usable_cores(), _MOST_THREADS))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the threads; batches that were not begun are dropped."""
        self._pool.shutdown(cancel_futures=True)

    def __call__(self, step: int, resolution: int) -> tuple[Tensor, Tensor]:
        """See `Batches`."""
        for ahead in range(max(self._planned + 1, step), step + _STEPS + 1):
            for side in self.wanted(ahead):
                self._ready[ahead, side] = self._pool.submit(self._pinned, ahead, side)
            self._planned = ahead
        found = self._ready.pop((step, resolution), None)
        return self.batches(step, resolution) if found is None else found.result()

    def _pinned(self, step: int, resolution: int) -> tuple[Tensor, Tensor]:
        images, labels = self.batches(step, resolution)
        return (images.pin_memory(), labels.pin_memory()) if torch.cuda.is_available() else (images, labels)
