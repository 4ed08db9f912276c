from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from nagsdk.predictor.ensemble import Ensemble
from nagsdk.predictor.train import EnsembleRecipe, train_ensemble

RECIPE = EnsembleRecipe(members=3, hidden=16, steps=600, batch=32, learning_rate=1e-2, weight_decay=0.01)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (200, 10)).astype(float)
    return x, 5 + x @ rng.normal(size=10) + 2 * x[:, 0] * x[:, 1]


def arrays(ensemble):
    return {f.name: getattr(ensemble, f.name) for f in fields(Ensemble)}


def test_one_seed_gives_one_result_and_another_gives_another(data):
    first, again, other = (arrays(train_ensemble(*data, RECIPE, seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["first"], other["first"])


def test_learns_an_interaction_with_members_that_differ(data):
    x, y = data
    outputs = train_ensemble(x[:150], y[:150], RECIPE, 0)(x[150:].astype(np.float32))
    assert outputs.shape == (50, 3)
    linear = np.column_stack([x, np.ones(len(x))])
    straight = linear[150:] @ np.linalg.lstsq(linear[:150], y[:150], rcond=None)[0]
    assert np.mean((outputs.mean(1) - y[150:]) ** 2) < 0.5 * np.mean((straight - y[150:]) ** 2)
    assert (outputs.std(1) > 0).all()


def test_leaves_torch_as_it_was(data):
    before = torch.get_num_threads()
    state = torch.get_rng_state()
    torch.set_num_threads(2)
    try:
        train_ensemble(*data, replace(RECIPE, steps=3), 0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.get_rng_state(), state)


def test_numpy_inference_agrees_with_torch(data):
    x = torch.tensor(data[0][:7], dtype=torch.float32)
    e = train_ensemble(*data, replace(RECIPE, steps=50), 0)
    t = {name: torch.from_numpy(array) for name, array in arrays(e).items()}
    silu = torch.nn.functional.silu
    for m in range(3):
        units = slice(RECIPE.hidden * m, RECIPE.hidden * (m + 1))
        hidden = silu(silu(x @ t["first"][:, units] + t["first_bias"][units]) @ t["second"][m] + t["second_bias"][m])
        wanted = (hidden @ t["last"][m])[:, 0] + x @ t["skip"][:, m] + t["bias"][m]
        assert e(x.numpy())[:, m] == pytest.approx(wanted.numpy(), abs=1e-4)


def test_behind_a_linear_map(data):
    x, y = data
    e = train_ensemble(x, y, replace(RECIPE, steps=50), 0)
    mapping = np.random.default_rng(0).normal(size=(4, 10))
    rows = np.eye(4)
    assert e.behind(mapping)(rows.astype(np.float32)) == pytest.approx(e((rows @ mapping).astype(np.float32)), abs=1e-4)
    behind = e.behind(mapping)
    assert {n: getattr(behind, n).shape for n in e.shapes(1, 1, 1)} == e.shapes(4, *e.second.shape[:2])
