"""Subnets to measure that a strategy chooses."""

import threading
from dataclasses import dataclass, field, replace
from queue import Queue

import numpy as np
import pytest

from nagsdk.errors import UnknownNameError
from nagsdk.plugin.host import host, shipped_strategies, using
from nagsdk.supernet.processes import Ranks
from nagsdk.training.labelling import FRONTIER, labelling
from nagsdk.training.subnets import measure_subnets, space_filling
from nagsdk_searches.linas import Linas
from nagsdk_searches.zero_cost import ZeroCost

COUNT = 60


@pytest.fixture
def installed():
    registry = shipped_strategies()
    for search in (Linas(), ZeroCost()):
        registry.add(search)
    with using(replace(host(), strategies=registry)):
        yield


def macs(space, architectures):
    return np.log10([space.macs(a) for a in architectures])


def truth(space, architectures):
    """A top-1 that grows with MACs, and with the number of even choices."""
    return 10 * macs(space, architectures) + 3 * (space.encode(architectures)[:, 1:] % 2 == 0).mean(1)


@dataclass
class Images:
    """Measures, remembers the rounds, and may break off."""

    space: object
    most: int = 10**9
    rounds: list = field(default_factory=list)

    def __call__(self, architectures):
        if sum(map(len, self.rounds)) + len(architectures) > self.most:
            raise KeyboardInterrupt
        self.rounds.append([a.text for a in architectures])
        return truth(self.space, architectures)

    @property
    def measured(self):
        return [text for part in self.rounds for text in part]


def test_the_recipe_of_a_strategy_is_found_and_others_are_refused(installed):
    assert labelling(FRONTIER) is None and labelling("linas").id == "linas" and labelling("zero-cost").labels
    for name in ("nag", "random", "linass"):
        with pytest.raises(
            UnknownNameError, match=r"(?s)recipe for an accuracy predictor.*Known: frontier, linas, zero"
        ):
            labelling(name)


@pytest.mark.parametrize("strategy", [Linas(), ZeroCost()], ids=lambda s: s.id)
def test_subnets_are_chosen_in_rounds_by_what_was_measured(tiny_space, tmp_path, strategy):
    images = Images(tiny_space)
    codes, top1 = measure_subnets(tiny_space, images, COUNT, tmp_path / "m.csv", 3, strategy=strategy)
    assert len(np.unique(codes, axis=0)) == COUNT == len(images.measured) and len(images.rounds) >= 4
    assert np.allclose(top1, truth(tiny_space, tiny_space.decode(codes)), atol=1e-4)
    again = measure_subnets(tiny_space, Images(tiny_space, 0), COUNT, tmp_path / "m.csv", 3, strategy=strategy)
    assert (again[0] == codes).all() and (again[1] == top1).all()


def test_linas_measures_what_is_better_than_usual_for_its_macs(tiny_space, tmp_path):
    codes, top1 = measure_subnets(tiny_space, Images(tiny_space), COUNT, tmp_path / "m.csv", strategy=Linas())
    usual = tiny_space.decode(tiny_space.sample(300, np.random.default_rng(0)))
    line = np.polyfit(macs(tiny_space, usual), truth(tiny_space, usual), 1)
    over = top1 - np.polyval(line, macs(tiny_space, tiny_space.decode(codes)))
    assert (over[COUNT // 2 :] > 0).mean() > 0.6


def test_a_killed_run_goes_on_where_it_was(tiny_space, tmp_path):
    whole, first, rest = Images(tiny_space), Images(tiny_space, COUNT // 2), Images(tiny_space)
    expected = measure_subnets(tiny_space, whole, COUNT, tmp_path / "whole.csv", strategy=Linas())
    with pytest.raises(KeyboardInterrupt):
        measure_subnets(tiny_space, first, COUNT, tmp_path / "m.csv", strategy=Linas())
    found = measure_subnets(tiny_space, rest, COUNT, tmp_path / "m.csv", strategy=Linas())
    assert first.measured and first.measured + rest.measured == whole.measured
    assert (found[0] == expected[0]).all() and (found[1] == expected[1]).all()


def test_what_a_strategy_leaves_over_is_chosen_as_usual(tiny_space, tmp_path):
    class Idle(Linas):
        def search(self, evaluator):
            evaluator.top1(space_filling(evaluator.space, 20, 0)[:, None])
            return evaluator.answers()

    codes, _ = measure_subnets(tiny_space, Images(tiny_space), COUNT, tmp_path / "m.csv", strategy=Idle())
    assert len(np.unique(codes, axis=0)) == COUNT
    assert {bytes(code) for code in codes[:20]} == {bytes(code) for code in space_filling(tiny_space, 20, 0)}


@dataclass(frozen=True)
class Thread(Ranks):
    """One of two processes, as a thread."""

    sent: Queue = field(default_factory=Queue)
    barrier: threading.Barrier = field(default_factory=lambda: threading.Barrier(2))

    def of_first(self, value):
        if self.first:
            self.sent.put(value)
            return value
        return self.sent.get(timeout=60)

    def wait(self):
        self.barrier.wait(60)


def test_all_processes_measure_what_the_first_one_chooses(tiny_space, tmp_path):
    sent, barrier, found = Queue(), threading.Barrier(2), {}

    def work(rank):
        images = Images(tiny_space)
        codes, _ = measure_subnets(
            tiny_space, images, COUNT, tmp_path / "m.csv", 0, Thread(rank, 2, sent, barrier), strategy=Linas()
        )
        found[rank] = (codes, images.rounds)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in (1, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert (found[0][0] == found[1][0]).all() and found[0][1] == found[1][1]
