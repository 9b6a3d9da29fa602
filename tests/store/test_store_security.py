"""The audit chain, and what can be read in the files without the key."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from store_messages import patient, result, work

from engine.kernel.message import Flag
from engine.security.keys import Keyring
from engine.store.audit import Access
from engine.store.sql import SqlStore


def test_the_chain_holds(store: SqlStore) -> None:
    assert store.audit.verify() is None
    store.audit.record(Access("ann", "read", "Patient/1"))
    store.audit.record(*[Access("ann", "search", "Observation", f"identifier={n}") for n in range(1500)])
    assert store.audit.verify() is None
    assert store.audit.head()[0] == 1501
    assert [row.detail for row in store.audit.rows(limit=2)] == ["", "identifier=0"]
    assert store.audit.rows(after=1500)[0].detail == "identifier=1499"


@pytest.mark.parametrize(
    ("tampering", "first_broken"),
    [
        ("UPDATE audit SET who = 'bob' WHERE id = 3", 3),
        ("UPDATE audit SET at = at + 1 WHERE id = 1", 1),
        ("DELETE FROM audit WHERE id = 4", 4),
        ("DELETE FROM audit WHERE id = 9", 9),
        ("UPDATE audit SET detail = NULL WHERE id = 2", 2),
        ("UPDATE audit SET id = 99 WHERE id = 9", 9),
    ],
)
def test_tampering_shows(store: SqlStore, tampering: str, first_broken: int) -> None:
    store.audit.record(*[Access("ann", "read", f"Patient/{n}", "x") for n in range(9)])
    with store._database.write() as session:
        session.run(tampering)
    assert store.audit.verify() == first_broken


def test_two_processes_make_one_chain(open_store: Callable[[], SqlStore]) -> None:
    one, two = open_store(), open_store()
    for n in range(6):
        (one if n % 2 else two).audit.record(Access("ann", "read", f"Patient/{n}"))
    assert one.audit.verify() is None
    assert [row.what for row in two.audit.rows()] == [f"Patient/{n}" for n in range(6)]


def test_no_patient_data_in_the_files(tmp_path: Path, keyring: Keyring) -> None:
    store = SqlStore.open(f"sqlite:///{tmp_path}/core.db", keyring)
    person = patient("MRN4711", family="Zwerchfell", born="1961-07-23")
    flag = Flag("unmapped-code", "PID-8", "no such code")
    search = (("identifier", "MRN4711"), ("name", "zwerchfell"), ("birthdate", "1961-07-23"))
    store.apply([work(1, person, result("MRN4711"), flags=[flag], search=search)])
    store.apply([work(2, patient("MRN4711", family="Zwerchfell", born="1999-01-01"), search=search)])
    store.rerun([work(3, person, search=search, position=1)], who="ann", why="asked for Zwerchfell")
    store.audit.record(Access("ann", "search", "Patient", "identifier=MRN4711"))
    assert store.find("name", "zwerchfell") == [3, 2, 1]
    files = [path.read_bytes() for path in tmp_path.iterdir()]
    store.close()
    files += [path.read_bytes() for path in tmp_path.iterdir()]
    for content in files:
        for word in (b"MRN4711", b"Zwerchfell", b"zwerchfell", b"1961-07-23"):
            assert word not in content
            assert word.hex().encode() not in content
    with sqlite3.connect(tmp_path / "core.db") as db:
        rows = db.execute("SELECT date_from, date_to FROM resource WHERE patient = rid").fetchall()
    assert rows == [(None, None)]


def test_hashes_depend_on_the_key(tmp_path: Path, keyring: Keyring) -> None:
    def hashes(name: str, ring: Keyring) -> set[object]:
        store = SqlStore.open(f"sqlite:///{tmp_path}/{name}.db", ring)
        store.apply([work(1, patient("MRN4711"), result("MRN4711"), search=(("identifier", "MRN4711"),))])
        store.close()
        with sqlite3.connect(tmp_path / f"{name}.db") as db:
            found = {
                row[0]
                for table in ("token", "search_key", "concept")
                for row in db.execute(f"SELECT mac FROM {table}")
            }
        return found

    mine = hashes("a", keyring)
    assert mine == hashes("b", keyring)
    assert not mine & hashes("c", Keyring.supplied(b"another secret, as long as it has to be"))
