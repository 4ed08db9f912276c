import json

import numpy as np
import pytest

import nagsdk
from nagsdk.errors import UsageError
from nagsdk.generator.strategy import Strategy
from nagsdk.pipeline import judges
from nagsdk.pipeline.bench import Bench, Run
from nagsdk.predictor import halves, kinds
from nagsdk.predictor.train import EnsembleRecipe
from tests.cli.test_cli import run


@pytest.fixture
def quick(monkeypatch):
    """Predictors that are fitted in a moment."""
    monkeypatch.setattr(halves, "EnsembleRecipe", lambda: EnsembleRecipe(members=2, hidden=4, steps=30))
    monkeypatch.setattr(kinds, "judging", lambda: {"sum": kinds.additive})


def ask(**more):
    asked = {
        "metric": "macs",
        "evaluations": 20,
        "seeds": 2,
        "points": 2,
        "strategies": ["random", "evolution"],
        **more,
    }
    return nagsdk.bench_strategies("cpu", **asked)


def test_half_of_the_measured_subnets_steers_and_the_other_half_judges(quick, tmp_path):
    found = ask(strategies=["random", "evolution", "lookup"], plot=tmp_path / "bench.svg")
    assert found.independent and list(found.judges) == ["sum"] and found.warnings
    assert {(run.strategy, run.seed, run.allowed) for run in found.runs} == {
        (s, seed, n) for s in ("random", "evolution", "lookup") for seed in (0, 1) for n in (2, 6, 20)
    }
    assert all(run.evaluations <= run.allowed and run.broken == 0 for run in found.runs)
    assert found.places()[0].strategy == "lookup"  # exact under a score that the judge shares
    shown = (tmp_path / "bench.svg").read_text()
    assert "<!-- lookup -->" in shown and "evaluated architectures" in shown
    again = ask(strategies=["random", "evolution", "lookup"])
    assert [run.top1 for run in again.runs] == [run.top1 for run in found.runs]


def test_the_halves_share_no_architecture():
    _, codes = _measured()
    twice = np.concatenate([codes, codes])
    second = halves.second_half(twice, 0)
    assert np.array_equal(second[: len(codes)], second[len(codes) :]) and abs(second.mean() - 0.5) < 0.01


def _measured():
    bundle = nagsdk.load_bundle("glyphs")
    codes, _ = bundle.space.read_table(bundle.folder / judges.MEASURED)
    return bundle.space, codes


def test_without_a_table_the_predictor_judges_itself_and_a_warning_says_so():
    found = ask(bundle="imagenet", seeds=1, strategies="random")
    assert not found.independent and found.judges == {}
    assert "holds no table of measured subnets" in found.warnings[0]
    assert found.runs[-1].top1["the steering predictor"] == pytest.approx(found.runs[-1].believed)


def test_tables_that_cannot_be_split_are_refused(tmp_path):
    space, codes = _measured()
    rows = space.decode(codes[:40])
    space.write_table(tmp_path / "few.csv", rows, top1=[50.0 + n for n in range(40)])
    space.write_table(tmp_path / "none.csv", rows, other=[1] * 40)
    space.write_table(tmp_path / "text.csv", rows, top1=["good"] * 40)
    space.write_table(tmp_path / "nan.csv", rows, top1=["nan"] * 40)
    told = {"few": "40 measured subnets are too few", "none": "no column top1", "text": "no number", "nan": "no finite"}
    for name, message in told.items():
        with pytest.raises(UsageError, match=message):
            ask(measured=tmp_path / f"{name}.csv")


class Greedy(Strategy):
    id, title = "greedy", "Asks for more than it may"

    def propose(self, question):
        question.predictor.predict(question.space.sample(500, np.random.default_rng(0)))
        return question.reserves[:, None]


def test_a_strategy_that_exceeds_its_evaluations_is_left_out(quick):
    from nagsdk.plugin.host import host

    host().strategies._items["greedy"] = Greedy()
    try:
        found = ask(strategies=["greedy", "random"], seeds=1)
        assert "More than 2 architectures" in found.left_out["greedy"]
        assert {run.strategy for run in found.runs} == {"random"}
        with pytest.raises(UsageError, match="No strategy could be compared"):
            ask(strategies="greedy", seeds=1)
    finally:
        del host().strategies._items["greedy"]


def test_places_rank_by_seed():
    def of(name, seed, improvement):
        return Run(name, seed, 10, 10, 1.0, {"a": 70 + improvement, "b": 72 + improvement}, 75.0, 0, improvement)

    values = {"a": (2.0, 1.0, 3.0), "b": (1.0, 2.0, 2.0), "c": (0.0, 0.0, 0.0)}
    runs = tuple(of(name, seed, value) for name, listed in values.items() for seed, value in enumerate(listed))
    places = Bench("x", "cpu", "macs", (1.0,), 10, 3, {}, True, {"a": 69.0}, runs).places()
    assert [(p.strategy, p.ranks) for p in places] == [("a", (1, 2)), ("b", (1, 2)), ("c", (3, 3))]
    assert places[0].rank == pytest.approx(4 / 3) and places[0].top1 == pytest.approx(73.0)
    assert places[0].error == pytest.approx(np.std([2, 1, 3], ddof=1) / np.sqrt(3))


def test_the_command_prints_a_table_and_json(quick):
    words = ("--device", "cpu", "--metric", "macs", "--evaluations", "20", "--points", "2", "--bundle", "imagenet")
    asked = ("bench", "strategies", *words, "--strategies", "random,random:evaluations=9")
    table = run(*asked, "--seeds", "1")
    assert "random:evaluations=9" in table.stdout and "over the average random one" in table.stdout
    told = json.loads(run(*asked, "--seeds", "2", "--json").stdout)
    assert {place["strategy"] for place in told["places"]} == {"random", "random:evaluations=9"}
    assert told["independent"] is False and len(told["runs"]) == 12
