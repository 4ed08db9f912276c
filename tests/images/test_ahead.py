import numpy as np
import pytest
import torch

from nagsdk.images.ahead import Ahead
from nagsdk.images.batches import ArrayBatches
from nagsdk.images.preprocessing import Preprocessing

PLAIN = Preprocessing((0.5, 0.4, 0.3), (0.25, 0.2, 0.3))


def wanted(step):
    return [16, 24] if step < 6 else []


def test_batches_that_are_prepared_ahead_are_the_same_ones_and_each_is_prepared_once():
    images = np.random.default_rng(0).integers(0, 256, (24, 24, 24, 3), dtype=np.uint8)
    plain, made = ArrayBatches(images, np.arange(24), 8, PLAIN), []

    def counting(step, resolution):
        made.append((step, resolution))
        return plain(step, resolution)

    with Ahead(counting, wanted) as ahead:
        for step in range(2, 6):  # a resumed training begins in the middle
            for resolution in (16, 24):
                expected, labels = plain(step, resolution)
                found, classes = ahead(step, resolution)
                assert torch.equal(found, expected) and torch.equal(classes, labels)
    assert sorted(made) == [(step, resolution) for step in range(2, 6) for resolution in (16, 24)]


def test_what_was_not_foreseen_is_prepared_at_once_and_errors_arrive_where_the_batch_is_used():
    def broken(step, resolution):
        if step == 3:
            raise OSError("gone")
        return torch.zeros(1), torch.zeros(1)

    with Ahead(broken, wanted) as ahead:
        ahead(2, 16)
        assert len(ahead(2, 99)) == 2
        with pytest.raises(OSError, match="gone"):
            ahead(3, 16)
