import numpy as np

from nagsdk.families.zoo.space import ZooSpace
from nagsdk.predictor.model import AccuracyPredictor
from nagsdk.predictor.published import published

SPACE = ZooSpace(("efficientnet-lite0", "efficientnet-lite2"), (128, 224, 260), 1000)
TOP1 = np.array([[60.0, 55.5], [75.1, 74.0], [75.0, 77.6]])
HALF = np.array([[8.0, 12.0], [0.5, 2.0], [1.5, 0.25]])
CODES = np.array([(r, n) for r in range(3) for n in range(2)], np.int8)


def test_published_figures_are_repeated_and_others_count_as_extrapolated(tmp_path):
    published(SPACE, TOP1, HALF, (1, 2), {"warnings": ["second-hand"]}).save(tmp_path)
    predictor = AccuracyPredictor.load(tmp_path, SPACE)
    found = predictor.of_chosen(CODES)
    np.testing.assert_allclose(found.mean, TOP1.ravel(), atol=1e-3)
    np.testing.assert_allclose((found.high - found.low) / 2, HALF.ravel(), atol=1e-3)
    assert found.extrapolated.reshape(3, 2).tolist() == [[True, True], [False, True], [True, False]]
    assert predictor.warnings == ("second-hand",)
    # The additive score, which frontiers are drawn with, orders what is far apart.
    score = predictor.additive.inverse(predictor.additive.score(CODES)).reshape(3, 2)
    assert (score[0] < score[1]).all() and np.abs(score - TOP1).max() < 5
