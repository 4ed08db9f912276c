"""Errors cross processes, as results of a pool for example, and hold texts of others."""

import copy
import pickle

import pytest

from nagsdk import errors
from nagsdk.errors import NagsdkError, printable


@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_an_error_is_the_same_in_another_process(again):
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.NagsdkError):
            error = again(kind("It failed.", "Try again."))
            assert type(error) is kind and (error.message, error.next_step) == ("It failed.", "Try again.")
            assert str(error) == "It failed.\nTry again." and error.args == ("It failed.",)
    assert again(errors.InfeasibleError("None.", "Ask for more.", [1, 2])).results == (1, 2)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Pixel 2, 小米 10, 80\u202f% –\n\tµs", "Pixel 2, 小米 10, 80\u202f% –\n\tµs"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("held\rmissed", r"held\rmissed"),
        ("\x9b1A", r"\x9b1A"),
        ("a\u202eb", r"a\u202eb"),
        ("\ud800\U000e0041", r"\ud800\U000e0041"),
    ],
)
def test_texts_in_errors_cannot_control_a_terminal(text, shown):
    error = NagsdkError(f"It says {text}", f"Ask {text}")
    assert printable(text) == shown
    assert str(error) == f"It says {shown}\nAsk {shown}" and error.args == (f"It says {shown}",)
