"""Costs of a space whose decisions read others: tables, features, references, cost models and reports agree."""

import numpy as np
import pytest

from nagsdk.calibration.references import most_expensive_architecture, pick_references, reference_architecture
from nagsdk.cost import card
from nagsdk.cost.features import FEATURES, FeatureTable, layer_features
from nagsdk.cost.model import CostModel
from nagsdk.cost.prior import flat_prior
from nagsdk.cost.table import exact_table
from tests.generator.spaces import PlainSpace, coupled_space

SPACE = coupled_space(resolutions=(64, 96))
TABLE = FeatureTable.of(SPACE)
CODES = SPACE.sample(60, np.random.default_rng(0))


def test_tables_are_the_sums_over_the_layers():
    architectures = SPACE.decode(CODES)
    macs = exact_table(SPACE, lambda layer: float(layer.macs))
    assert macs.cost(CODES).tolist() == [SPACE.macs(a) for a in architectures]
    features = [layer_features(SPACE.layers(a)).sum(0) for a in architectures]
    expected = np.array(features) + [name == "network" for name in FEATURES]
    assert np.allclose(TABLE.of_codes(CODES), expected)
    weights = np.random.default_rng(1).uniform(0, 1, len(FEATURES))
    assert np.allclose(TABLE.priced(weights).cost(CODES), expected @ weights)


def test_layers_are_asked_for_only_in_contexts_that_occur():
    asked = set()

    class Asked(PlainSpace):
        family = "asked"

        def choice_layers(self, resolution, decision, choice, context=()):
            asked.add((decision, context))
            return super().choice_layers(resolution, decision, choice, context)

    base = coupled_space()
    decisions = [*base.decisions[:6], base.decisions[6].__class__("after", (0, 1), reads=(5,))]
    exact_table(Asked(tuple(decisions)), lambda layer: 1.0)
    assert {context for decision, context in asked if decision == 6} == {(-1,), (0,), (1,)}
    assert {len(context) for decision, context in asked if decision == 4} == {2}


def test_a_cost_model_of_a_coupled_space_predicts_and_is_kept():
    rng = np.random.default_rng(2)
    truth = TABLE.priced(rng.uniform(0.5, 1, len(FEATURES)) * flat_prior(TABLE).weights)
    picked = pick_references(SPACE, flat_prior(TABLE), 16, 0)
    model = CostModel.fit(SPACE, flat_prior(TABLE), picked, truth.cost(picked))
    error = model.predict(CODES)[0] / truth.cost(CODES) - 1
    assert np.sqrt((error**2).mean()) < 0.02
    assert np.allclose(model.table.cost(CODES), model.predict(CODES)[0], rtol=1e-6)
    again = card.from_json(card.to_json(model), SPACE)
    assert np.array_equal(again.predict(CODES)[0], model.predict(CODES)[0])
    always = [row for row in range(len(SPACE.rows)) if SPACE.decisions[SPACE.rows.decision[row]].active_if is None]
    assert (model.table.choice[:, always] >= 0).all()


def test_references_use_only_what_is_allowed_in_its_context():
    allowed = np.ones((len(SPACE.resolutions), len(SPACE.rows), int(SPACE.sizes.max())), bool)
    block = SPACE.rows.of(8)
    allowed[:, block.start : block.start + 6, 1] = False  # the second choice of one block, in the first contexts only
    table = exact_table(SPACE, lambda layer: 0.0).masked(allowed)
    picked = pick_references(SPACE, flat_prior(TABLE), 30, 0, allowed)
    assert np.isfinite(table.cost(picked)).all() and (picked[:, 8] == 1).any()
    for found in (reference_architecture(SPACE, allowed), most_expensive_architecture(SPACE, allowed)):
        assert np.isfinite(table.cost(SPACE.encode([found]))).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_table_is_masked_by_row(seed):
    rng = np.random.default_rng(seed)
    allowed = rng.random((len(SPACE.rows), int(SPACE.sizes.max()))) < 0.9
    table = exact_table(SPACE, lambda layer: float(layer.macs)).masked(allowed)
    rows = np.broadcast_to(SPACE.rows.index(CODES), CODES.shape)
    expected = (allowed[rows, np.maximum(CODES, 0)] | (CODES < 0)).all(1)
    assert np.array_equal(np.isfinite(table.cost(CODES)), expected)
