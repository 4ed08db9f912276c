import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nagsdk.supernet.evaluate import wilson
from nagsdk.training.answers import COLUMNS, Answers, write_answers

CLASSES = ("ash", "beech", "cedar")


def answers(labels, chosen, sure=None, classes=CLASSES):
    """Answers with one class that takes what its probability leaves of the others."""
    sure = np.full(len(labels), 0.8) if sure is None else np.array(sure)
    chances = np.repeat((1 - sure)[:, None] / (len(classes) - 1), len(classes), axis=1)
    chances[np.arange(len(labels)), chosen] = sure
    names = [f"{classes[label]}/{place}.png" for place, label in enumerate(labels)]
    return Answers("test", names, classes, np.array(labels), chances)


def test_every_class_has_its_recall_interval_and_precision():
    found = answers([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1])
    assert found.top1 == pytest.approx(100 * 5 / 6)
    ash, beech, cedar = found.per_class()
    low, high = wilson(0.75, 4)
    assert (ash.name, ash.images, ash.top1, ash.precision) == ("ash", 4, 75, 100)
    assert (ash.top1_low, ash.top1_high) == (100 * low, 100 * high)
    assert beech.top1 == 100 and beech.precision == pytest.approx(100 * 2 / 3)
    assert (cedar.images, cedar.top1, cedar.top1_low, cedar.precision) == (0, None, None, None)
    assert found.to_dict()["balanced_top1"] == 87.5
    assert found.confused() == [{"label": "ash", "predicted": "beech", "images": 1}]


def test_the_surest_wrong_answers_come_first():
    found = answers([0, 1, 2, 0, 1], [1, 1, 0, 2, 0], [0.6, 0.9, 0.99, 0.7, 0.95])
    wrong = found.wrong()
    assert [place for place, _ in wrong] == [2, 4, 3, 0]
    first = wrong[0][1]
    assert (first.image, first.label, first.predicted, first.probability) == ("cedar/2.png", "cedar", "ash", 0.99)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_the_confusion_matrix_counts_every_image_once(pairs):
    found = answers([a for a, _ in pairs], [b for _, b in pairs])
    assert found.confusion.sum() == len(pairs) and found.confusion.trace() == found.right.sum()
    assert all(found.confusion[a, b] == pairs.count((a, b)) for a in range(3) for b in range(3))


def test_a_table_has_one_row_for_each_image_and_network(tmp_path):
    found = answers([0, 1], [0, 2], classes=("a,b", 'c"d', "é"))
    write_answers(tmp_path / "x.csv", [*found.rows("one"), *found.rows("two")])
    rows = list(csv.reader((tmp_path / "x.csv").open(encoding="utf-8", newline="")))
    assert rows[0] == list(COLUMNS) and len(rows) == 5
    assert rows[2] == ["one", "test", 'c"d/1.png', 'c"d', "é", "0.800000", "0.100000", "0"]
    assert [row[-1] for row in rows[1:]] == ["1", "0", "1", "0"]
