import numpy as np
import pytest
import torch

from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.families.widths import make_divisible
from nagsdk.images.batches import ArrayBatches
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.supernet.passes import passes, train_passes
from nagsdk.supernet.train import TrainAdvanced, extremes, subnets_of


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_only_open_choices_are_drawn():
    space, rng = ofa_mobilenet_v3(), np.random.default_rng(0)
    for opened, kernels, depths, expansions in [
        ((1, 1, 1), {7}, {4}, {6}),
        ((3, 1, 1), {3, 5, 7}, {4}, {6}),
        ((3, 2, 1), {3, 5, 7}, {3, 4}, {6}),
        ((3, 3, 2), {3, 5, 7}, {2, 3, 4}, {4, 6}),
    ]:
        opened = dict(zip(("kernels", "depths", "expansions"), opened, strict=True))
        found = [space.settings(a) for a in space.decode(space.draw(opened, 60, rng))]
        assert {k for s in found for k in s.kernels} == kernels and {d for s in found for d in s.depths} == depths
        assert {e for s in found for e in s.expansions} == expansions and len({s.resolution for s in found}) > 10


def test_the_largest_network_first_and_everything_open_last():
    space = ofa_mobilenet_v3()
    rows = passes("shrinking", space, 1000, 4e-3, 5, False, 10)
    assert [tuple(r.opened[kind] for kind in ("kernels", "depths", "expansions")) for r in rows] == [
        (1, 1, 1), (3, 1, 1), (3, 2, 1), (3, 3, 1), (3, 3, 2), (3, 3, 3),
    ]  # fmt: skip
    assert [r.sorts for r in rows] == [False] * 4 + [True, False] and len({r.seed for r in rows}) == 6
    assert abs(sum(r.steps for r in rows) - 1000) <= 3 and [r.random_subnets for r in rows] == [1, 1, 2, 2, 4, 4]
    codes = subnets_of(space, rows[-1], 3)
    assert len(codes) == 4 and len(set(codes[:, 0])) == 1
    (alone,) = passes("sandwich", space, 1000, 4e-3, 5, False, 10)
    (gentle,) = passes("sandwich", space, 1000, 4e-3, 5, True, 10)
    assert alone.opened is None and (alone.largest_first, gentle.largest_first) == (200, 100)


def test_sorting_keeps_the_largest_and_moves_weight_to_the_front(tiny_space):
    torch.manual_seed(0)
    supernet = tiny_space.supernet()
    for module in supernet.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    for block in supernet.blocks:
        block.project.weight.data *= torch.rand(block.project.weight.shape[1])[None, :, None, None] * 2
    supernet.eval()
    images = torch.randn(4, 3, 24, 24)
    smallest, largest = extremes(tiny_space).tolist()
    kept = {id(b): make_divisible(b.shape.in_channels * 2) for b in supernet.blocks}

    def left_out():
        weights = [b.project.weight.detach().abs().sum((0, 2, 3)) for b in supernet.blocks]
        return [float(1 - w[: kept[id(b)]].sum() / w.sum()) for w, b in zip(weights, supernet.blocks, strict=True)]

    with torch.no_grad():
        before, small, lost = supernet(images, largest), supernet(images, smallest), left_out()
        supernet.sort_channels()
        assert torch.allclose(supernet(images, largest), before, atol=1e-5)
        assert not torch.allclose(supernet(images, smallest), small, atol=1e-3)
    assert all(after < 0.9 * earlier for earlier, after in zip(lost, left_out(), strict=True))


def test_progressive_shrinking_learns_and_resumes_in_the_same_weights(tiny_space, tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 160)
    images = rng.integers(0, 80, (160, 24, 24, 3), dtype=np.uint8)
    images[:, 6:18, 6:18] += np.array([[170, 0, 0], [0, 170, 0], [0, 0, 170], [170, 170, 0], [0, 170, 170]], np.uint8)[
        labels
    ][:, None, None]
    plain = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    rows = passes("shrinking", tiny_space, 60, 1e-2, 0, False, 4)
    assert len(rows) == 4

    def run(folder, listen):
        supernet = tiny_space.supernet()
        supernet.initialise(1)
        still = ArrayBatches(images, labels, 32, plain)
        train_passes(
            supernet,
            lambda row: ArrayBatches(images, labels, 32, plain, row.seed),
            rows,
            lambda: [still(0, 24)[0]],
            listen,
            folder,
        )
        return supernet

    losses = []
    whole = run(None, lambda event: losses.append(event.loss_largest) if isinstance(event, TrainAdvanced) else None)
    assert np.mean(losses[-5:]) < 0.7 * losses[0]

    class Killed(Exception):
        pass

    for step in (7, 31, 52):
        count = iter(range(10**6))

        def kill(event, step=step, count=count):
            if isinstance(event, TrainAdvanced) and next(count) == step % 20:
                raise Killed

        with pytest.raises(Killed):
            run(tmp_path, kill)
    resumed = run(tmp_path, lambda event: None)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
