import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.errors import InfeasibleError
from nagsdk.generator.decode import Completions, decode, gumbel
from nagsdk.generator.policy import Policy, Stepper
from nagsdk.generator.train import Network, Recipe
from tests.generator.spaces import problems, random_tables, staged_space


def untrained(space, seed=0, strength=10.0):
    """A policy of strong random opinions, which wants to break every limit."""
    recipe = Recipe(hidden=8, budgets=4)
    policy = Network(len(space.decisions), int(space.sizes.max()), recipe, torch.Generator().manual_seed(seed)).policy()
    return Stepper(Policy.from_arrays({name: array * np.float32(strength) for name, array in policy.arrays().items()}))


@settings(max_examples=80, deadline=None)
@given(problems(), st.integers(0, 2**32 - 1), st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_no_sample_breaks_a_limit(problem, seed, positions):
    space, table, _ = problem
    bounds = Completions.of(space, table)
    noise = gumbel(seed, 8, space)
    if not np.isfinite(bounds.least):
        with pytest.raises(InfeasibleError):
            decode(space, table, untrained(space, seed), np.array([1e9]), noise)
        return
    limits = np.append(bounds.least + np.array(positions) * (bounds.most - bounds.least), bounds.least)
    codes = decode(space, table, untrained(space, seed), limits, noise)
    assert np.array_equal(space.validate(codes.reshape(-1, codes.shape[2])), codes.reshape(-1, codes.shape[2]))
    cost = np.array([table.cost(part) for part in codes])
    assert (cost <= limits[:, None]).all()


@settings(max_examples=80, deadline=None)
@given(problems())
def test_completions_equal_enumeration(problem):
    space, table, _ = problem
    bounds = Completions.of(space, table)
    codes = space.all_codes()
    cost = table.cost(codes)
    for r in range(len(space.resolutions)):
        own = cost[(codes[:, 0] == r) & np.isfinite(cost)]
        if not len(own):
            assert bounds.floor[r] == np.inf and bounds.ceiling[r] == -np.inf
            continue
        assert bounds.floor[r] == pytest.approx(own.min(), abs=1e-9)
        assert bounds.ceiling[r] == pytest.approx(own.max(), abs=1e-9)
        assert table.cost(bounds.cheapest[r : r + 1])[0] == bounds.floor[r]


def test_mask_forbids_nothing_that_fits():
    """With enough noise every architecture within the limit is drawn: the mask is tight, not only safe."""
    space = staged_space(resolutions=(32, 48), stages=1, blocks=2, choices=2)
    table, _ = random_tables(space, 3)
    codes = space.all_codes()
    limit = float(np.quantile(table.cost(codes), 0.6))
    drawn = decode(space, table, untrained(space, strength=0.1), np.array([limit]), gumbel(0, 3000, space))[0]
    within = codes[table.cost(codes) <= limit]
    assert {tuple(c) for c in drawn.tolist()} == {tuple(c) for c in within.tolist()}


def test_share_left_is_the_position_within_what_is_open():
    space = staged_space()
    table, _ = random_tables(space, 1)
    bounds = Completions.of(space, table)
    cheapest, dearest = bounds.cheapest[1:2], np.array([[1, *[2, 3, 3, 3] * 2]], np.int8)
    assert table.cost(dearest)[0] == pytest.approx(bounds.ceiling[1])
    middle = (bounds.floor[1] + bounds.ceiling[1]) / 2
    assert bounds.trace(cheapest, bounds.floor[1:2])[0, 1:] == pytest.approx(np.zeros(len(space.decisions) - 1), abs=1e-9)
    assert bounds.trace(dearest, bounds.ceiling[1:2])[0, 1:] == pytest.approx(np.ones(len(space.decisions) - 1))
    assert bounds.trace(cheapest, np.array([middle]))[0, 1] == pytest.approx(0.5)
    assert bounds.position(np.array([bounds.least, bounds.most, 2 * bounds.most])) == pytest.approx([0, 1, 1])


def test_a_budget_does_not_depend_on_its_company():
    space = staged_space()
    table, _ = random_tables(space, 1)
    bounds = Completions.of(space, table)
    stepper, noise = untrained(space, strength=3.0), gumbel(5, 16, space)
    limits = np.linspace(bounds.least, bounds.most, 200)
    together = decode(space, table, stepper, limits, noise)
    alone = np.concatenate([decode(space, table, stepper, limits[i : i + 1], noise) for i in range(0, 200, 10)])
    # Matrix products of other shapes round differently; a choice may flip where two are all but equal.
    assert (together[::10] == alone).all(axis=2).mean() > 0.99
    assert np.array_equal(decode(space, table, stepper, limits, noise), together)


def test_noise_extends_and_starts_greedy():
    space = staged_space()
    few, many = gumbel(7, 4, space), gumbel(7, 32, space)
    assert np.array_equal(few, many[:4])
    assert not few[0].any() and few[1:].std() > 1
    assert not np.array_equal(gumbel(8, 4, space)[1:], few[1:])
