from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import exact_table, mixed
from nagsdk.errors import InfeasibleError
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.generator.decode import decode, gumbel, trace
from nagsdk.generator.policy import Policy, Stepper
from nagsdk.generator.prices import Paths
from nagsdk.generator.reserves import reserves
from nagsdk.generator.train import Network
from nagsdk.generator.training_data import Devices
from tests.generator.spaces import PlainScore, coupled_space, problems, random_tables, staged_space


def untrained(space, seed=0, strength=10.0):
    """A policy with strong random preferences, which would break every limit without the mask."""
    policy = Network(len(space.decisions), int(space.sizes.max()), 8, torch.Generator().manual_seed(seed)).policy()
    return Stepper(Policy.from_arrays({name: array * np.float32(strength) for name, array in policy.arrays().items()}))


def run(space, tables, score, stepper, limits, noise):
    limits = np.asarray(limits, float).reshape(-1, len(tables))
    counts = np.full(len(limits), len(noise))
    codes = decode(space, tables, Paths.of(space, tables, score), stepper, limits, noise, counts)
    return codes.reshape(len(limits), len(noise), -1)


@pytest.mark.parametrize("rows", [1024, 9])
def test_fewer_candidates_are_the_first_of_more(monkeypatch, rows):
    monkeypatch.setattr("nagsdk.generator.decode._ROWS", rows)
    space = staged_space()
    table, score = random_tables(space, 1)
    bounds = Completions.of(space, table)
    limits, noise = np.linspace(bounds.least, bounds.most, 6)[:, None], gumbel(3, 8, space)
    every = run(space, [table], score, untrained(space), limits, noise)
    counts = np.array([8, 1, 3, 0, 8, 5])
    found = decode(space, [table], Paths.of(space, [table], score), untrained(space), limits, noise, counts)
    assert np.array_equal(found, np.concatenate([row[:count] for row, count in zip(every, counts, strict=True)]))


@settings(max_examples=80, deadline=None)
@given(problems(), st.integers(0, 2**32 - 1), st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_no_sample_breaks_a_limit(problem, seed, positions):
    space, table, score = problem
    bounds = Completions.of(space, table)
    noise = gumbel(seed, 8, space)
    if not np.isfinite(bounds.least):
        with pytest.raises(InfeasibleError):
            run(space, [table], score, untrained(space, seed), [1e9], noise)
        return
    limits = np.append(bounds.least + np.array(positions) * (bounds.most - bounds.least), bounds.least)
    codes = run(space, [table], score, untrained(space, seed), limits, noise)
    assert np.array_equal(space.validate(codes.reshape(-1, codes.shape[2])), codes.reshape(-1, codes.shape[2]))
    cost = np.array([table.cost(part) for part in codes])
    assert (cost <= limits[:, None]).all()


@settings(max_examples=80, deadline=None)
@given(problems(costs=3), st.integers(0, 2**32 - 1), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_no_sample_breaks_any_of_three_limits(problem, seed, positions):
    space, tables, score = problem
    codes = space.all_codes()
    cost = np.stack([table.cost(codes) for table in tables], 1)
    cost = cost[np.isfinite(cost).all(1)]
    if not len(cost):
        return
    limits = cost.min(0) + np.array(positions) * (cost.max(0) - cost.min(0))
    noise = gumbel(seed, 8, space)
    try:
        drawn = run(space, tables, score, untrained(space, seed), limits, noise)[0]
    except InfeasibleError:
        # It may fail to find an architecture in a corner, but not if the cheapest one of some cost holds everything.
        assert all(
            not (cost[cost[:, m].argmin()] <= limits).all() or np.sum(cost[:, m] == cost[:, m].min()) > 1
            for m in range(3)
        )
        return
    assert all((table.cost(drawn) <= limit).all() for table, limit in zip(tables, limits, strict=True))


def test_ten_thousand_limits_of_the_real_space_hold():
    """Three limits at once on random devices, with a policy that would break them without the mask."""
    space = ofa_mobilenet_v3()
    score = PlainScore(0.0, np.random.default_rng(0).uniform(0, 0.1, (len(space.decisions), int(space.sizes.max()))))
    rng = np.random.default_rng(1)
    exact = [
        exact_table(space, lambda layer: float(layer.macs)),
        exact_table(space, lambda layer: float(layer.parameters)),
    ]
    stepper, noise = untrained(space, strength=20.0), gumbel(0, 2, space)
    for _ in range(2):
        tables = [Devices(space).latency(rng), *exact]
        bounds = [Completions.of(space, table) for table in tables]
        low, high = (np.array([getattr(b, end) for b in bounds]) for end in ("least", "most"))
        limits = low + (high - low) * rng.uniform(0.05, 1, (500, 3))
        codes = run(space, tables, score, stepper, limits, noise)
        for table, limit in zip(tables, limits.T, strict=True):
            assert (table.cost(codes.reshape(-1, codes.shape[2])).reshape(-1, 2) <= limit[:, None]).all()


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


@pytest.mark.parametrize(
    "space",
    [
        staged_space(resolutions=(32, 48), stages=1, blocks=2, choices=2),
        coupled_space(resolutions=(32,), stages=2, widths=2, choices=1),
    ],
    ids=["staged", "coupled"],
)
def test_mask_forbids_nothing_that_fits(space):
    """With enough noise every architecture within the limit is drawn: the mask is tight, not only safe."""
    table, score = random_tables(space, 3)
    codes = space.all_codes()
    limit = float(np.quantile(table.cost(codes), 0.6))
    drawn = run(space, [table], score, untrained(space, strength=0.1), limit, gumbel(0, 3000, space))[0]
    within = codes[table.cost(codes) <= limit]
    assert {tuple(c) for c in drawn.tolist()} == {tuple(c) for c in within.tolist()}


def test_limits_that_only_single_architectures_hold():
    space = staged_space()
    table, score = random_tables(space, 1)
    # What is cheap under one cost is expensive under the other.
    other = replace(table, base=table.base[::-1], choice=table.choice[:, :, ::-1])
    for t in (table, other):
        least = Completions.of(space, t)
        codes = run(
            space,
            [table, other],
            score,
            untrained(space),
            [[least.least if u is t else np.inf for u in (table, other)]],
            gumbel(0, 4, space),
        )
        assert (t.cost(codes[0]) == least.least).all()
    with pytest.raises(InfeasibleError, match="together"):
        run(
            space,
            [table, other],
            score,
            untrained(space),
            [[Completions.of(space, t).least for t in (table, other)]],
            gumbel(0, 4, space),
        )
    with pytest.raises(InfeasibleError, match="cheapest costs"):
        run(space, [table, other], score, untrained(space), [[1e9, 0.0]], gumbel(0, 4, space))


def test_limits_so_tight_that_only_a_mix_of_the_costs_finds_them():
    """No cheapest architecture of the mixes that are always tried holds the limits.

    Another architecture that holds them is found nevertheless, and is returned for every candidate.
    """
    space = staged_space()
    table, score = random_tables(space, 1)
    rng = np.random.default_rng(0)
    table, other = (replace(table, choice=rng.uniform(0.1, 1, table.choice.shape)) for _ in range(2))
    tables, paths, met = [table, other], Paths.of(space, [table, other], score), 0
    for share in np.linspace(0.05, 0.95, 41):
        cheapest = Completions.of(space, mixed(tables, np.array([share, 1 - share])))
        code = cheapest.cheapest[[cheapest.floor.argmin()]]
        limits = np.array([[t.cost(code)[0] for t in tables]])
        codes, sure = reserves(space, tables, paths, limits)
        if not sure[0]:
            met += 1
            drawn = run(space, tables, score, untrained(space), limits, gumbel(0, 4, space))[0]
            assert np.array_equal(drawn, np.repeat(codes, 4, axis=0))
            assert all((t.cost(drawn) <= limit).all() for t, limit in zip(tables, limits[0], strict=True))
    assert met


def test_a_coupling_that_changes_no_cost_changes_nothing():
    """Architectures are the same to the bit whether every row has its own copy of a price or all share one."""
    plain = staged_space(stages=2, blocks=2, choices=3)
    coupled = replace(
        plain, decisions=tuple(replace(d, reads=(1, 3)) if d.name == "stage1.block0" else d for d in plain.decisions)
    )
    table, score = random_tables(plain, 2)
    copied = replace(table, choice=table.choice[:, coupled.rows.decision], rows=coupled.rows)
    bounds = Completions.of(plain, table)
    limits, noise = np.linspace(bounds.least, bounds.most, 50), gumbel(1, 16, plain)
    drawn = run(plain, [table], score, untrained(plain), limits, noise)
    assert len(coupled.rows) > len(plain.rows)
    assert np.array_equal(run(coupled, [copied], score, untrained(coupled), limits, noise), drawn)
    assert Completions.of(coupled, copied).ceiling == pytest.approx(bounds.ceiling)


def test_a_budget_does_not_depend_on_the_other_budgets():
    space = staged_space()
    table, score = random_tables(space, 1)
    bounds = Completions.of(space, table)
    stepper, noise = untrained(space, strength=3.0), gumbel(5, 16, space)
    limits = np.linspace(bounds.least, bounds.most, 200)
    together = run(space, [table], score, stepper, limits, noise)
    alone = np.concatenate([run(space, [table], score, stepper, limits[i : i + 1], noise) for i in range(0, 200, 10)])
    # Matrix products of other shapes round differently; a choice may flip where two are almost equal.
    assert (together[::10] == alone).all(axis=2).mean() > 0.99
    assert np.array_equal(run(space, [table], score, stepper, limits, noise), together)


def test_a_trace_reads_what_decoding_read():
    """On the way to the greedy samples, the policy would take the same choices again."""
    space = staged_space()
    table, score = random_tables(space, 1)
    paths, bounds = Paths.of(space, [table], score), Completions.of(space, table)
    limits = np.linspace(bounds.least, bounds.most, 30)[:, None]
    stepper = untrained(space, strength=3.0)
    codes = decode(space, [table], paths, stepper, limits, gumbel(0, 1, space), np.ones(30, int))
    found = trace(space, paths, codes, limits)
    hidden, cell = np.zeros((2, len(codes), stepper.hidden), np.float32)
    last, choice = np.zeros(len(codes), np.intp), codes[:, 0].astype(np.intp)
    for d, size in enumerate(space.sizes.tolist()):
        rows = np.flatnonzero(codes[:, d] >= 0)
        before = (last[rows], choice[rows]) if d else None
        hidden[rows], cell[rows] = stepper.step(d, before, found.state[rows, d], hidden[rows], cell[rows])
        logits = stepper.logits(d, found.choices[rows, d, :size].transpose(2, 0, 1), hidden[rows])
        picked = np.where(found.allowed[rows, d, :size], logits, -np.inf).argmax(1)
        assert np.array_equal(picked, codes[rows, d])
        last[rows], choice[rows] = d, picked
    assert not found.allowed[codes < 0].any()


def test_noise_extends_and_starts_greedy():
    space = staged_space()
    few, many = gumbel(7, 4, space), gumbel(7, 32, space)
    assert np.array_equal(few, many[:4])
    assert not few[0].any() and few[1:].std() > 1
    assert not np.array_equal(gumbel(8, 4, space)[1:], few[1:])
