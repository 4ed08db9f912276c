"""The program that every process of tests/supernet/test_processes.py runs: python two.py FOLDER."""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from nagsdk.images.batches import ArrayBatches, Augmentation
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.supernet.evaluate import measure
from nagsdk.supernet.processes import together
from nagsdk.supernet.recipe import TrainRecipe
from nagsdk.supernet.train import TrainAdvanced, train
from tests.conftest import TINY as SPACE

PLAIN = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
RECIPE = TrainRecipe(steps=40, learning_rate=5e-3, largest_first=5, checkpoint_every=10, ema=0.9)
BATCH = 32


def pictures():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 320)
    images = rng.integers(0, 80, (320, 24, 24, 3), dtype=np.uint8)
    colours = np.array([[170, 0, 0], [0, 170, 0], [0, 0, 170], [170, 170, 0], [0, 170, 170]], np.uint8)
    images[:, 6:18, 6:18] += colours[labels][:, None, None]
    return images, labels


def fresh(seed=1):
    supernet = SPACE.supernet()
    supernet.initialise(seed)
    return supernet


def batches(rank=0, ranks=1):
    images, labels = pictures()
    return ArrayBatches(images, labels, BATCH, PLAIN, 0, Augmentation(area=0.8), rank, ranks)


def subnets(supernet, ranks=None):
    """Measures the top-1 of ten subnets."""
    images, labels = pictures()
    shown = {r: ArrayBatches(images, labels, 160, PLAIN)(0, r) for r in SPACE.resolutions}
    given = SPACE.decode(SPACE.sample(10, np.random.default_rng(3)))
    return measure(supernet, given, lambda r: [shown[r][0]], lambda r: [shown[r]], ranks=ranks)


def main():
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    with together() as ranks:
        # Different seeds, as if the machines drew different random weights.
        supernet, losses = fresh(1 + ranks.rank), []

        def listen(event):
            if isinstance(event, TrainAdvanced):
                losses.append((event.loss_largest, event.loss_smallest))

        train(supernet, batches(ranks.rank, ranks.count), RECIPE, listen, out / "checkpoints", ranks)
        np.savez(out / f"rank{ranks.rank}.npz", losses=losses, top1=subnets(supernet, ranks), count=ranks.count)
        save_file(
            {name: p.detach().contiguous() for name, p in supernet.named_parameters()},
            str(out / f"rank{ranks.rank}.safetensors"),
        )


if __name__ == "__main__":
    main()
