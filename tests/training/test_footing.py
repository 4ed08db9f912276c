"""How predictions become those of the bundle's test images."""

import csv

import numpy as np
import pytest

from nagsdk.bundle.bundle import load_bundle
from nagsdk.predictor.model import AccuracyPrediction
from nagsdk.training.footing import footing_of, offset_of
from tests.conftest import REPOSITORY


class Known:
    """A predictor with intervals of a known half-width around 90 %."""

    optimism = 0.0

    def __init__(self, half):
        self.half = half

    def predict(self, codes):
        mean = np.full(len(codes), 90.0)
        return AccuracyPrediction(mean, mean - self.half, mean + self.half, np.zeros(len(codes), bool))

    of_chosen = predict


@pytest.mark.parametrize("half", [0.1, 5.0])
def test_the_offset_is_the_mean_and_the_interval_covers_further_subnets(half):
    rng, covered = np.random.default_rng(0), []
    for _ in range(200):
        differences = rng.normal(-1.3, 0.4, 48)
        offset, width = offset_of(Known(half), np.zeros((48, 3), np.int8), differences, 32)
        assert offset == pytest.approx(differences[:32].mean(), abs=1e-3)
        covered.append(np.mean(np.abs(rng.normal(-1.3, 0.4, 100) - offset) <= np.hypot(half, width)))
        # Intervals that are wide enough as they are become no wider.
        assert (width == 0) == (half == 5.0)
    assert np.mean(covered) > 0.89


def test_subnets_that_the_predictor_does_not_know_are_measured():
    space = load_bundle("glyphs").space
    known, measured = space.sample(200, np.random.default_rng(0)), []

    def evaluate(subnets):
        measured.extend(subnets)
        return np.full(len(subnets), 88.5)

    footing = footing_of(space, Known(0.1), known, evaluate, "600 images")
    assert footing.offset == -1.5 and footing.half_width < 0.1 and footing.subnets == len(measured) >= 24
    assert not set(measured) & set(space.decode(known)) and footing.predicted_on == "600 images"


def test_few_test_images_widen_what_is_said_of_all_images_of_their_kind():
    space = load_bundle("glyphs").space
    few, many, these = (
        footing_of(
            space, Known(0.1), space.sample(50, np.random.default_rng(0)), lambda s: np.full(len(s), 90.0), "", tests=n
        )
        for n in (60, 6000, None)
    )
    assert few.half_width == pytest.approx(6.3, abs=0.5) and few.offset == many.offset == these.offset
    assert few.half_width > 5 * many.half_width > 5 * these.half_width


def test_predictions_of_glyphs_are_about_its_test_images():
    # 38 architectures on the exact frontier of accuracy over MACs, measured on the bundle's test images. None of them
    # was used to fit the predictor or to find the offset.
    bundle = load_bundle("glyphs")
    with (REPOSITORY / "tests" / "training" / "glyphs_answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    top1 = np.array([float(row["top1"]) for row in rows])
    found = bundle.predictor.of_chosen(bundle.space.encode([bundle.space.parse(row["architecture"]) for row in rows]))
    assert abs(float(np.mean(found.mean - top1))) <= 0.3
    assert np.mean((found.low <= top1) & (top1 <= found.high)) >= 0.9
    assert ((found.high - found.low) / 2).mean() <= 1.5
