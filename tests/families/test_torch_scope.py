"""What nagsdk sets in torch, other threads do not see."""

import threading

import pytest
import torch

from nagsdk.families.torch_scope import seeded, threads
from tests.conftest import TINY


def weights(network):
    return torch.cat([tensor.flatten().float() for tensor in network.state_dict().values()])


def draw():
    return torch.cat([torch.rand(3), torch.randn(2), torch.empty(4).uniform_(), torch.randperm(5).float()])


def test_numbers_are_those_after_manual_seed_and_the_random_state_stays():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        expected = draw()
    before = torch.get_rng_state()
    with seeded(7):
        assert torch.equal(draw(), expected)
        with seeded():  # the seed outside counts
            assert not torch.equal(draw(), expected)
    assert torch.equal(torch.get_rng_state(), before)


def test_networks_are_built_without_touching_the_random_state():
    architecture = TINY.decode(TINY.sample(1, __import__("numpy").random.default_rng(0)))[0]
    before = torch.get_rng_state()
    supernet = TINY.supernet()
    supernet.initialise(3)
    first, same = weights(supernet), TINY.supernet()
    same.initialise(3)
    supernet.extract(architecture)
    with seeded(1):
        one, other = weights(TINY.build(architecture)), weights(TINY.build(architecture))
    with seeded(1):
        assert torch.equal(weights(TINY.build(architecture)), one) and not torch.equal(one, other)
    assert torch.equal(first, weights(same)) and torch.equal(torch.get_rng_state(), before)


def test_another_thread_draws_from_its_own_state():
    started, drawn = threading.Event(), []

    def other():
        started.wait()
        drawn.append(torch.rand(4))

    thread = threading.Thread(target=other)
    thread.start()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        with seeded(1):
            torch.rand(3)
            started.set()
            thread.join()
        torch.manual_seed(5)
        assert torch.equal(torch.rand(4), drawn[0])


def test_a_generator_of_the_caller_stays_in_charge():
    with seeded(1):
        first = torch.rand(3, generator=torch.Generator().manual_seed(2))
    assert torch.equal(first, torch.rand(3, generator=torch.Generator().manual_seed(2)))


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def in_new_threads(call, count=1):
    found = []
    started = [threading.Thread(target=lambda: found.append(call())) for _ in range(count)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return found


def test_threads_are_set_for_the_calling_thread_only(three_threads):
    with threads(1):
        assert torch.get_num_threads() == 1 and in_new_threads(torch.get_num_threads) == [3]
    assert torch.get_num_threads() == 3


def test_many_threads_leave_the_number_as_it_was(three_threads):
    gate = threading.Barrier(6)

    def work():
        gate.wait()
        for _ in range(20):
            with threads(1):
                inside = torch.get_num_threads()
        return inside, torch.get_num_threads()

    assert in_new_threads(work, 6) == [(1, 3)] * 6
    assert torch.get_num_threads() == 3 and in_new_threads(torch.get_num_threads) == [3]
