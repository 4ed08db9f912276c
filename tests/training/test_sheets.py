"""Images that become part of a bundle."""

import numpy as np
import pytest

from nagsdk.images.decoded import Labelled
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.training.sheets import Sheets


@pytest.mark.parametrize(("side", "same"), [(48, True), (112, False)])
def test_small_test_images_are_the_users_own_and_large_ones_nearly(tmp_path, side, same):
    rng = np.random.default_rng(0)
    images = np.kron(rng.integers(0, 256, (6, side // 4, side // 4, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))
    part = Labelled(images, np.array([0, 0, 1, 1, 2, 2]))
    sheets = Sheets(tmp_path, {"train": part, "test": part}, side, Preprocessing((0.5,) * 3, (0.25,) * 3), 6, 0)
    sheets.write()
    kept = sheets.tests
    order = [int(np.abs(images.astype(int) - tile).mean((1, 2, 3)).argmin()) for tile in kept.images]
    assert sorted(order) == list(range(6)) and (part.labels[order] == kept.labels).all()
    away = np.abs(images[order].astype(int) - kept.images).mean()
    assert away == 0 if same else 0 < away < 25
