"""Settings of torch that hold in one thread only: where random numbers come from, and how many threads compute.

torch keeps both for the whole process. A program that uses nagsdk from several threads, or has a random state of its
own, must find them unchanged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode

T = TypeVar("T")
_RANDOM = {
    *(torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal, torch.bernoulli, torch.multinomial),
    *(torch.Tensor.uniform_, torch.Tensor.normal_, torch.Tensor.bernoulli_, torch.Tensor.random_),
}
_SETTING = threading.Lock()


class _Inside(threading.local):
    depth = 0


_inside = _Inside()


class _Drawing(TorchFunctionMode):
    """Gives random functions a generator where none was given; a mode of torch is valid in its thread only."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # The functions of torch.nn.init are written in Python and name the argument always.
        if (func in _RANDOM or "generator" in kwargs) and kwargs.get("generator") is None:
            kwargs = {**kwargs, "generator": self.generator}
        return func(*args, **kwargs)


@contextmanager
def seeded(seed: int | None = None) -> Iterator[None]:
    """Draws random numbers as after ``torch.manual_seed``, and leaves torch's random state as it is.

    Args:
        seed: The seed. If it is None, an enclosing `seeded` of this thread stays in charge; without one, it is 0.
    """
    if seed is None and _inside.depth:
        yield
        return
    _inside.depth += 1
    try:
        with _Drawing(torch.Generator().manual_seed(seed or 0)):
            yield
    finally:
        _inside.depth -= 1


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Lets torch compute with this number of threads in the calling thread only.

    torch keeps one number for each thread, and one that new threads start with. Setting the first also sets the
    second, so it is set back at once, by a new thread. The lock lasts for these few calls, not for the block.

    Args:
        count: Number of threads.
    """

    def choose(own: int) -> None:
        with _SETTING:
            for_new = _in_new_thread(torch.get_num_threads)
            torch.set_num_threads(own)
            _in_new_thread(lambda: torch.set_num_threads(for_new))

    before = torch.get_num_threads()
    choose(count)
    try:
        yield
    finally:
        choose(before)


def _in_new_thread(call: Callable[[], T]) -> T:
    found: list[T] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]
