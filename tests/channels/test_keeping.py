"""Retention by policy and key rotation, over a real journal and core store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.channels.definition import load_channels
from engine.channels.keeping import days_of, keep, rotate
from engine.channels.pipeline import Pipeline
from engine.channels.worker import Worker
from engine.journal.sql import SqlJournal, UnreadableEntry
from engine.kernel.config import Config, KeepSettings
from engine.kernel.errors import ConfigError
from engine.kernel.message import NewEntry
from engine.mapping.project import Maps
from engine.security.keys import Keyring
from engine.store.sql import SqlStore

ROOT = Path(__file__).parents[2]
NOW = 1_790_000_000_000
DAY = 86_400_000
GOOD = (ROOT / "sample_messages/lab/oru_potassium.hl7").read_bytes()
BAD = b"MSH|^~\\&|X|Y|HUB|H|20260101||ZZZ^Z99|C9|P|2.5.1\rPID|1||9^^^A^MR\r"


@pytest.fixture(scope="module")
def maps() -> Maps:
    return Maps.open(ROOT)


@pytest.fixture
def hub(tmp_path: Path, maps: Maps) -> Iterator[tuple[Config, Keyring, SqlJournal, SqlStore, Worker]]:
    config = Config(data=tmp_path / "var", keep=KeepSettings(messages="30 days"))
    config.data_dir.mkdir()
    keyring = Keyring.open(config.key_file, existing_data=False)
    journal = SqlJournal.open(config.journal_url, keyring)
    store = SqlStore.open(config.core_url, keyring)
    yield (
        config,
        keyring,
        journal,
        store,
        Worker(journal, store, Pipeline(maps, load_channels(ROOT), keyring.mac16)),
    )
    store.close()
    journal.close()


def put(journal: SqlJournal, body: bytes, control: str, received: int) -> int:
    entry = NewEntry("lab_oru", body, received, "LAB", "", control, "ORU^R01", order_keys=("A|1",))
    return journal.append([entry])[0].id


def drain(worker: Worker) -> None:
    while worker.step():
        pass


def test_old_bodies_go_the_resources_stay_and_what_waits_is_kept(
    hub: tuple[Config, Keyring, SqlJournal, SqlStore, Worker],
) -> None:
    config, _, journal, store, worker = hub
    old = put(journal, GOOD, "C1", NOW - 40 * DAY)
    parked = put(journal, BAD, "C2", NOW - 40 * DAY)
    young = put(journal, GOOD.replace(b"LAB0001", b"LAB0002"), "C3", NOW - 2 * DAY)
    drain(worker)
    assert store.outcome(parked).status == "parked"  # type: ignore[union-attr]
    made = store.search("Observation", []).resources
    would = keep(config, journal, store, dry_run=True, now=NOW)
    assert (would.entries, would.kept) == (1, 1)
    assert journal.get(old) is not None
    account = keep(config, journal, store, now=NOW)
    assert (account.entries, account.kept) == (1, 1)
    assert "can no longer be explained" in account.lines()[0]
    with pytest.raises(UnreadableEntry):
        journal.get(old)
    assert journal.get(parked) is not None and journal.get(young) is not None
    assert store.search("Observation", []).resources == made


def test_what_was_not_worked_off_is_never_deleted(
    hub: tuple[Config, Keyring, SqlJournal, SqlStore, Worker],
) -> None:
    config, _, journal, store, _ = hub
    put(journal, GOOD, "C1", NOW - 40 * DAY)
    assert keep(config, journal, store, now=NOW).entries == 0


def test_after_a_rotation_everything_still_opens(
    hub: tuple[Config, Keyring, SqlJournal, SqlStore, Worker],
) -> None:
    config, keyring, journal, _, worker = hub
    entry = put(journal, GOOD, "C1", NOW)
    drain(worker)
    number, sealed = rotate(keyring, journal)
    assert sealed >= 1
    again = Keyring.open(config.key_file, existing_data=True)
    assert max(again.key_numbers) == number
    reopened = SqlJournal.open(config.journal_url, again)
    try:
        found = reopened.get(entry)
        assert found is not None and found.body == GOOD
    finally:
        reopened.close()
    other = SqlStore.open(config.core_url, again)
    try:
        assert other.search("Observation", []).resources
    finally:
        other.close()


@pytest.mark.parametrize(
    ("text", "days"), [("forever", None), ("30 days", 30), ("2 weeks", 14), ("7 years", 7 * 366)]
)
def test_times(text: str, days: int | None) -> None:
    assert days_of(text, "here") == days


@pytest.mark.parametrize("text", ["", "soon", "0 days", "-1 years", "7"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError):
        days_of(text, "here")


def test_the_audit_stays_six_years(hub: tuple[Config, Keyring, SqlJournal, SqlStore, Worker]) -> None:
    config, _, journal, store, _ = hub
    short = config.model_copy(update={"keep": KeepSettings(audit="1 years")})
    with pytest.raises(ConfigError, match="6 years"):
        keep(short, journal, store)
