import numpy as np
import pytest

from nagsdk.device.backend import EXACT
from nagsdk.errors import DeviceError
from nagsdk.graph.parity import check, relative_error

LOGITS = np.random.default_rng(0).standard_normal((4, 10), dtype=np.float32)


def test_the_error_is_a_share_of_the_norm_and_the_worst_image_counts():
    actual = LOGITS.copy()
    actual[2] *= 1.5
    assert relative_error(LOGITS, actual) == pytest.approx(0.5, rel=1e-6)
    assert relative_error(1000 * LOGITS, 1000 * actual) == pytest.approx(0.5, rel=1e-6)


def test_small_differences_pass_and_are_returned():
    actual = LOGITS * np.float32(1 + 5e-6)
    assert 1e-6 < check(LOGITS, actual, EXACT) < 1e-5
    with pytest.raises(DeviceError, match=r"differs from torch by 5\.\de-06.*more than 1e-06"):
        check(LOGITS, actual, tolerance=1e-6)


@pytest.mark.parametrize(
    ("expected", "actual", "message"),
    [
        (LOGITS, LOGITS[:, :9], "returns"),
        (LOGITS, np.full_like(LOGITS, np.nan), "outputs of the exported network are finite"),
        (np.full_like(LOGITS, np.inf), LOGITS, "outputs of torch are finite"),
        (LOGITS, np.zeros_like(LOGITS), "differs"),
        (np.zeros_like(LOGITS), LOGITS, "differs"),
    ],
)
def test_wrong_logits_are_refused(expected, actual, message):
    with pytest.raises(DeviceError, match=message) as caught:
        check(expected, actual, EXACT)
    assert caught.value.next_step


def test_equal_zeros_are_equal():
    assert check(np.zeros_like(LOGITS), np.zeros_like(LOGITS), EXACT) == 0.0
