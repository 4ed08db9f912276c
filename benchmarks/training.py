"""Measures how fast a supernet is trained, compared with a plain implementation and with static networks of that shape.

    python benchmarks/training.py [--space small] [--batch 64] [--rounds 15] [--threads 1] [--json]      # two minutes

Every round times one step of each, in a random order; ratios are medians of the rounds' ratios. All train on the same
images, from the same weights, with the same optimiser. The plain implementation slices the same weights in torch's
default memory format. A static network is the subnet itself, cut out of the supernet, in the same memory format and
with the same matrix products as ours. So the ratio to it is the price of elasticity.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nagsdk.families import preset, preset_names
from nagsdk.families.mobilenet_v3.subnet import ConvUnit
from nagsdk.families.protocol import Subnet, Supernet
from nagsdk.families.space import NetworkSpace
from nagsdk.images.batches import ArrayBatches, Augmentation, Batches
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.space.space import Codes, extremes
from nagsdk.supernet.processes import Ranks
from nagsdk.supernet.recipe import TrainRecipe
from nagsdk.supernet.resume import Average
from nagsdk.supernet.train import optimizer_of, sandwich, train_step

RECIPE = TrainRecipe(steps=1000)
TARGET_PLAIN, TARGET_STATIC = 1.4, 1.10


def fresh(space_name: str, channels_last: bool) -> Supernet:
    """A new supernet, always with the same weights."""
    torch.manual_seed(0)
    supernet = preset(space_name).supernet()
    supernet.initialise(0)
    supernet.train()
    return supernet.to(memory_format=torch.channels_last) if channels_last else supernet  # type: ignore[call-overload]


def elastic_step(supernet: Supernet, codes: Codes, batches: Batches) -> Callable[[], None]:
    """A step of nagsdk's own training."""
    optimizer = optimizer_of(supernet, RECIPE)
    return lambda: void(train_step(supernet, optimizer, RECIPE, codes, batches, 100, Ranks(), None))


class Product(nn.Module):
    """A 1x1 convolution as a matrix product, as the supernet computes it, so that only elasticity differs."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().flatten(1).clone())

    def forward(self, x: Tensor) -> Tensor:
        """Maps activations, shape (n, into, h, w), to activations, shape (n, out, h, w)."""
        return functional.linear(x.permute(0, 2, 3, 1), self.weight).permute(0, 3, 1, 2)


def static_step(nets: Sequence[Subnet], batches: Batches) -> Callable[[], None]:
    """A step of separate static networks; the first one is the teacher of the others."""
    for net in nets:
        for unit in [
            module for module in net.modules() if isinstance(module, ConvUnit) and module.conv.kernel_size == (1, 1)
        ]:
            unit.conv = Product(unit.conv.weight)  # type: ignore[assignment]
        net.train()
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizers = [torch.optim.AdamW(net.parameters(), lr=RECIPE.learning_rate, fused=True) for net in nets]

    def step() -> None:
        soft = None
        for net, optimizer in zip(nets, optimizers, strict=True):
            images, labels = batches(100, net.architecture.resolution)
            optimizer.zero_grad()
            logits = net(images)
            loss = (
                functional.cross_entropy(logits, labels, label_smoothing=0.05)
                if soft is None
                else functional.cross_entropy(logits, soft)
            )
            torch.autograd.backward(loss)
            soft = logits.detach().softmax(1) if soft is None else soft
            optimizer.step()

    return step


def void(_: object) -> None:
    """Discards a result."""


def timed(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """CPU seconds of every step in every round, after one more round for warm-up.

    CPU time is used because other work on the machine changes it least.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    order = list(steps)
    for number in range(rounds + 1):
        random.Random(number).shuffle(order)
        for name in order:
            start = time.process_time()
            steps[name]()
            if number:
                seconds[name].append(time.process_time() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def compare(space: str, codes: Codes, batches: Batches, rounds: int) -> dict[str, float]:
    """Compares our implementation, the plain one and static networks on images that are already in memory."""
    ours, plain = fresh(space, True), fresh(space, False)
    nets = [ours.extract(a) for a in ours.space.decode(codes)]
    ready = {r: batches(100, r) for r in ours.space.resolutions}
    contiguous = {r: (images.contiguous(), labels) for r, (images, labels) in ready.items()}
    found = timed(
        {
            "ours": elastic_step(ours, codes, lambda _, r: ready[r]),
            "plain": elastic_step(plain, codes, lambda _, r: contiguous[r]),
            "static": static_step(nets, lambda _, r: ready[r]),
        },
        rounds,
    )
    return {
        "ours_ms": 1000 * float(np.median(found["ours"])),
        "plain_over_ours": float(np.median(found["plain"] / found["ours"])),
        "ours_over_static": float(np.median(found["ours"] / found["static"])),
    }


def breakdown(space: str, batches: Batches, codes: Codes, rounds: int) -> dict[str, float]:
    """Shares of the parts of a training step in its CPU time."""
    supernet = fresh(space, True)
    optimizer, average = optimizer_of(supernet, RECIPE), Average(supernet, 0.999)
    parts = dict.fromkeys(("images", "forward", "backward", "optimiser", "average"), 0.0)

    def spent(name: str, since: float) -> float:
        now = time.process_time()
        parts[name] += now - since
        return now

    for step in range(rounds):
        now = time.process_time()
        made = {r: batches(step, supernet.space.resolutions[r]) for r in sorted(set(codes[:, 0].tolist()))}
        now = spent("images", now)
        optimizer.zero_grad()
        soft = None
        for code in codes.tolist():
            images, labels = made[code[0]]
            logits = supernet(images, code)
            loss = functional.cross_entropy(logits, labels if soft is None else soft)
            soft = logits.detach().softmax(1) if soft is None else soft
            now = spent("forward", now)
            torch.autograd.backward(loss)
            now = spent("backward", now)
        optimizer.step()
        now = spent("optimiser", now)
        average.update(supernet, step)
        spent("average", now)
    whole = sum(parts.values())
    return {name: seconds / whole for name, seconds in parts.items()}


def run(space: str, batch: int, rounds: int, threads: int) -> dict[str, object]:
    """Runs all comparisons."""
    torch.set_num_threads(threads)
    own = fresh(space, True).space
    assert isinstance(own, NetworkSpace)
    side = max(own.resolutions)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4 * batch, side, side, 3), dtype=np.uint8)
    preprocessing = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    batches = ArrayBatches(
        pixels, rng.integers(0, own.classes, 4 * batch), batch, preprocessing, augmentation=Augmentation()
    )
    both = sandwich(own, RECIPE, 100)
    smallest, largest = extremes(own)
    cases = {
        "sandwich step (4 subnets)": both,
        "largest alone": largest[None],
        "smallest alone": smallest[None],
        "a random one alone": both[1:2],
    }
    return {
        "space": space,
        "batch": batch,
        "threads": threads,
        "cases": {name: compare(space, codes, batches, rounds) for name, codes in cases.items()},
        "shares": breakdown(space, batches, both, rounds),
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", choices=preset_names(), default="small")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = run(options.space, options.batch, options.rounds, options.threads)
    if options.json:
        print(json.dumps(result))
        return
    print(f"space {options.space}, batch {options.batch}, {options.threads} thread(s)")
    print(
        f"{'':<28}{'ours':>10}{'plain / ours':>16}{'ours / static':>16}"
        f"   (targets: ≥ {TARGET_PLAIN}, ≤ {TARGET_STATIC:.2f})"
    )
    assert isinstance(result["cases"], dict) and isinstance(result["shares"], dict)
    for name, case in result["cases"].items():
        print(f"{name:<28}{case['ours_ms']:>7.0f} ms{case['plain_over_ours']:>16.2f}{case['ours_over_static']:>16.2f}")
    print(
        "shares of a step's time: "
        + ", ".join(f"{name} {100 * share:.1f} %" for name, share in result["shares"].items())
    )


if __name__ == "__main__":
    main()
