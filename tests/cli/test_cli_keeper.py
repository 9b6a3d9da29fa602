"""The keeper: due once a day, made up for after a pause, said and audited, and a failure stops nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hub_project import Hub, make_project
from typer.testing import CliRunner

from engine.cli import keeper
from engine.cli.keeper import due_at, is_wanted, run_keeper
from engine.cli.main import app
from engine.journal.sql import UnreadableEntry
from engine.kernel.config import Config, KeepSettings, load_config
from engine.kernel.errors import ConfigError, StoreUnavailable
from engine.kernel.message import NewEntry

DAY = 86_400_000


def test_the_next_run_is_at_that_time_of_day() -> None:
    now = datetime(2026, 5, 4, 14, 30)
    assert due_at("02:00", None, now) == datetime(2026, 5, 5, 2)  # never run: not at once
    assert due_at("23:15", None, now) == datetime(2026, 5, 4, 23, 15)
    assert due_at("02:00", date(2026, 5, 4), now) == datetime(2026, 5, 5, 2)
    assert due_at("02:00", date(2026, 5, 1), now) < now  # missed while the hub was down: at once


def test_keeping_everything_or_never_starts_no_keeper() -> None:
    assert not is_wanted(Config())
    assert is_wanted(Config(keep=KeepSettings(messages="7 years")))
    assert not is_wanted(Config(keep=KeepSettings(messages="7 years", at="never")))


@pytest.mark.parametrize("at", ["24:00", "2:00", "02.00", "at night", ""])
def test_a_time_that_is_none_is_refused_with_its_line(tmp_path: Path, at: str) -> None:
    (tmp_path / "config.yaml").write_text(f"keep:\n  messages: 7 years\n  at: '{at}'\n")
    with pytest.raises(ConfigError, match=r"config\.yaml:\d.*keep\.at"):
        load_config(tmp_path)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub that keeps 30 days and has an old and a new message, both worked off."""
    root = make_project(tmp_path / "project")
    with (root / "config.yaml").open("a") as config:
        config.write("keep: {messages: 30 days, at: '02:00'}\n")
    made = Hub.open(root)
    body = made.sample("lab/oru_potassium")
    long_ago = int(datetime.now().timestamp() * 1000) - 90 * DAY
    made.journal.append(
        [NewEntry("lab_oru", body, long_ago, "LAB", "", "OLD1", "ORU^R01", order_keys=("1",))]
    )
    made.take("lab_oru", "lab/oru_final")
    yield made
    made.close()


class Days:
    """A clock that a test turns; stops the keeper when its days are over."""

    def __init__(self, start: datetime, looks: int) -> None:
        self.now, self.looks, self.stop = start, looks, threading.Event()

    def __call__(self) -> datetime:
        self.looks -= 1
        if not self.looks:
            self.stop.set()
        return self.now


def keep(hub: Hub, now: datetime) -> str:
    """Run a keeper that finds this time on the clock, until it waits; return the day it last ran."""
    days = Days(now, 8)
    run_keeper(hub.config, hub.keyring, lambda _: None, days, days.stop)
    mark = hub.config.data_dir / "keep.last"
    return mark.read_text().strip() if mark.exists() else ""


def audited(hub: Hub) -> list[tuple[str, str, str]]:
    return [(r.who, r.action, r.detail) for r in hub.store.audit.rows() if r.action.startswith("keep:")]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_LOOK", 0.001)


def test_it_deletes_what_is_due_once_and_says_so(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    today = datetime.now().replace(hour=14)
    assert keep(hub, today) == ""  # the first time waits for its hour
    assert audited(hub) == []
    (hub.config.data_dir / "keep.last").write_text((today - timedelta(days=2)).date().isoformat() + "\n")
    assert keep(hub, today) == today.date().isoformat()
    begun, done = audited(hub)
    assert begun == ("hub", "keep:begin", "messages: 30 days")
    assert done[:2] == ("hub", "keep:done") and done[2].startswith("1 messages deleted, 0 kept")
    assert done[2].endswith("; entries 1-1")
    assert "1 messages deleted" in caplog.text and "lab_oru" in caplog.text
    with pytest.raises(UnreadableEntry, match="retention policy"):
        hub.journal.get(1)
    second = hub.journal.get(2)
    assert second is not None and second.body == hub.sample("lab/oru_final")
    assert keep(hub, today) == today.date().isoformat()  # not twice a day
    assert len(audited(hub)) == 2


def test_a_store_that_is_down_is_tried_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, calls = keeper._once, []

    def once(*arguments: object) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise StoreUnavailable("the core store cannot be read or written")
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(keeper, "_once", once)
    monkeypatch.setattr(keeper, "AGAIN", 0.0)
    today = datetime.now().replace(hour=14)
    (hub.config.data_dir / "keep.last").write_text("2020-01-01\n")
    assert keep(hub, today) == today.date().isoformat()
    assert len(calls) == 2 and "retention did not run" in caplog.text


def test_the_command_is_audited_and_a_dry_run_deletes_nothing(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(hub.root)
    run = CliRunner().invoke
    assert "1 messages would be deleted" in run(app, ["keep", "--dry-run"]).stdout
    assert audited(hub) == []
    assert "1 messages deleted" in run(app, ["keep"]).stdout
    assert [action for _, action, _ in audited(hub)] == ["keep:begin", "keep:done"]
    assert hub.store.audit.verify() is None


def test_studies_past_their_time_go_with_their_objects(hub: Hub) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset

    from engine.channels.node.opening import open_imaging
    from engine.cli.keep import keep_imaging
    from engine.kernel.clock import now_ms
    from engine.kernel.imaging import Linked, NewInstance, Peer

    config = hub.config.model_copy(update={"keep": KeepSettings(imaging="2 days")})
    imaging = open_imaging(config, hub.keyring)
    addresses = []
    for study, age in (("1.2.1", 3), ("1.2.2", 1)):
        arriving = imaging.objects.begin()
        arriving.write(study.encode())
        stored = imaging.objects.keep(arriving)
        header = Dataset()
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"{study}.9"
        header.StudyInstanceUID, header.SeriesInstanceUID = study, f"{study}.5"
        came = now_ms() - age * DAY
        imaging.index.add([NewInstance(int(study[-1]), Peer("imaging", "CT01"), stored, came, header)])
        imaging.index.tell(study, 1, 1, Linked("unmatched"))
        addresses.append(stored.address)
    imaging.close()
    assert keep_imaging(config, hub.keyring, hub.store, "test", dry_run=True) == [
        "1 studies would be deleted"
    ]
    (said,) = keep_imaging(config, hub.keyring, hub.store, "test")
    assert said.startswith("1 studies deleted")
    imaging = open_imaging(config, hub.keyring)
    assert imaging.index.study("1.2.1") is None and imaging.index.study("1.2.2") is not None
    assert imaging.objects.open(addresses[1]).read() == b"1.2.2"
    imaging.close()
    done = [row for row in hub.store.audit.rows(0, 1000) if row.what == "imaging"]
    assert [row.action for row in done] == ["keep:begin", "keep:done"]
