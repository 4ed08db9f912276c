from dataclasses import replace

import numpy as np
import pytest
import torch

from nagsdk.errors import InfeasibleError
from nagsdk.events import Advanced, Finished, Started
from nagsdk.generator.decode import Completions, decode, gumbel
from nagsdk.generator.frontier import frontier, score_of
from nagsdk.generator.policy import Policy, Stepper
from nagsdk.generator.train import Network, Recipe, distil, regret
from tests.generator.spaces import random_tables, staged_space

SHORT = Recipe(steps=120, batch=64, hidden=24, budgets=8)


@pytest.fixture(scope="module")
def learned():
    space = staged_space()
    table, score = random_tables(space, 0)
    events = []
    policy, found = distil(space, table, score, SHORT, 0, events.append)
    return space, table, score, policy, found, events


def test_numpy_inference_equals_torch():
    space = staged_space()
    network = Network(len(space.decisions), int(space.sizes.max()), Recipe(hidden=12, budgets=5), torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(8)
    table, _ = random_tables(space, 0)
    bounds = Completions.of(space, table)
    codes = space.sample(50, np.random.default_rng(0))
    left = bounds.trace(codes, table.cost(codes) * 1.1).astype(np.float32)
    allowed = torch.from_numpy(bounds.allowed)
    long = torch.from_numpy(codes.astype(np.int64))
    expected = network.log_probabilities(long, torch.from_numpy(left), allowed[long[:, 0]]).detach().numpy()

    stepper = Stepper(network.policy())
    hidden, cell = np.zeros((2, len(codes), stepper.hidden), np.float32)
    last, choice = np.zeros(len(codes), np.intp), codes[:, 0].astype(np.intp)
    found = np.zeros(codes.shape)
    for d, size in enumerate(space.sizes):
        rows = np.flatnonzero(codes[:, d] >= 0)
        inputs = stepper.condition(left[rows, min(d, 1)])
        if d:
            inputs = inputs + stepper.chosen(last[rows], choice[rows])
        hidden[rows], cell[rows] = stepper.step(d, inputs, left[rows, d], hidden[rows], cell[rows])
        logits = stepper.logits(d, int(size), hidden[rows])
        picked = codes[rows, d].astype(np.intp)
        found[rows, d] = logits[np.arange(len(rows)), picked] - np.log(np.exp(logits).sum(1))
        last[rows], choice[rows] = d, picked
    assert expected.std() > 0.5
    assert np.allclose(found, expected, atol=1e-4)


def test_learns_the_frontier(learned):
    space, table, score, policy, found, _ = learned
    best = frontier(space, table, score)
    limits = np.linspace(best.cost[0], best.cost[-1], 101)
    rng = np.random.default_rng(0)
    codes = space.sample(101 * 16, rng)
    value = np.where(table.cost(codes).reshape(101, 16) <= limits[:, None], score_of(score, codes).reshape(101, 16), -np.inf)
    luck = best.score[best.lookup(limits)][50:] - value.max(1)[50:]
    assert np.isfinite(luck).all()
    assert 0 <= found.score_mean < 0.1 * luck.mean()
    assert found.score_mean <= found.score_max and 0 <= found.top1_mean <= found.top1_max
    untrained = Network(len(space.decisions), int(space.sizes.max()), SHORT, torch.Generator().manual_seed(0)).policy()
    assert found.score_mean < 0.2 * regret(space, table, score, best, untrained, 16).score_mean
    assert regret(space, table, score, best, policy, 64).score_mean <= found.score_mean


@pytest.mark.parametrize("index", [0, 1])
def test_serves_a_pinned_resolution_without_more_training(learned, index):
    space, table, score, policy, *_ = learned
    pinned = table.masked(resolution=index)
    best = frontier(space, pinned, score)
    untrained = Network(len(space.decisions), int(space.sizes.max()), SHORT, torch.Generator().manual_seed(0)).policy()
    assert regret(space, pinned, score, best, policy, 16).score_mean < 0.2 * regret(space, pinned, score, best, untrained, 16).score_mean


def test_survives_a_scaled_cost(learned):
    """A recalibration that scales the table moves the normalisation only."""
    space, table, score, policy, *_ = learned
    dearer = replace(table, base=table.base * 1.25, choice=table.choice * 1.25)
    limits = np.linspace(*frontier(space, table, score).cost[[0, -1]], 21)
    noise = gumbel(0, 8, space)
    same = decode(space, dearer, Stepper(policy), limits * 1.25, noise) == decode(space, table, Stepper(policy), limits, noise)
    assert same.all(axis=2).mean() > 0.99


def test_same_seed_same_policy(learned):
    space, table, score, policy, found, _ = learned
    threads = torch.get_num_threads()
    again, figures = distil(space, table, score, SHORT, 0)
    assert torch.get_num_threads() == threads
    assert figures == found
    assert all(np.array_equal(a, policy.arrays()[name]) for name, a in again.arrays().items())
    other, _ = distil(space, table, score, replace(SHORT, steps=20), 1)
    assert not np.array_equal(other.token, policy.token)


def test_tells_its_progress(learned):
    events = learned[5]
    assert isinstance(events[0], Started) and events[0].total == SHORT.steps
    assert isinstance(events[-1], Finished)
    assert [e.done for e in events if isinstance(e, Advanced)] == list(range(20, SHORT.steps + 1, 20))


def test_learns_around_masked_choices():
    space = staged_space()
    table, score = random_tables(space, 2)
    allowed = np.ones(table.choice.shape[1:], dtype=bool)
    allowed[2, 1:] = allowed[5, 3] = False
    masked = table.masked(allowed)
    policy, _ = distil(space, masked, score, SHORT)
    codes = decode(space, masked, Stepper(policy), frontier(space, masked, score).cost, gumbel(0, 8, space))
    assert (codes[..., 2] == 0).all() and (codes[..., 5] != 3).all()
    with pytest.raises(InfeasibleError):
        distil(space, table.masked(np.zeros_like(allowed)), score, SHORT)


def test_policy_refuses_arrays_that_do_not_fit(learned):
    arrays = learned[3].arrays()
    for wrong in (
        {k: v for k, v in arrays.items() if k != "left"},
        {**arrays, "more": arrays["left"]},
        {**arrays, "bias": arrays["bias"][:-1]},
        {**arrays, "bias": arrays["bias"].astype(np.float64)},
        {**arrays, "left": np.full_like(arrays["left"], np.nan)},
        {**arrays, "budget": arrays["budget"][:1]},
    ):
        with pytest.raises(ValueError, match=r"expected the arrays|is not a finite|at least two"):
            Policy.from_arrays(wrong)
