"""The loss of subnets against the largest network of their supernet."""

import numpy as np
import pytest
import torch

from nagsdk.space.space import extremes
from nagsdk.supernet.own_loss import OwnLoss


@pytest.fixture
def supernet(tiny_space):
    supernet = tiny_space.supernet()
    supernet.initialise(0)
    return supernet.eval()


def images(resolution):
    pictures = torch.rand(40, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(pictures, (resolution, resolution)).numpy()


def test_no_subnet_is_nearer_to_the_largest_than_itself(supernet, tiny_space):
    _, largest = extremes(tiny_space)
    codes = np.vstack([largest, tiny_space.sample(30, np.random.default_rng(0))])
    losses = OwnLoss(supernet, images)(codes)
    assert losses.shape == (31,) and (losses[0] <= losses + 1e-6).all() and len(np.unique(losses.round(6))) > 20


def test_a_loss_depends_on_nothing_that_was_asked_before_and_the_supernet_stays(supernet, tiny_space):
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    codes = tiny_space.sample(6, np.random.default_rng(1))
    own = OwnLoss(supernet, images)
    assert np.array_equal(own(codes), own(codes[::-1])[::-1])
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())
    assert not supernet.training
