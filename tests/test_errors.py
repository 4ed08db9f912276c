"""Errors cross processes, as results of a pool for example."""

import copy
import pickle

import pytest

from nagsdk import errors


@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_an_error_is_the_same_in_another_process(again):
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.NagsdkError):
            error = again(kind("It failed.", "Try again."))
            assert type(error) is kind and (error.message, error.next_step) == ("It failed.", "Try again.")
            assert str(error) == "It failed.\nTry again." and error.args == ("It failed.",)
    assert again(errors.InfeasibleError("None.", "Ask for more.", [1, 2])).results == (1, 2)
