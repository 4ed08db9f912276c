"""Compares two real processes, started by torchrun, with a single one."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nagsdk.errors import UsageError
from nagsdk.supernet.processes import Ranks, together
from nagsdk.supernet.resume import Average
from nagsdk.supernet.train import TrainAdvanced, optimizer_of, subnets_of, train, train_step
from tests.supernet import two


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    out = tmp_path_factory.mktemp("two")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "tests.supernet.two",
        str(out),
    ]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.fixture(scope="module")
def found(both):
    return [np.load(both / f"rank{rank}.npz") for rank in (0, 1)]


class Halves(Ranks):
    """Simulates two processes in one: stores the gradients of the first half until those of the second are known."""

    first_half = None

    def mean_(self, tensors):
        if self.first_half is None:
            object.__setattr__(self, "first_half", [tensor.clone() for tensor in tensors])
        else:
            for tensor, other in zip(tensors, self.first_half, strict=True):
                tensor.add_(other).div_(2)


def test_both_processes_end_in_the_same_weights_and_figures(both, found):
    assert found[0]["count"] == 2
    assert (found[0]["losses"][5:] == found[1]["losses"][5:]).all() and (found[0]["top1"] == found[1]["top1"]).all()
    first, second = (load_file(both / f"rank{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert [p.name for p in (both / "checkpoints").glob("step-*")] == ["step-0000040.safetensors"]


def test_their_steps_use_the_averaged_gradients(both, found):
    supernet = two.fresh()
    supernet.to(memory_format=torch.channels_last)
    supernet.train()
    optimizer, average, losses = optimizer_of(supernet, two.RECIPE), Average(supernet, two.RECIPE.ema), []
    real = optimizer.step
    for step in range(two.RECIPE.steps):
        codes, ranks = subnets_of(two.SPACE, two.RECIPE, step), Halves()
        advanced = []
        for rank in (0, 1):
            optimizer.step = real if rank else lambda: None
            advanced.append(train_step(supernet, optimizer, two.RECIPE, codes, two.batches(rank, 2), step, ranks, None))
        losses.append((advanced[1].loss_largest, advanced[1].loss_smallest))
        average.update(supernet, step)
    average.put_into(supernet)
    theirs = load_file(both / "rank0.safetensors")
    assert np.allclose(found[0]["losses"], losses, rtol=2e-3, equal_nan=True)
    for name, parameter in supernet.named_parameters():
        assert torch.allclose(parameter, theirs[name], atol=5e-3), name


def test_one_process_with_the_same_batch_has_the_same_curve(found):
    supernet, losses = two.fresh(), []
    train(
        supernet,
        two.batches(),
        two.RECIPE,
        lambda event: losses.append(event.loss_largest) if isinstance(event, TrainAdvanced) else None,
    )
    ours, theirs = np.array(losses), found[0]["losses"][:, 0]
    # In each of two processes, batch normalisation sees only half of the batch: similar, not equal.
    assert abs(ours[0] / theirs[0] - 1) < 0.05 and np.abs(ours - theirs).mean() < 0.15 * ours.mean()
    assert theirs[-5:].mean() < 0.8 * theirs[0]
    alone = two.subnets(supernet)
    assert abs(alone.mean() - found[0]["top1"].mean()) < 5


def test_more_processes_than_gpus_are_refused(monkeypatch):
    for name, value in {
        "TORCHELASTIC_RUN_ID": "x",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "LOCAL_RANK": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="2 processes were started .* has 1 GPU") as caught, together():
        pass
    assert "--nproc-per-node 1" in caught.value.next_step


def test_a_single_process_joins_nothing():
    with together() as ranks:
        assert ranks == Ranks(0, 1) and ranks.first and ranks.sum(np.array([3.0]))[0] == 3
    assert not torch.distributed.is_initialized()
