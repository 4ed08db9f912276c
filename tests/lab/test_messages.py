import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nagsdk import errors
from nagsdk.device.description import Device
from nagsdk.errors import BudgetError, DeviceError, NagsdkError
from nagsdk.lab.messages import (
    burst_of,
    device_of,
    error_of,
    layer_times_of,
    meter_of,
    of_device,
    packed,
    presence_of_message,
    told,
    unpacked,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def test_messages_and_descriptions_arrive_as_they_were_sent():
    assert unpacked(packed({"a": [1, 2.5, "x"]})) == {"a": [1, 2.5, "x"]}
    device = Device(
        "board", "Board", "board", ("b",), options=(("unit", "1"),), readings=(("mobilenet_v2", 9.0),), kernels="ncnn"
    )
    assert device_of(json.loads(json.dumps(of_device(device)))) == device


@pytest.mark.parametrize(
    "kind", [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, NagsdkError)]
)
def test_errors_arrive_as_they_were_raised(kind):
    found = error_of(unpacked(packed(told(kind("It is broken.", "Mend it.")))))
    assert type(found) is kind and (found.message, found.next_step) == ("It is broken.", "Mend it.")


def test_errors_of_others_arrive_as_the_next_known_kind():
    class OwnError(BudgetError):
        pass

    assert type(error_of(told(OwnError("a", "b")))) is BudgetError


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", "text", None, b"1", b"[" * 100_000])
def test_what_is_no_message_is_refused(content):
    with pytest.raises(DeviceError, match="cannot be read"):
        unpacked(content)


@pytest.mark.parametrize("told", [["printable", "a", "b"], ["SystemExit", "a", "b"], ["DeviceError"], 3, None])
def test_what_is_no_error_is_refused(told):
    with pytest.raises(DeviceError, match="cannot be read"):
        error_of({"error": told})


@given(values=JSON)
@pytest.mark.parametrize("read", [device_of, presence_of_message, burst_of, meter_of, layer_times_of])
def test_anything_else_is_an_error_with_a_next_step(read, values):
    try:
        read(values)
    except NagsdkError as error:
        assert error.next_step
