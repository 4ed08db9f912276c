import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nagsdk.preprocessing import Preprocessing
from nagsdk.supernet.data import ArrayBatches, portions, prepare

PLAIN = Preprocessing((0.5, 0.4, 0.3), (0.25, 0.2, 0.3))


@settings(max_examples=20, deadline=None)
@given(side=st.integers(16, 64), resolution=st.integers(16, 64), crop=st.sampled_from([1.0, 0.875]), seed=st.integers(0, 9))
def test_prepare_gives_what_an_app_gets_with_pillow(side, resolution, crop, seed):
    images = np.random.default_rng(seed).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    steps = Preprocessing(PLAIN.mean, PLAIN.std, crop)
    expected = steps.apply([Image.fromarray(image) for image in images], resolution)
    levels = np.abs(prepare(images, resolution, steps).numpy() - expected) * 255 * np.array(PLAIN.std).reshape(1, 3, 1, 1)
    assert levels.shape == (2, 3, resolution, resolution) and levels.max() < 1.01


def test_an_epoch_shows_every_image_once_and_batches_depend_on_the_step_only():
    images = np.zeros((12, 16, 16, 3), np.uint8)
    batches = ArrayBatches(images, np.arange(12), 4, PLAIN, seed=5)
    epochs = [np.concatenate([batches(step, 16)[1].numpy() for step in range(start, start + 3)]) for start in (0, 3)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert (epochs[0] != epochs[1]).any()
    assert batches(4, 16)[1].tolist() == ArrayBatches(images, np.arange(12), 4, PLAIN, seed=5)(4, 16)[1].tolist()


def test_batches_that_cannot_be_filled_are_refused():
    with pytest.raises(ValueError, match="do not make batches"):
        ArrayBatches(np.zeros((3, 16, 16, 3), np.uint8), np.arange(3), 4, PLAIN)


def test_portions_are_equal():
    x = prepare(np.zeros((10, 16, 16, 3), np.uint8), 16, PLAIN)
    assert [len(p) for p in portions(x, 4)] == [4, 4]
