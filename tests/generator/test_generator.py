import json
import multiprocessing
import subprocess
import sys
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from nagsdk.errors import DamagedBundleError, InfeasibleError
from nagsdk.generator.frontier import score_of
from nagsdk.generator.generator import Generator
from nagsdk.generator.train import GeneratorRecipe
from tests.generator.spaces import random_tables, staged_space

SHORT = GeneratorRecipe(problems=4, steps=20, batch=32, hidden=8, gradient_steps=0)


@dataclass
class Predictor:
    additive: Any
    hash: str = "abc"

    def predict(self, codes):
        return SimpleNamespace(mean=self.additive.inverse(score_of(self.additive, codes)))


@pytest.fixture(scope="module")
def parts():
    space = staged_space()
    table, score = random_tables(space, 0)
    return space, table, Predictor(score), Generator.trained(space, Predictor(score), SHORT, seed=3)


def test_save_and_load_propose_the_same(parts, tmp_path):
    space, table, predictor, generator = parts
    path = tmp_path / "new" / "generator.safetensors"
    generator.save(path)
    again = Generator.load(path, space, predictor)
    assert again.card == generator.card
    assert again.card.key == Generator.key(space, predictor) and again.card.kind == "universal"
    assert 0 <= again.card.regret["mean"] <= again.card.regret["worst_device"]
    assert (again.card.seed, again.card.recipe) == (3, SHORT.to_dict())
    limits = [table.cost(space.all_codes()).mean()] * 2
    codes = generator.propose([table], limits, 5, seed=1)
    assert codes.shape == (2, 5, len(space.decisions)) and codes.dtype == np.int8
    assert np.array_equal(again.propose([table], limits, 5, seed=1), codes)
    assert np.array_equal(codes[0], codes[1])
    assert not np.array_equal(again.propose([table], limits, 5, seed=2), codes)
    assert np.array_equal(generator.propose([table], limits, 9, seed=1)[:, :5], codes)


def test_names_the_cheapest_when_infeasible(parts):
    space, table, _, generator = parts
    cheapest = table.cost(space.all_codes()).min()
    assert generator.propose([table], cheapest).shape == (1, 16, len(space.decisions))
    with pytest.raises(InfeasibleError, match=f"cheapest costs {cheapest:.6g}"):
        generator.propose([table], [cheapest * 2, cheapest * 0.999])


def test_key_is_of_space_and_predictor(parts):
    space, _, predictor, _ = parts
    key = Generator.key(space, predictor)
    assert key == Generator.key(staged_space(), replace(predictor, additive=None))
    assert key != Generator.key(staged_space(choices=5), predictor)
    assert key != Generator.key(space, replace(predictor, hash="abd"))


def test_refuses_damage(parts, tmp_path):
    space, _, predictor, generator = parts
    path = tmp_path / "generator.safetensors"
    generator.save(path)
    whole = path.read_bytes()
    for position in np.linspace(0, len(whole) - 1, 40).astype(int):
        path.write_bytes(whole[:position])
        with pytest.raises(DamagedBundleError):
            Generator.load(path, space, predictor)
        flipped = bytearray(whole)
        flipped[position] ^= 0x11
        path.write_bytes(flipped)
        with pytest.raises(DamagedBundleError):
            Generator.load(path, space, predictor)
    with pytest.raises(DamagedBundleError):
        Generator.load(tmp_path / "absent", space, predictor)
    path.write_bytes(whole)
    assert Generator.load(path, space, predictor).card == generator.card


def test_refuses_files_of_other_spaces_predictors_and_formats(parts, tmp_path):
    space, _, predictor, generator = parts
    path = tmp_path / "generator.safetensors"
    generator.save(path)
    with pytest.raises(DamagedBundleError, match="another search space"):
        Generator.load(path, staged_space(resolutions=(32, 64)), predictor)
    with pytest.raises(DamagedBundleError, match="another accuracy predictor"):
        Generator.load(path, space, replace(predictor, hash="abd"))
    arrays = load_file(path)
    save_file(arrays, path)
    with pytest.raises(DamagedBundleError):
        Generator.load(path, space, predictor)
    Generator(space, generator.score, generator.policy, replace(generator.card, format=1)).save(path)
    with pytest.raises(DamagedBundleError, match="format 1"):
        Generator.load(path, space, predictor)
    save_file(arrays, path, metadata={"card": json.dumps([]), "sha256": ""})
    with pytest.raises(DamagedBundleError, match="hash"):
        Generator.load(path, space, predictor)


def _save_often(generator, path):
    for _ in range(8):
        generator.save(path)


def test_two_processes_may_save_at_once(parts, tmp_path):
    space, _, predictor, generator = parts
    path = tmp_path / "generator.safetensors"
    generator.save(path)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_save_often, args=(generator, path)) for _ in range(2)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        assert Generator.load(path, space, predictor).card == generator.card
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_proposing_needs_no_torch():
    code = "import sys, nagsdk.generator.generator, nagsdk.generator.ranking; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
