import numpy as np
import pytest

from nagsdk.errors import UsageError
from nagsdk.generator.counted import Counted
from tests.generator.spaces import random_tables, staged_space
from tests.generator.test_train import Teacher


def test_the_same_architecture_counts_once_and_one_too_many_is_refused():
    space = staged_space()
    teacher = Teacher(random_tables(space, 0)[1])
    counted = Counted(teacher, 20)
    codes = np.unique(space.sample(60, np.random.default_rng(0)), axis=0)[:20]
    twice = np.concatenate([codes, codes[::-1]])
    assert np.array_equal(counted.predict(twice).mean, teacher.predict(twice).mean)
    assert len(counted.known) == 20
    asked = teacher.asked
    counted.predict(codes[3:5])
    assert teacher.asked == asked
    other = next(row for row in space.sample(60, np.random.default_rng(1)) if not (codes == row).all(1).any())
    with pytest.raises(UsageError, match="More than 20"):
        counted.predict(other[None])
    assert (counted.hash, counted.additive) == (teacher.hash, teacher.additive)
