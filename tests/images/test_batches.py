import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nagsdk.images.batches import DRAWS, ArrayBatches, Augmentation, Shown, classes_of, prepare, stratified
from nagsdk.images.preprocessing import Preprocessing

PLAIN = Preprocessing((0.5, 0.4, 0.3), (0.25, 0.2, 0.3))


@settings(max_examples=20, deadline=None)
@given(
    side=st.integers(16, 64), resolution=st.integers(16, 64), crop=st.sampled_from([1.0, 0.875]), seed=st.integers(0, 9)
)
def test_prepare_agrees_with_pillow(side, resolution, crop, seed):
    images = np.random.default_rng(seed).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    steps = Preprocessing(PLAIN.mean, PLAIN.std, crop)
    expected = steps.apply([Image.fromarray(image) for image in images], resolution)
    levels = (
        np.abs(prepare(images, resolution, steps).numpy() - expected) * 255 * np.array(PLAIN.std).reshape(1, 3, 1, 1)
    )
    assert levels.shape == (2, 3, resolution, resolution) and levels.max() < 2.01


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


@given(
    labels=st.lists(st.integers(0, 6), min_size=1, max_size=80).map(np.array),
    share=st.floats(0, 1),
    seed=st.integers(0, 9),
)
def test_every_class_gets_its_share_of_the_chosen_images(labels, share, seed):
    count = max(1, round(share * len(labels)))
    rows = stratified(labels, count, seed)
    assert len(rows) == count and (np.diff(rows) > 0).all() and rows[0] >= 0 and rows[-1] < len(labels)
    classes, sizes = np.unique(labels, return_counts=True)
    chosen = np.array([(labels[rows] == c).sum() for c in classes])
    assert (np.abs(chosen - sizes * count / len(labels)) < len(classes)).all()
    if count >= len(classes):
        assert (chosen >= 1).all()
    assert np.array_equal(rows, stratified(labels, count, seed))


def coloured(count=12, side=20):
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("augmentation", [None, Augmentation()])
def test_processes_share_every_batch(augmentation):
    images, labels = coloured(), np.arange(12)
    whole = ArrayBatches(images, labels, 4, PLAIN, 3, augmentation)(2, 16)
    parts = [ArrayBatches(images, labels, 4, PLAIN, 3, augmentation, rank, 2)(2, 16) for rank in (0, 1)]
    for rank, (x, y) in enumerate(parts):
        assert torch.equal(x, whole[0][rank::2]) and torch.equal(y, whole[1][rank::2])
    with pytest.raises(ValueError, match="shared by 3"):
        ArrayBatches(images, labels, 4, PLAIN, 3, augmentation, 0, 3)


def test_augmented_images_depend_on_seed_and_step_only():
    images, labels = coloured(4), np.arange(4)
    batches = ArrayBatches(images, labels, 4, PLAIN, 3, Augmentation())
    first, again, later = (
        batches(0, 16)[0],
        ArrayBatches(images, labels, 4, PLAIN, 3, Augmentation())(0, 16)[0],
        batches(1, 16)[0],
    )
    assert torch.equal(first, again) and not torch.allclose(first, later)
    assert first.shape == (4, 3, 16, 16) and first.is_contiguous(memory_format=torch.channels_last)


@settings(max_examples=50, deadline=None)
@given(side=st.integers(8, 64), seed=st.integers(0, 99))
def test_crops_lie_within_the_square_and_keep_their_share(side, seed):
    augmentation = Augmentation(area=0.3)
    left, top, width, height = augmentation.crops(np.random.default_rng(seed).random((50, DRAWS)), side).T
    assert (left >= 0).all() and (top >= 0).all() and (left + width <= side).all() and (top + height <= side).all()
    assert (width * height >= 0.3 * side**2 * 0.8 - 2 * side).all()


def test_letters_are_not_mirrored_unless_asked():
    ramp = np.broadcast_to(np.arange(0, 200, 10, dtype=np.uint8)[None, None, :, None], (8, 20, 20, 3))
    draws = np.random.default_rng(0).random((8, DRAWS))
    plain, mirrored = (Augmentation(flip=flip, colour=0).apply(ramp, draws, 16) for flip in (False, True))
    rising = lambda x: (x[..., -1] > x[..., 0]).all((1, 2))  # noqa: E731
    assert (
        rising(plain).all()
        and rising(mirrored).tolist() == (draws[:, 4] >= 0.5).tolist()
        and not rising(mirrored).all()
    )


def test_batches_are_the_same_kept_in_memory_or_prepared_again(monkeypatch):
    images, labels = coloured(), np.arange(12)
    kept = list(Shown(images, labels, 16, PLAIN, 5))
    monkeypatch.setattr("nagsdk.images.batches._MOST_KEPT_BYTES", 0)
    prepared = Shown(images, labels, 16, PLAIN, 5)
    assert [len(y) for _, y in kept] == [5, 5, 2]
    for _ in range(2):
        assert all(torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(kept, prepared, strict=True))


def test_mixup_mixes_images_and_classes_in_the_same_shares_at_every_resolution():
    images, labels = coloured(), np.arange(12)
    given = (images, labels, 6, PLAIN, 3, Augmentation(flip=False))
    plain, mixed, mixtures = ArrayBatches(*given), ArrayBatches(*given, mixup=0.5, classes=12), 0
    for step in range(4):
        shown, classes = plain(step, 16)
        found, shares = mixed(step, 16)
        assert torch.allclose(shares.sum(1), torch.ones(6))
        # The share of the class of every image of the batch is that of its pixels.
        assert torch.allclose(found, torch.einsum("ij,jchw->ichw", shares[:, classes], shown), atol=1e-5)
        assert torch.equal(mixed(step, 24)[1], shares)
        mixtures += int(((shares > 0).sum(1) == 2).sum())
    assert mixtures > 6
    assert torch.equal(ArrayBatches(*given, mixup=0.5, classes=12)(2, 16)[0], mixed(2, 16)[0])
    assert classes_of(shares).tolist() == shares.argmax(1).tolist() and classes_of(classes) is classes


def test_balanced_batches_show_rare_classes_more_often_and_every_image():
    labels = np.repeat([0, 1, 2], [900, 100, 25])
    images = np.zeros((len(labels), 4, 4, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(labels)) % 251
    balanced = ArrayBatches(images, labels, 25, Preprocessing((0.0,) * 3, (1.0,) * 3, 1.0), balanced=True)
    steps = len(labels) // 25
    shown = np.bincount(np.concatenate([balanced(step, 4)[1] for step in range(steps)]))
    assert shown.sum() == len(labels) and shown == pytest.approx(len(labels) * np.array([30, 10, 5]) / 45, abs=1)
    order = balanced._order(np.random.default_rng(0))
    often = np.bincount(order, minlength=len(labels))
    assert often[:900].max() == 1 and set(often[1000:]) <= {4, 5} and set(often[900:1000]) <= {2, 3}
    assert torch.equal(balanced(7, 4)[1], balanced(7, 4)[1])
