import threading

import pytest

from nagsdk.common.database_address import DatabaseAddress
from nagsdk.errors import NagsdkError, OutputError
from nagsdk.measuring import postgresql
from nagsdk.measuring.store import Store
from tests.measuring.test_store import kept
from tests.postgres import running

psycopg = pytest.importorskip("psycopg")


def opened(address):
    return psycopg.connect(address.url, autocommit=True)


def test_many_that_make_the_tables_at_once_all_succeed(new_database):
    address, errors = new_database(), []

    def make():
        try:
            Store(address).add(kept())
        except NagsdkError as error:
            errors.append(error)

    makers = [threading.Thread(target=make) for _ in range(6)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert errors == [] and Store(address).check() == 6


def test_a_newer_format_and_a_foreign_schema_are_refused(new_database):
    address = new_database()
    Store(address)
    with opened(address) as other:
        other.execute("update nagsdk.store set version = 99")
    with pytest.raises(NagsdkError, match="newer version"):
        Store(address)
    foreign = new_database()
    with opened(foreign) as other:
        other.execute("create schema nagsdk")
        other.execute("create table nagsdk.invoices (n integer)")
    with pytest.raises(NagsdkError, match="is not a store of measurements: its schema nagsdk holds invoices"):
        Store(foreign)


def test_tables_of_others_in_the_database_stay_untouched(new_database):
    address = new_database()
    with opened(address) as other:
        other.execute("create table key (n integer)")
        other.execute("insert into key values (7)")
        Store(address).add(kept())
        assert other.execute("select n from public.key").fetchall() == [(7,)]


def test_missing_rights_are_said(new_database):
    address = new_database()
    Store(address)
    with opened(address) as other:
        other.execute("create role guest login")
        other.execute("grant usage on schema nagsdk to guest")
        other.execute("grant select on nagsdk.store to guest")
    with pytest.raises(OutputError, match="permission denied"):
        Store(DatabaseAddress(address.url.replace("lab@", "guest@"))).add(kept())


def test_no_message_shows_the_password_of_a_server_that_is_not_there():
    address = DatabaseAddress("postgresql://me:s3cret%2F@127.0.0.1:1/readings?sslmode=disable")
    with pytest.raises(NagsdkError, match="cannot be reached") as caught:
        Store(address)
    assert "s3cret" not in str(caught.value) and "postgresql://127.0.0.1:1/readings" in caught.value.message


@pytest.mark.parametrize("url", ["postgresql://me:s3cret@h:port/x", "postgresql://me:s3cret@127.0.0.1:1/x?s3cret=1"])
def test_wrong_addresses_are_refused_without_their_secrets(url):
    with pytest.raises(NagsdkError) as caught:
        Store(DatabaseAddress(url))
    assert "s3cret" not in str(caught.value)


def test_a_deadlock_is_tried_again_and_other_errors_are_not(new_database, monkeypatch):
    store, tried = Store(new_database()), []
    monkeypatch.setattr(postgresql, "_PAUSE_S", 0.0)

    def work():
        tried.append(1)
        if len(tried) < 3:
            with store.database.connection() as other:
                other.execute("do $$ begin raise exception 'told' using errcode = '40P01'; end $$")
        return 1

    assert store.database.persistently(work) == 1 and len(tried) == 3
    with pytest.raises(NagsdkError, match="cannot be used"), store.database.connection() as other:
        other.execute("select nonsense")


@pytest.mark.nightly
def test_readings_go_on_after_the_server_was_restarted(tmp_path_factory, request):
    files = request.getfixturevalue("server_files")
    address = DatabaseAddress(f"postgresql://lab@/postgres?host={files[0]}")
    with running(*files):
        store = Store(address)
        store.add(kept(1.0))
    adding = threading.Thread(target=store.add, args=(kept(2.0),))
    adding.start()
    with running(*files):
        adding.join()
        assert store.check() == 2
