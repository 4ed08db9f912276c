"""Larger networks start as the smallest one."""

import numpy as np
import pytest
import torch

from nagsdk import families
from nagsdk.space.space import extremes
from nagsdk.supernet.nest import nest
from nagsdk.supernet.recipe import TrainRecipe
from nagsdk.supernet.train import sandwich, train
from tests.conftest import TINY
from tests.supernet.two import batches

RECIPE = TrainRecipe(steps=12, learning_rate=1e-2, smallest_first=12, ema=0.5)


def fresh(space):
    supernet = space.supernet()
    supernet.initialise(1)
    return supernet.train()


@torch.no_grad()
def outputs(supernet, resolution=0):
    """Logits of the smallest, of three random and of the largest network, at one resolution."""
    space = supernet.space
    codes = np.vstack([*extremes(space), space.sample(3, np.random.default_rng(0))])
    codes[:, 0] = resolution
    side = space.resolutions[resolution]
    images = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(0))
    return torch.stack([supernet(images, code) for code in codes.tolist()])


SPACES = {"tiny": TINY, "testing": families.testing_space(), **{n: families.preset(n) for n in ("small", "proxyless")}}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_all_networks_compute_what_the_smallest_does_and_that_stays(space):
    supernet = fresh(space)
    before = outputs(supernet)
    nest(supernet)
    after = outputs(supernet)
    torch.testing.assert_close(after[0], before[0], rtol=0, atol=0.01 * float(before[0].std()))
    assert (before[1:] - before[0]).abs().max() > 1e-2
    torch.testing.assert_close(after, after[:1].expand_as(after))


def test_the_smallest_learns_alone_at_every_resolution_and_the_others_know_it():
    codes = np.vstack([sandwich(TINY, RECIPE, step) for step in range(12)])
    assert codes.shape[0] == 12 and set(codes[:, 0]) == set(range(len(TINY.resolutions)))
    assert (codes[:, 1:] == extremes(TINY)[0][1:]).all()
    supernet = fresh(TINY)
    before = outputs(supernet)
    train(supernet, batches(), RECIPE)
    after = outputs(supernet.train(), 1)
    torch.testing.assert_close(after, after[:1].expand_as(after), rtol=1e-4, atol=1e-4)
    assert (after[0] - before[0]).abs().max() > 0.1


def test_what_was_zeroed_learns_when_larger_networks_join():
    supernet = fresh(TINY)
    train(supernet, batches(), RECIPE)
    train(supernet, batches(), TrainRecipe(steps=3, learning_rate=1e-2))
    after = outputs(supernet.train())
    assert (after[1] - after[0]).abs().max() > 1e-3
