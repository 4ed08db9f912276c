from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nagsdk.common.config import value
from nagsdk.common.database_address import DatabaseAddress, read_place, without_secrets
from nagsdk.errors import UsageError
from nagsdk.measuring.store_place import checked_place

SECRET = st.text(st.characters(codec="utf-8", exclude_characters="?#", categories=["L", "N", "P"]), min_size=3)


def test_files_and_databases_are_told_apart():
    assert read_place(" readings.sqlite ") == Path("readings.sqlite")
    assert read_place("postgresql://lab:x@db/readings") == DatabaseAddress("postgresql://lab:x@db/readings")
    assert isinstance(read_place("C:\\readings"), Path)


@pytest.mark.parametrize(
    "text",
    ["", "mysql://me:s3cret@db/x", "postgres://me:s3cret@db/x", "postgresql://me:s3cret@db:x/y/z@a", "http://s3cret@h"],
)
def test_other_addresses_are_refused_with_what_is_legal_and_without_secrets(text, monkeypatch):
    with pytest.raises(UsageError, match="postgresql://USER@HOST/DATABASE") as caught:
        checked_place(text)
    assert "s3cret" not in str(caught.value)
    if text:
        monkeypatch.setenv("NAGSDK_STORE", text)
        with pytest.raises(UsageError, match="postgresql://USER@HOST/DATABASE") as caught:
            value("store")
        assert "s3cret" not in str(caught.value)


@given(SECRET)
def test_no_text_of_an_address_shows_its_password(secret):
    address = DatabaseAddress(f"postgresql://user:0{secret}0@db.example/readings?password=0{secret}0")
    assert f"0{secret}0" not in f"{address} {address!r}"
    if "@" not in secret:
        assert str(address) == without_secrets(address.url) == "postgresql://db.example/readings"
