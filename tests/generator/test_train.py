from dataclasses import replace

import numpy as np
import pytest
import torch

from nagsdk.events import Advanced, Finished, Started
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.generator.decode import decode, gumbel
from nagsdk.generator.frontier import frontier, score_of
from nagsdk.generator.policy import Policy, Stepper
from nagsdk.generator.prices import Paths
from nagsdk.generator.train import Batch, GeneratorRecipe, Network, examine, improve, train
from nagsdk.generator.training_data import Devices, lessons, problem
from tests.generator.spaces import random_tables, staged_space

SHORT = GeneratorRecipe(problems=60, steps=150, batch=64, hidden=16, gradient_steps=0)


class Teacher:
    """Returns the score as top-1 and counts the requested architectures."""

    hash = "abc"

    def __init__(self, score, bonus=None):
        self.additive, self.bonus, self.asked = score, bonus, 0

    def predict(self, codes):
        self.asked += len(codes)
        bonus = 0.0 if self.bonus is None else self.bonus(codes)
        return type("Prediction", (), {"mean": self.additive.inverse(score_of(self.additive, codes)) + bonus})


@pytest.fixture(scope="module")
def learned():
    space = staged_space()
    _, score = random_tables(space, 0)
    events = []
    return space, score, train(space, Teacher(score), SHORT, 0, events.append), events


def test_lessons_hold_their_limits_and_none_is_better():
    space = staged_space(stages=1)
    _, score = random_tables(space, 0)
    codes = space.all_codes()
    devices, seen = Devices(space), set()
    for number in range(30):
        drawn = problem(space, score, devices, 8, np.random.default_rng(number))
        seen.add(len(drawn.tables))
        for limits, code in zip(drawn.limits, drawn.codes, strict=True):
            holds = np.all(
                [table.cost(codes) <= limit for table, limit in zip(drawn.tables, limits, strict=True)], axis=0
            )
            assert any(np.array_equal(code, c) for c in codes[holds])
            # The gap between cost and limit is tiny, but another architecture may just fit into it.
            own = np.stack([table.cost(code[None])[0] for table in drawn.tables])
            spare = np.all([table.cost(codes) <= o for table, o in zip(drawn.tables, own, strict=True)], axis=0)
            assert score_of(score, code[None])[0] >= score_of(score, codes[spare]).max() - 1e-12
    assert seen == {1, 2, 3}


def test_devices_differ_and_are_never_negative():
    devices, rng = Devices(ofa_mobilenet_v3()), np.random.default_rng(0)
    tables = [devices.latency(rng) for _ in range(20)]
    codes = ofa_mobilenet_v3().sample(300, rng)
    assert all((table.choice >= 0).all() and (table.base >= 0).all() for table in tables)
    ranks = np.argsort(np.argsort([table.cost(codes) for table in tables], axis=1), axis=1)
    correlation = np.corrcoef(ranks)[np.triu_indices(20, 1)]
    assert correlation.min() < 0.8 and correlation.max() > 0.9


def test_on_some_devices_only_the_number_of_layers_counts():
    space, rng = ofa_mobilenet_v3(), np.random.default_rng(0)
    devices, codes = Devices(space), space.sample(400, rng, 224)
    blocks = (codes >= 0).sum(1)
    told = [np.corrcoef(blocks, devices.latency(rng).cost(codes))[0, 1] for _ in range(40)]
    assert max(told) > 0.97 and np.mean(np.array(told) > 0.9) < 0.6


def test_numpy_inference_equals_torch():
    space = staged_space()
    network = Network(len(space.decisions), int(space.sizes.max()), 12, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(5)
    known = lessons(space, random_tables(space, 0)[1], 3, 0)
    expected, entropy = (part.detach().numpy() for part in network.log_probabilities(Batch.of(known)))
    stepper, codes = Stepper(network.policy()), known.codes
    hidden, cell = np.zeros((2, len(codes), stepper.hidden), np.float32)
    last, choice = np.zeros(len(codes), np.intp), codes[:, 0].astype(np.intp)
    found, spread = np.zeros(codes.shape), np.zeros(codes.shape)
    for d, size in enumerate(space.sizes.tolist()):
        rows = np.flatnonzero(codes[:, d] >= 0)
        before = (last[rows], choice[rows]) if d else None
        hidden[rows], cell[rows] = stepper.step(d, before, known.state[rows, d], hidden[rows], cell[rows])
        logits = stepper.logits(d, known.choices[rows, d, :size].transpose(2, 0, 1), hidden[rows])
        logits[~known.allowed[rows, d, :size]] = -np.inf
        logs = (
            logits
            - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
            - logits.max(1, keepdims=True)
        )
        picked = codes[rows, d].astype(np.intp)
        found[rows, d] = logs[np.arange(len(rows)), picked]
        spread[rows, d] = -(np.exp(logs) * np.maximum(logs, -50)).sum(1)
        last[rows], choice[rows] = d, picked
    assert expected.std() > 0.5
    assert np.allclose(found, expected, atol=1e-3)
    assert np.allclose(spread, entropy, atol=1e-3)


def test_serves_devices_that_it_never_saw(learned):
    space, score, policy, _ = learned
    untrained = Network(len(space.decisions), int(space.sizes.max()), 16, torch.Generator().manual_seed(0)).policy()
    found, before = (examine(space, Teacher(score), p, devices=4, budgets=41, samples=16) for p in (policy, untrained))
    assert 0 <= found.mean <= found.worst_device
    assert found.mean < 0.2 * before.mean
    # Here the predictor equals the score.
    assert found.predicted_mean == pytest.approx(found.mean) and found.predicted_worst_device == pytest.approx(
        found.worst_device
    )


def test_serves_tables_that_are_not_devices(learned):
    """The same policy serves a pinned resolution, excluded choices and a cost in other units, without more training."""
    space, score, policy, _ = learned
    table, _ = random_tables(space, 5)
    allowed = np.ones(table.choice.shape[1:], dtype=bool)
    allowed[2, 1:] = allowed[5, 3] = False
    for case in (
        table.masked(resolution=0),
        table.masked(allowed),
        replace(table, base=table.base * 1e6, choice=table.choice * 1e6),
    ):
        best = frontier(space, case, score)
        limits = np.linspace(best.cost[0], best.cost[-1], 41)
        codes = decode(
            space, [case], Paths.of(space, [case], score), Stepper(policy), limits[:, None], gumbel(0, 16, space)
        )
        value = score_of(score, codes.reshape(-1, codes.shape[2])).reshape(41, 16).max(1)
        lost = best.score[best.lookup(limits)] - value
        assert 0 <= lost.mean() < 0.02 * (best.score[-1] - best.score[0])
        if case.choice.min() == table.choice.min() and not np.isfinite(case.choice).all():
            assert (codes[..., 2] <= 0).all() and (codes[..., 5] != 3).all()


def test_policy_gradient_finds_what_the_additive_score_does_not_know():
    """The predictor prefers one choice to which the score gives no value, so imitation alone never learns it."""
    space = staged_space()
    _, score = random_tables(space, 0)
    teacher = Teacher(score, lambda codes: 3.0 * (codes[:, 2] == 0))
    network = Network(len(space.decisions), int(space.sizes.max()), 16, torch.Generator().manual_seed(0))

    def share():
        table, best = random_tables(space, 0)[0], None
        best = frontier(space, table, score)
        limits = np.linspace(best.cost[0], best.cost[-1], 21)[:, None]
        codes = decode(
            space, [table], Paths.of(space, [table], score), Stepper(network.policy()), limits, gumbel(0, 8, space)
        )
        return (codes[..., 2] == 0).mean()

    before = share()
    improve(network, space, teacher, replace(SHORT, gradient_steps=80, gradient_rate=1e-2), 0)
    assert teacher.asked == 80 * 256
    assert share() > max(0.8, before + 0.2)


def test_same_seed_same_policy(learned):
    space, score, policy, _ = learned
    threads = torch.get_num_threads()
    again = train(space, Teacher(score), SHORT, 0)
    assert torch.get_num_threads() == threads
    assert all(np.array_equal(a, policy.arrays()[name]) for name, a in again.arrays().items())
    other = train(space, Teacher(score), replace(SHORT, problems=2, steps=5), 1)
    assert not np.array_equal(other.token, policy.token)


def test_reports_its_progress(learned):
    events = learned[3]
    assert [e.total for e in events if isinstance(e, Started)] == [SHORT.problems, SHORT.steps]
    assert len([e for e in events if isinstance(e, Finished)]) == 2
    assert [e.done for e in events if isinstance(e, Advanced)] == [*range(10, 61, 10), 50, 100, 150]


def test_policy_refuses_arrays_that_do_not_fit(learned):
    arrays = learned[2].arrays()
    for changed, wrong in (
        ({k: v for k, v in arrays.items() if k != "state"}, "it holds the arrays bias, .*, not bias, .* state,"),
        ({**arrays, "more": arrays["state"]}, "it holds the arrays bias, .* more, .*, not bias, "),
        ({**arrays, "bias": arrays["bias"][:-1]}, "bias has shape "),
        ({**arrays, "bias": arrays["bias"].astype(np.float64)}, "and type float64, not .* and float32"),
        ({**arrays, "state": np.full_like(arrays["state"], np.nan)}, "state is not finite everywhere"),
    ):
        with pytest.raises(ValueError, match=wrong):
            Policy.from_arrays(changed)
