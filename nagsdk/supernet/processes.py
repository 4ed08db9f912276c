"""Data parallelism: torch.distributed under torchrun, no-ops in a single process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from nagsdk.common.wording import counted
from nagsdk.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """Rank of this process among all processes that work on the same job.

    Attributes:
        rank: Number of this process, from 0.
        count: Number of processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and reports progress."""
        return self.rank == 0

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Replaces the tensors by their mean over all processes, in one message."""
        if self.count > 1:
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            distributed.all_reduce(flat)
            _into(tensors, flat / self.count)

    @torch.no_grad()
    def same_(self, tensors: Sequence[Tensor]) -> None:
        """Copies the tensors of the first process into those of all processes."""
        if self.count > 1:
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            distributed.broadcast(flat, 0)
            _into(tensors, flat)

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the sum over all processes, the same in each."""
        if self.count == 1:
            return values
        summed = torch.from_numpy(values.copy()).to(torch_device())
        distributed.all_reduce(summed)
        return np.asarray(summed.cpu().numpy(), np.float64)

    def of_first(self, value: T) -> T:
        """Returns the value of the first process, in each."""
        if self.count == 1:
            return value
        held = [value]
        distributed.broadcast_object_list(held, 0)
        return held[0]

    def wait(self) -> None:
        """Waits until every process has reached this call."""
        self.sum(np.zeros(1))


def _into(tensors: Sequence[Tensor], flat: Tensor) -> None:
    for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


@contextmanager
def together() -> Iterator[Ranks]:
    """Joins the processes that torchrun started, with NCCL on GPUs and with Gloo on CPUs.

    Without torchrun, this process works alone.

    Raises:
        UsageError: More processes were started than there are GPUs.
    """
    if not distributed.is_torchelastic_launched() or int(os.environ["WORLD_SIZE"]) == 1:
        yield Ranks()
        return
    if torch.cuda.is_available():
        processes, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if processes > gpus:
            raise UsageError(
                f"{processes} processes were started on this machine, which has {counted(gpus, 'GPU')}.",
                f"Give torchrun --nproc-per-node {gpus}, or hide the GPUs with CUDA_VISIBLE_DEVICES=.",
            )
        torch.cuda.set_device(torch_device())
    # The timeout is long, because one process may be busy for long while the others wait; torchrun ends all processes
    # when one fails.
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(days=1))
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


def torch_device() -> torch.device:
    """The torch device of this process: a GPU of its own if one is available, otherwise the CPU."""
    return (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if torch.cuda.is_available()
        else torch.device("cpu")
    )
