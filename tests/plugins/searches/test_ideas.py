"""What is special in each search."""

from dataclasses import replace

import numpy as np
import pytest

from nagsdk.errors import UsageError
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.generator.counted import Counted
from nagsdk.generator.strategies import Random
from nagsdk_searches import zero_cost
from nagsdk_searches.agents import SETTINGS, Ants, Genetic, Walker
from nagsdk_searches.bayes import Bayes
from nagsdk_searches.diffusion import Denoiser, Diffusion
from nagsdk_searches.dpp import Dpp
from nagsdk_searches.early_exit import EarlyExit
from nagsdk_searches.flat import Flat, Neighbourhood, around
from nagsdk_searches.gbdt import Gbdt, within
from nagsdk_searches.gradient import Gradient
from nagsdk_searches.linas import Linas
from nagsdk_searches.monas import Monas
from nagsdk_searches.neighbours import neighbours
from nagsdk_searches.pareto_classifier import ParetoClassifier
from nagsdk_searches.surrogate import Relaxation, Surrogate, cost_surrogates
from nagsdk_searches.transform import Transform
from tests.plugins.searches.worlds import SCORE, SPACE, TABLE, Exact, evaluator, question, score


def filled(asked=None, count=40):
    one = evaluator(asked)
    one.top1(one.random(count))
    return one


def light_of(one):
    codes, top1 = one.seen()
    return Surrogate(SPACE.one_hot_width, one.rng).fit(SPACE.one_hot(codes).astype(float), top1)


def test_linas_finds_better_fronts_with_its_light_predictor_alone():
    one = filled()
    seen, left = one.seen()[0], one.left
    found = Linas()._evolved(one, light_of(one), seen, 40)
    known = {row.tobytes() for row in seen}
    assert one.left == left and not known & {row.tobytes() for row in found[:30]}

    def share(codes):  # score for what they cost
        return score(codes) - np.interp(one.question.cost(codes)[:, 0], *line)

    cost = one.question.cost(seen)[:, 0]
    line = (np.sort(cost), np.poly1d(np.polyfit(cost, score(seen), 1))(np.sort(cost)))
    assert share(found).mean() > share(seen).mean() + 0.1


def test_the_references_of_the_classifier_move_on():
    one = filled(question(evaluations=400))
    codes, good = ParetoClassifier.labelled(one)
    cost, value = one.question.cost(codes)[:, 0], score(codes)
    assert 0.3 < good.mean() < 0.9
    # Nothing that is bad dominates anything that is good.
    for bad in np.flatnonzero(~good):
        assert not ((cost[good] > cost[bad]) & (value[good] < value[bad])).any()
    before = value[good].max()
    one.top1(one.children(one.best(8)[0], 40, 0.1))
    codes, good = ParetoClassifier.labelled(one)
    assert score(codes)[good].max() >= before


def test_monas_gives_what_breaks_a_limit_less_without_an_evaluation():
    one = filled()
    wild = SPACE.sample(40, np.random.default_rng(1)).reshape(4, 10, -1)
    held, left = one.question.within(wild), one.left
    reward = Monas.reward(one, wild)
    assert left - one.left <= held.sum() < held.size
    for number in range(4):
        over = ~held[number]
        if over.any() and held[number].any():
            assert reward[number][over].max() < one.seen()[1].mean()
            cost = one.question.cost(wild[number])[over, 0]
            assert np.array_equal(np.argsort(-reward[number][over]), np.argsort(cost))


def test_dpp_grows_one_decision_at_a_time_and_keeps_the_front():
    one = filled()
    beam = np.repeat(one.question.reserves[:, None], 2, axis=1)
    grown = Dpp.grown(one, beam, 2)
    assert grown.shape[1] == 2 * SPACE.sizes[2] and one.question.within(grown).all()
    active = beam[0, 0] >= 0
    assert ((grown[0] != beam[0, 0])[:, active].sum(1) <= 1).all()
    chosen = Dpp.chosen(one, light_of(one), grown, 3)
    assert chosen.shape[1] == 3


@pytest.mark.parametrize("form", Gradient.options["form"])
def test_the_forms_of_the_relaxation(form):
    rng = np.random.default_rng(0)
    relaxed = Relaxation(SPACE)
    p = rng.random((5, *relaxed.exists.shape)) * relaxed.exists
    p /= p.sum(2, keepdims=True)
    hot, cold = (Gradient._point(form, p, t, np.random.default_rng(1)) for t in (5.0, 0.01))
    assert np.allclose(hot.sum(2), 1) and np.allclose(cold.sum(2), 1)
    if form == "gumbel":  # noisy, and nearly a choice when it is cold
        assert cold.max(2).mean() > 0.95 > hot.max(2).mean()
    elif form == "gates":  # two paths, as likely to each other as before
        assert ((hot > 0).sum(2) == np.minimum(2, SPACE.sizes)).all()
        a, b = np.argsort(-hot[0, 2])[:2]
        assert hot[0, 2, a] / hot[0, 2, b] == pytest.approx(p[0, 2, a] / p[0, 2, b])
    else:
        assert np.array_equal(hot, p)


def test_the_supernets_own_loss_takes_the_place_of_the_predictor():
    asked = question(options={"loss": "supernet"}, loss=lambda codes: score(codes))  # what the predictor likes is bad
    unlike = score(Gradient().propose(asked)[:, 0])
    assert not asked.predictor.known
    usual = score(Gradient().propose(question())[:, 0])
    assert (unlike < usual).all()
    with pytest.raises(UsageError, match="without a supernet"):
        Gradient().propose(question(options={"loss": "supernet"}))


def test_variable_splitting_fits_two_predictors_near_each_other():
    one, rng = filled(), np.random.default_rng(0)
    pair = [Surrogate(SPACE.one_hot_width, rng) for _ in range(2)]
    Gradient._fit(one, pair)
    codes, top1 = one.seen()
    alone = Surrogate(SPACE.one_hot_width, rng)
    alone.directions, alone.phases = pair[0].directions, pair[0].phases
    alone.fit(SPACE.one_hot(codes[1::2]).astype(float), top1[1::2])
    far = np.linalg.norm(alone.coefficients - pair[0].coefficients)
    assert 0 < np.linalg.norm(pair[1].coefficients - pair[0].coefficients) < far


def test_perturbation_takes_the_choice_without_which_most_is_lost():
    relaxed, rows = Relaxation(SPACE), SPACE.one_hot(SPACE.sample(400, np.random.default_rng(0))).astype(float)
    known = Surrogate(SPACE.one_hot_width, np.random.default_rng(0))
    weights = np.zeros(SPACE.one_hot_width)
    weights[SPACE.sizes[0] : SPACE.sizes[0] + SPACE.sizes[1]] = (0.0, 0.0, 5.0)  # the deepest first stage
    known.fit(rows, rows @ weights)
    p = relaxed.exists / relaxed.exists.sum(1)[:, None]
    p[1] = (0.6, 0.3, 0.1, 0.0)  # although the relaxation prefers another one
    assert Gradient.perturbed(relaxed, known, p[None])[0, 1] == 2


def test_early_exits_cost_nothing_and_the_space_shrinks_to_what_the_best_use():
    one = filled()
    parents, values = one.best(16)
    left = np.broadcast_to(np.arange(4) < SPACE.sizes[:, None], (4, len(SPACE.sizes), 4))
    assert np.array_equal(EarlyExit.shrunk(left, parents, values, 0.0), left)
    shrunk = EarlyExit.shrunk(left, parents, values, 0.5)
    assert shrunk.sum() < left.sum() and shrunk.any(2).all()
    best = parents[:, 0]
    held = np.take_along_axis(shrunk, np.maximum(best, 0)[..., None].astype(int), axis=2)[..., 0]
    assert held[best >= 0].all()


def test_transform_walks_from_the_present_network_by_single_changes():
    start = SPACE.validate(np.zeros((1, len(SPACE.sizes)), int))[0]
    for steps in ("1", "2"):
        told = []
        asked = question(evaluations=2000, points=1, start=start, options={"steps": steps}, on_event=told.append)
        end = Transform().propose(asked)[0, 0]
        both = (end >= 0) & (start >= 0)
        assert 1 <= (end != start)[both].sum() <= int(steps)
        assert sum("predicted top-1 +" in event.text for event in told) == int(steps)
        near = neighbours(SPACE, start)
        held = asked.within(near[None])[0]
        if steps == "1":
            assert score(end[None]) == pytest.approx(score(near[held]).max())


def test_transform_first_saves_what_a_network_exceeds_and_says_where_it_cannot_start():
    largest = SPACE.validate(SPACE.sizes[None] - 1)[0]
    asked = question(evaluations=4000, points=1, start=largest)
    end = Transform().propose(asked)
    assert not asked.within(largest[None, None]).all() and asked.within(end).all()
    assert score(end[0])[0] > score(asked.reserves)[0]
    with pytest.raises(UsageError, match="not allowed here"):
        Transform().propose(question(points=1, tables=(TABLE.masked(resolution=0),), start=largest))


def test_a_block_that_is_added_copies_the_one_before():
    code = SPACE.validate(np.array([[0, 0, 3, -1, -1, 0, 1, -1, -1]]))[0]
    deeper = next(row for row in neighbours(SPACE, code) if row[1] == 2)
    assert deeper[2:5].tolist() == [3, 3, 3]


def test_gbdt_prunes_by_its_best_candidates_and_moves_what_uses_pruned_choices():
    rng = np.random.default_rng(0)
    pool = SPACE.sample(400, rng).reshape(1, 400, -1)
    left = np.broadcast_to(np.arange(4) < SPACE.sizes[:, None], (1, len(SPACE.sizes), 4))
    pruned = Gbdt.pruned(left, pool, (pool[..., 2] == 3).astype(float))
    assert pruned[0, 2].tolist() == [False, False, False, True] and pruned.any(2).all()
    moved = within(pruned, pool)
    assert (moved[..., 2] == 3).all() and np.array_equal(moved < 0, pool < 0)


def test_trees_are_asked_for_where_they_are_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.ensemble", None)
    for search in (Gbdt(), Bayes()):
        with pytest.raises(UsageError, match="needs scikit-learn"):
            search.propose(question())


def test_the_denoiser_learns_without_labels_what_the_limits_leave():
    one = evaluator(question(points=2))
    denoiser = Denoiser(one)
    assert one.left == one.most
    hidden = np.ones((2, 1, len(SPACE.sizes)), bool)
    tight, wide = denoiser(np.zeros(hidden.shape, np.int8), hidden)
    assert np.allclose(tight.sum(1), 1) and (tight[0, 0] > wide[0, 0]).all()  # small inputs where little is allowed


def test_diffusion_is_guided_by_costs_and_by_the_predictor():
    one = filled(count=60)
    denoiser, costs, guide = Denoiser(one), cost_surrogates(one), light_of(one)
    free = Diffusion.drawn(one, denoiser, guide, [], 50, 0.0)
    held = Diffusion.drawn(one, denoiser, guide, costs, 50, 0.0)
    steered = Diffusion.drawn(one, denoiser, guide, costs, 50, 8.0 / one.seen()[1].std())
    assert one.question.within(held).mean() > one.question.within(free).mean()
    assert score(steered.reshape(200, -1)).mean() > score(held.reshape(200, -1)).mean()


def test_robot_finds_the_weights_of_the_proxy_that_tells_most():
    rng = np.random.default_rng(0)
    pool, truth = rng.normal(size=(300, 3)), np.array([0.0, 1.0, -0.5])
    tried, worth = [], []
    for _ in range(20):
        weights = zero_cost.next_weights(rng, tried, worth, 3)
        assert np.linalg.norm(weights) == pytest.approx(1)
        tried.append(weights)
        worth.append(float((pool @ truth)[(pool @ weights).argmax()]))
    best = tried[int(np.argmax(worth))]
    assert worth[0] < max(worth) and np.corrcoef(pool @ best, pool @ truth)[0, 1] > 0.8


def test_proxies_read_networks_where_the_space_builds_them():
    space = ofa_mobilenet_v3()
    codes = space.validate(np.stack([np.zeros_like(space.sizes), space.sizes - 1]))
    codes[:, 0] = 0
    small = replace(space, resolution_choices=(32,))
    found = zero_cost.proxies(small, codes, 0)
    assert found.shape == (2, 6) and np.isfinite(found).all() and (found[1, :4] > found[0, :4]).all()
    assert np.array_equal(zero_cost.proxies(small, codes, 0), found)
    assert zero_cost.proxies(SPACE, SPACE.sample(3, np.random.default_rng(0)), 0).shape == (3, 3)


AGENTS = [Walker(), Genetic(), Ants(), pytest.param(Bayes(), marks=pytest.mark.nightly)]


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.id)
def test_agents_have_settings_that_matter(agent):
    assert len(agent.settings) == len(SETTINGS) and len({str(s) for s in agent.settings}) == len(SETTINGS)
    if agent.id == "bayes":
        pytest.importorskip("sklearn")
    seen = set()
    for setting in SETTINGS:
        asked = question(evaluations=60, options={"setting": setting})
        agent.propose(asked)
        seen.add(frozenset(asked.predictor.known))
    assert len(seen) == len(SETTINGS)


def test_ants_leave_pheromone_where_the_best_went_and_the_rest_evaporates():
    codes = np.array([[[0, 1], [0, 0], [1, -1]]], np.int8)
    before = np.full((1, 2, 2), 0.5)
    after = Ants.left(before, {"evaporation": 0.5, "elite": 1}, codes, np.array([[3.0, 2.0, 1.0]]))
    assert after.tolist() == [[[0.75, 0.25], [0.25, 0.75]]]
    only = Ants.left(before, {"evaporation": 0.5, "elite": 1}, codes, np.array([[1.0, 2.0, 3.0]]))
    assert only[0, 1].tolist() == [0.5, 0.5]  # a decision that is off keeps its pheromone


def test_flat_prefers_a_plateau_to_a_peak():
    peak = SPACE.validate(np.array([[0, 2, 3, 3, 3, 2, 3, 3, 3]]))[0]

    class Spiky(Exact):
        def predict(self, codes):
            found = super().predict(codes)
            found.mean = found.mean + 5.0 * (codes == peak).all(1)
            return found

    flat = Neighbourhood(Spiky(), SPACE)
    near = around(SPACE, peak[None])
    assert near.shape == (1, 4, len(peak)) and ((near[0] != peak).sum(1) == 1).all()
    assert Spiky().predict(peak[None]).mean - flat.predict(peak[None]).mean > 3.9
    assert flat.hash == Exact.hash and flat.additive is SCORE


def test_flat_ranks_the_candidates_of_any_other_strategy():
    flat = Flat([Random(200)])
    assert flat.options == {"of": ("random",)}
    asked = replace(question(evaluations=500), predictor=Counted(Exact(), 500))
    assert asked.within(flat.propose(asked)).all()
    # Each architecture takes five evaluations, so that the other strategy gets a fifth of them.
    assert 250 < len(asked.predictor.known) <= 500
