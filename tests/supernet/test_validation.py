"""Validation during a training: the best weights are kept, and a run that was killed goes on in the same way."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nagsdk.errors import DamagedBundleError
from nagsdk.events import Notice
from nagsdk.images.batches import ArrayBatches
from nagsdk.supernet.recipe import TrainRecipe
from nagsdk.supernet.train import TrainAdvanced, train
from nagsdk.supernet.validation import Best, Validation
from tests.supernet import two

RECIPE = TrainRecipe(steps=24, learning_rate=1e-2, largest_first=24, checkpoint_every=4, ema=0.5, validate_every=3)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def validation():
    images, labels = two.pictures()
    batch = ArrayBatches(images, labels, 160, two.PLAIN)(0, 24)
    return Validation(lambda: batch[0], [batch], 160)


class Killed(Exception):
    pass


def killed_at(step):
    def listen(event):
        if isinstance(event, TrainAdvanced) and event.done == step:
            raise Killed

    return listen


class Sinking(Validation):
    """Measures that a training gets worse from the second measurement on."""

    def measure(self, supernet, ranks):
        seen.append(super().measure(supernet, ranks))
        return 90.0 - 20.0 * min(len(seen), 3)


seen: list[float] = []


def test_a_training_is_measured_now_and_then_and_at_its_end(validation):
    events = []
    recipe = dataclasses.replace(RECIPE, steps=25)
    train(two.fresh(), two.batches(), recipe, events.append, validation=validation)
    steps = [e for e in events if isinstance(e, TrainAdvanced)]
    assert [int(e.done) for e in steps if not math.isnan(e.top1_validation)] == [*range(3, 25, 3), 25]
    assert steps[-1].top1_validation > 60


def test_validation_changes_no_weights(validation):
    watched, plain = two.fresh(), two.fresh()
    train(watched, two.batches(), RECIPE, validation=validation)
    train(plain, two.batches(), dataclasses.replace(RECIPE, validate_every=0))
    assert all(torch.equal(a, b) for a, b in zip(watched.parameters(), plain.parameters(), strict=True))


def test_an_overfitted_training_ends_early_with_its_best_weights_also_if_it_was_killed(validation, tmp_path):
    sinking = Sinking(validation.recalibration, validation.pictures, validation.count)
    recipe = dataclasses.replace(RECIPE, ends_early=True)
    seen.clear()
    events, whole = [], two.fresh()
    train(whole, two.batches(), recipe, events.append, tmp_path, validation=sinking)
    steps = [int(e.done) for e in events if isinstance(e, TrainAdvanced)]
    # The first measurement is the best one, and two late ones are worse.
    assert steps[-1] == 18 and len(seen) == 6
    (notice,) = [e.text for e in events if isinstance(e, Notice)]
    assert "overfitted" in notice and "70.0 % after step 3 and 30.0 % at the end" in notice
    short = two.fresh()
    with pytest.raises(Killed):
        train(short, two.batches(), dataclasses.replace(recipe, checkpoint_every=3), killed_at(4), tmp_path / "short")
    kept = load_file(tmp_path / "short" / "step-0000003.safetensors")
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, kept[f"average.{name}"]), name
    assert json.loads((tmp_path / "state.json").read_text())["validation"]["worse"] == 2
    resumed = two.fresh(5)
    train(resumed, two.batches(), recipe, events.append, tmp_path, validation=sinking)
    assert len(seen) == 6, "it trained again"
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_a_killed_training_is_resumed_with_its_measurements(validation, tmp_path):
    recipe = dataclasses.replace(RECIPE, ends_early=True)
    whole, resumed = two.fresh(), two.fresh(9)
    train(whole, two.batches(), recipe, validation=validation)
    with pytest.raises(Killed):
        train(two.fresh(), two.batches(), recipe, killed_at(15), tmp_path, validation=validation)
    train(resumed, two.batches(), recipe, checkpoint_dir=tmp_path, validation=validation)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    state = json.loads((tmp_path / "state.json").read_text())
    (tmp_path / "state.json").write_text(json.dumps({**state, "validation": {"top1": "high"}}))
    with pytest.raises(DamagedBundleError, match="figures of the validation"):
        train(two.fresh(), two.batches(), recipe, checkpoint_dir=tmp_path, validation=validation)


def test_few_images_do_not_call_weights_worse():
    supernet = two.fresh()
    for count, worse in ((20, False), (2000, True)):
        best = Best(count)
        for step, top1 in enumerate((50.0, 60.0, 57.0, 57.0, 57.0)):
            best.see(supernet, step, top1)
        early = Best(count)
        for step, top1 in enumerate((60.0, 20.0, 20.0, 20.0, 20.0)):
            early.see(supernet, step, top1, late=False)
        assert not early.ended and early.overfitted
        assert (best.top1, best.step, best.overfitted, best.ended) == (60.0, 1, worse, worse)
    for extreme in (0.0, 100.0):
        best = Best(50)
        best.see(supernet, 1, extreme)
        assert not best.overfitted and np.isfinite(best.top1)
