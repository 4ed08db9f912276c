import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from nagsdk.errors import DamagedBundleError, UsageError
from nagsdk.families.protocol import Supernet
from nagsdk.images.batches import ArrayBatches
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.supernet.evaluate import top1
from nagsdk.supernet.recalibrate import recalibrate
from nagsdk.supernet.recipe import TrainRecipe
from nagsdk.supernet.train import CheckpointSaved, TrainAdvanced, extremes, optimizer_of, sandwich, train
from tests.supernet.two import pictures

RECIPE = TrainRecipe(steps=30, learning_rate=1e-2, largest_first=5, checkpoint_every=10)
AVERAGED = dataclasses.replace(RECIPE, ema=0.9)
PLAIN = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def batches() -> ArrayBatches:
    """Five classes that differ in the colour of a square."""
    images, labels = pictures()
    return ArrayBatches(images, labels, 32, PLAIN)


def fresh(space) -> Supernet:
    supernet = space.supernet()
    supernet.initialise(1)
    return supernet


def test_the_smallest_and_the_largest_learn(tiny_space, batches):
    supernet, events = fresh(tiny_space), []
    train(supernet, batches, RECIPE, events.append)
    steps = [e for e in events if isinstance(e, TrainAdvanced)]
    assert [int(e.done) for e in steps] == list(range(1, 31))
    assert np.mean([e.loss_largest for e in steps[-5:]]) < 0.7 * steps[0].loss_largest
    assert all(math.isnan(e.loss_smallest) for e in steps[:5]) and not any(
        math.isnan(e.loss_smallest) for e in steps[5:]
    )
    images, labels = batches(0, 24)
    for architecture in tiny_space.decode(extremes(tiny_space)):
        subnet = supernet.extract(dataclasses.replace(architecture, resolution=24))
        recalibrate(subnet, images)
        assert top1(subnet, [(images, labels)]) > 60


@pytest.mark.parametrize("recipe", [RECIPE, AVERAGED], ids=["plain", "averaged"])
def test_a_resumed_run_ends_in_the_same_weights(tiny_space, batches, tmp_path, recipe):
    whole = fresh(tiny_space)
    train(whole, batches, recipe)

    class Killed(Exception):
        pass

    def kill(event):
        if isinstance(event, TrainAdvanced) and event.done == 17:
            raise Killed

    with pytest.raises(Killed):
        train(fresh(tiny_space), batches, recipe, kill, tmp_path)
    assert json.loads((tmp_path / "state.json").read_text())["step"] == 10
    resumed, events = tiny_space.supernet(), []
    train(resumed, batches, recipe, events.append, tmp_path)
    assert [int(e.done) for e in events if isinstance(e, TrainAdvanced)] == list(range(11, 31))
    assert [e.step for e in events if isinstance(e, CheckpointSaved)] == [20, 30]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert {p.name for p in tmp_path.iterdir()} == {"step-0000030.safetensors", "state.json"}


def test_a_training_ends_with_the_average_of_the_weights(tiny_space, batches):
    seen = []

    def listen(event):
        if isinstance(event, TrainAdvanced):
            seen.append(supernet.classifier.weight.detach().clone())

    supernet = fresh(tiny_space)
    first = supernet.classifier.weight.detach().clone()
    train(supernet, batches, AVERAGED, listen)
    average = first
    for step, weight in enumerate(seen):
        kept = min(0.9, (1 + step) / (10 + step))
        average = kept * average + (1 - kept) * weight
    assert torch.allclose(supernet.classifier.weight, average, atol=1e-6)
    assert not torch.allclose(supernet.classifier.weight, seen[-1], atol=1e-6)


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_refused(tiny_space, batches, tmp_path):
    short = dataclasses.replace(RECIPE, steps=2, checkpoint_every=1)
    train(fresh(tiny_space), batches, short, checkpoint_dir=tmp_path)
    with pytest.raises(UsageError, match="another recipe"):
        train(fresh(tiny_space), batches, dataclasses.replace(short, seed=7), checkpoint_dir=tmp_path)
    state = json.loads((tmp_path / "state.json").read_text())
    (tmp_path / "state.json").write_text(json.dumps({**state, "rule": 1}))
    with pytest.raises(UsageError, match="version of nagsdk"):
        train(fresh(tiny_space), batches, short, checkpoint_dir=tmp_path)
    (tmp_path / "state.json").write_text(json.dumps(state))
    file = next(tmp_path.glob("step-*"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DamagedBundleError, match="is damaged"):
        train(fresh(tiny_space), batches, short, checkpoint_dir=tmp_path)


def test_a_training_that_diverges_ends_at_once(tiny_space, batches, tmp_path):
    events = []
    with pytest.raises(UsageError, match="diverged") as caught:
        train(
            fresh(tiny_space),
            batches,
            dataclasses.replace(RECIPE, learning_rate=1e20),
            events.append,
            tmp_path / "pass0",
        )
    assert str(tmp_path) in caught.value.next_step and not math.isfinite(events[-1].loss_largest)


def test_every_sandwich_holds_both_extremes_at_their_own_ends_of_the_resolutions(tiny_space):
    smallest, largest = extremes(tiny_space)
    macs = [tiny_space.macs(a) for a in tiny_space.decode(tiny_space.sample(200, np.random.default_rng(0)))]
    low, high = (tiny_space.macs(a) for a in tiny_space.decode(np.stack([smallest, largest])))
    assert low <= min(macs) and max(macs) <= high
    seen = set()
    for step in range(5, 30):
        codes = sandwich(tiny_space, RECIPE, step)
        assert (codes[0] == largest).all() and (codes[-1] == smallest).all() and len(codes) == 4
        tiny_space.validate(codes)
        seen.add(tuple(codes[1:3, 0].tolist()))
    assert seen == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert (sandwich(tiny_space, RECIPE, 4) == largest[None]).all()


def test_each_subnet_of_a_step_sees_the_batch_at_its_own_resolution_and_each_batch_is_prepared_once(
    tiny_space, batches
):
    asked, given = [], []

    def asking(step, resolution):
        asked.append((step, resolution))
        return batches(step, resolution)

    supernet = fresh(tiny_space)
    supernet.register_forward_pre_hook(lambda _, inputs: given.append((inputs[0].shape[-1], inputs[1][0])))
    train(supernet, asking, dataclasses.replace(RECIPE, steps=12, largest_first=0))
    assert len(given) == 4 * 12 and all(side == tiny_space.resolutions[choice] for side, choice in given)
    assert sorted(asked) == [(step, resolution) for step in range(12) for resolution in tiny_space.resolutions]


def test_the_rate_rises_and_falls():
    rates = [RECIPE.rate(step) for step in range(RECIPE.steps)]
    assert max(rates) == pytest.approx(RECIPE.learning_rate)
    assert (
        rates[0] < rates[1]
        and sorted(rates[2:], reverse=True) == rates[2:]
        and 0 <= rates[-1] < 0.01 * RECIPE.learning_rate
    )


def test_initialise_leaves_the_global_random_state(tiny_space):
    torch.manual_seed(3)
    expected = torch.rand(1)
    supernet = tiny_space.supernet()
    torch.manual_seed(3)
    supernet.initialise(0)
    assert torch.equal(torch.rand(1), expected)


def test_the_fused_optimiser_takes_the_steps_of_the_plain_one(tiny_space, batches):
    ours, theirs = (fresh(tiny_space).to(memory_format=torch.channels_last).train() for _ in range(2))
    twins = dict(zip(ours.parameters(), theirs.parameters(), strict=True))
    fused = optimizer_of(ours, RECIPE)
    plain = torch.optim.AdamW(
        [{"params": [twins[p] for p in g["params"]], "weight_decay": g["weight_decay"]} for g in fused.param_groups],
        lr=1e-3,
    )
    for step in range(3):
        fused.zero_grad()
        images, labels = batches(step, 24)
        for code in extremes(tiny_space).tolist():
            torch.nn.functional.cross_entropy(ours(images, code), labels).backward()
        for parameter, twin in twins.items():
            twin.grad = None if parameter.grad is None else parameter.grad.clone()
        fused.step()
        plain.step()
    assert all(torch.allclose(parameter, twin, atol=1e-6) for parameter, twin in twins.items())
    assert any(not parameter.is_contiguous() for parameter in twins)
