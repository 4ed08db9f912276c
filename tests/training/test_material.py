"""Which images a training learns from, and which ones its choices rest on."""

from dataclasses import replace

import numpy as np
import pytest

from nagsdk.images.decoded import Labelled
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.supernet.processes import Ranks
from nagsdk.training.asked import Asked
from nagsdk.training.by_time import by_time
from nagsdk.training.material import Material
from nagsdk.training.schedule import Counts, Pace

PLAIN = Preprocessing((0.5, 0.4, 0.3), (0.25, 0.2, 0.3))
PACE = Pace(0.01, 0.003, 0.03, 0.02, 0.003, 0.002, 0.02, {50: 10.0}, 120.0)


def labelled(first, classes):
    """Images that are told by their pixels: number `first` and the following."""
    labels = np.array(classes)
    images = np.zeros((len(labels), 16, 16, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(first, first + len(labels)) % 256
    return Labelled(images, labels)


@pytest.fixture
def material():
    # The last class has a single image for training.
    parts = {
        "train": labelled(0, [*([0] * 40), *([1] * 20), 2]),
        "val": labelled(100, [0, 0, 0, 1, 1, 2]),
        "test": labelled(200, [0, 1, 2]),
    }
    plan = by_time(Asked(600, Counts(61, 6, 3), (16,), pretrained=False), PACE)
    return Material(parts, plan, PLAIN, 3, flip=True, balanced=False, seed=0)


def numbers(part):
    return set(part.images[:, 0, 0, 0].tolist())


def test_no_image_is_learnt_from_before_choices_rest_on_it_and_no_class_is_missing(material):
    learning, choosing = numbers(material.learning), numbers(material.choosing)
    assert not learning & choosing and learning | choosing == numbers(material.parts["train"]) | set(range(100, 106))
    assert set(material.learning.labels) == set(material.choosing.labels) == {0, 1, 2}
    assert not numbers(material.parts["test"]) & (learning | choosing)
    counts = np.bincount(material.choosing.labels)
    assert counts[0] > counts[1] > 3, "each class has its share"


def test_only_the_last_pass_trains_on_all_training_images_and_none_on_those_for_validation(material):
    early, last = material.schedule.recipes[0], material.schedule.recipes[-1]
    assert numbers(material.batches(early, Ranks())) == numbers(material.learning)
    assert numbers(material.batches(last, Ranks())) == numbers(material.parts["train"])
    assert material.validation(early, SPACE, None).count == len(material.choosing.labels)
    assert material.validation(last, SPACE, None).count == 6


def test_predictions_are_compared_with_images_that_no_pass_trains_on(material):
    judging = material.judging(material.parts["test"])
    assert numbers(judging) == {200, 201, 202, *range(100, 106)} and len(judging.labels) == 9
    assert not any(numbers(judging) & numbers(material.batches(r, Ranks())) for r in material.schedule.recipes)
    many = replace(material, schedule=replace(material.schedule, held_out=0))
    assert many.judging(material.parts["test"]) is material.parts["test"]


class Resolutions:
    resolutions = (16,)


SPACE = Resolutions()
