import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from nagsdk.supernet.evaluate import measure, top1, wilson
from nagsdk.supernet.recalibrate import recalibrate


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@given(
    st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.9, 0.95])
)
def test_wilson_agrees_with_scipy(counts, confidence):
    right, count = counts
    interval = binomtest(right, count).proportion_ci(confidence, "wilson")
    assert wilson(right / count, count, confidence) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_top1_counts_over_uneven_batches():
    images = torch.eye(4)[[0, 1, 2, 3, 0]]
    assert top1(
        torch.nn.Identity(), zip(images.split(2), torch.tensor([0, 1, 2, 0, 0]).split(2), strict=True)
    ) == pytest.approx(80.0)


def test_measure_recalibrates_each_subnet_and_keeps_the_order(tiny_space):
    torch.manual_seed(0)
    supernet = tiny_space.supernet().eval()
    architectures = tiny_space.decode(tiny_space.sample(6, np.random.default_rng(0)))
    pictures = {r: torch.randn(64, 3, r, r) for r in tiny_space.resolutions}
    labels = torch.arange(64) % 5
    events = []
    found = measure(supernet, architectures, lambda r: pictures[r], lambda r: [(pictures[r], labels)], events.append)
    for architecture, value in zip(architectures, found, strict=True):
        subnet = supernet.extract(architecture)
        recalibrate(subnet, pictures[architecture.resolution])
        # Another memory layout adds in another order, so one image may be classified differently.
        assert value == pytest.approx(top1(subnet, [(pictures[architecture.resolution], labels)]), abs=100 / 64 + 1e-9)
    assert {a.resolution for a in architectures} == set(tiny_space.resolutions)
    assert events[-2].done == 6
