import numpy as np
import pytest
from hypothesis import given, settings

from nagsdk.errors import UsageError
from nagsdk.space.decisions import MOST_CONTEXTS, Decision
from tests.generator.spaces import PlainSpace, coupled_space, problems


@settings(max_examples=60, deadline=None)
@given(problems())
def test_the_context_of_a_decision_is_what_it_reads(problem):
    rows, codes = problem[0].rows, problem[0].all_codes()
    index = np.broadcast_to(rows.index(codes), codes.shape)
    for d, read in enumerate(rows.read):
        contexts = list(rows.all(d))
        assert rows.of(d) == slice(int(rows.starts[d]), int(rows.starts[d]) + len(contexts))
        assert (rows.decision[rows.of(d)] == d).all()
        assert [contexts[i] for i in index[:, d] - rows.starts[d]] == [tuple(c) for c in codes[:, list(read)].tolist()]
        assert [tuple(c) for c in rows.codes(d)[:, list(read)].tolist()] == contexts
        occurring = {tuple(c) for c in codes[codes[:, d] >= 0][:, list(read)].tolist()}
        assert {context for context in contexts if rows.possible(d, context)} == occurring
    assert len(rows) == len(rows.decision) and rows.share @ np.ones(len(rows)) == pytest.approx(len(rows.read))


def test_decisions_that_read_nothing_have_one_row_each():
    space = PlainSpace((Decision("resolution", (32,)), Decision("a", (0, 1)), Decision("b", (0, 1), (1, 1))))
    assert len(space.rows) == 3 and space.rows.index(space.all_codes()).tolist() == [0, 1, 2]


@pytest.mark.parametrize("reads", [(0,), (0, 1), (2, 1), (1, 1), (-1,)])
def test_what_is_read_is_given_in_order_and_without_the_resolution(reads):
    with pytest.raises(UsageError, match="The decision a reads"):
        Decision("a", (0, 1), reads=reads)


def test_a_decision_reads_earlier_ones_only():
    decisions = (Decision("resolution", (32,)), Decision("a", (0, 1), reads=(2,)), Decision("b", (0, 1)))
    with pytest.raises(UsageError, match="The decision a has the index 1"):
        _ = PlainSpace(decisions).rows


def test_a_decision_that_reads_too_much_is_refused_by_name():
    wide = tuple(Decision(f"w{n}", tuple(range(8))) for n in range(5))
    space = PlainSpace((Decision("resolution", (32,)), *wide, Decision("all", (0,), reads=(1, 2, 3, 4, 5))))
    with pytest.raises(UsageError, match="The decision all, .* depends on w0, w1, w2, w3, w4") as caught:
        _ = space.rows
    assert f"{MOST_CONTEXTS:,} are allowed" in str(caught.value)


def test_couplings_that_are_harmless_one_by_one_and_too_many_together_are_refused_by_name():
    """Every pair is small, but each of the last decisions keeps one of the first ones open."""
    first = tuple(Decision(f"a{n}", tuple(range(4))) for n in range(7))
    last = tuple(Decision(f"b{n}", (0, 1), reads=(n + 1, n + 7)) for n in range(7))
    space = PlainSpace((Decision("resolution", (32,)), *first, *last))
    assert len(space.rows) < 200
    with pytest.raises(UsageError, match="depends on a0, a1, a2"):
        _ = space.forest


def test_states_are_what_everything_below_reads():
    space = coupled_space()
    forest = space.forest
    names = [decision.name for decision in space.decisions]

    def of(name):
        return [names[d] for d in forest.states.read[names.index(name)]]

    assert of("dimension") == []
    assert of("stage0.width") == ["dimension"]
    assert of("stage1.block0") == ["dimension", "stage0.width", "stage1.width"]
    assert of("stage2.depth") == ["dimension", "stage2.width"]
    assert len(forest.states) < 100
