"""The watched folder: when a file is taken, what is kept of it, and what a crash at any point leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from files_bench import Hub, PowerCut
from listener_bench import oru

from engine.journal.sql import SqlJournal
from engine.kernel.errors import ConfigError, StoreUnavailable
from engine.listeners.ack_rules import AckSettings
from engine.listeners.file_settings import FolderSettings
from engine.listeners.files import Interrupted
from engine.listeners.folder import check_folder
from engine.security.keys import Keyring

HubOf = Callable[..., Hub]


@pytest.fixture
def hub_of(tmp_path: Path) -> Iterator[HubOf]:
    made: list[Hub] = []

    def make(**words: Any) -> Hub:
        made.append(Hub(tmp_path, **words))
        return made[-1]

    yield make
    for hub in made:
        hub.close()


def many(count: int, first: int = 0) -> bytes:
    return b"".join(oru(b"N%d" % n) for n in range(first, first + count))


def test_a_file_at_rest_is_taken_and_moved_to_done(hub_of: HubOf) -> None:
    hub = hub_of()
    hub.put("a.hl7", oru(b"A"))
    hub.look()
    assert hub.ids() == [] and hub.there() == ["a.hl7"]
    hub.look()
    assert hub.ids() == ["A"] and hub.there() == [] and hub.there("done") == ["a.hl7"]
    (entry,) = hub.entries()
    assert entry.body == oru(b"A") and "message 1 of a.hl7" in entry.reason and entry.kind == "message"
    assert not list((hub.root / "var/files/lab").glob("*.json"))


def test_a_file_that_grows_is_left_until_it_rests_and_holds_those_after_it(hub_of: HubOf) -> None:
    hub = hub_of()
    hub.put("old.hl7", oru(b"OLD"), age=50)
    path = hub.put("grows.hl7", oru(b"G1"), age=20)
    hub.put("new.hl7", oru(b"NEW"), age=0)
    hub.look()
    with path.open("ab") as file:
        file.write(oru(b"G2"))
    os.utime(path, (1_700_000_000 - 20, 1_700_000_000 - 20))
    hub.look()
    assert hub.ids() == ["OLD"]
    hub.look()
    assert hub.ids() == ["OLD", "G1", "G2", "NEW"]


def test_a_file_renamed_into_place_when_it_is_finished(hub_of: HubOf) -> None:
    hub = hub_of(stable_for=0)
    path = hub.put("a.tmp", oru(b"A"))
    hub.look(3)
    assert hub.ids() == [] and hub.there() == ["a.tmp"]
    path.rename(path.with_name("a.hl7"))
    hub.look()
    assert hub.ids() == ["A"]


def test_a_batch_without_its_trailer_waits_longer_and_is_taken_in_the_end(hub_of: HubOf) -> None:
    hub = hub_of()
    head = b"FHS|^~\\&|A\rBHS|^~\\&|A\r"
    hub.put("half.hl7", head + many(2))
    hub.put("whole.hl7", head + many(2, 10) + b"BTS|2\rFTS|1\r", age=9)
    hub.look(3)
    assert hub.ids() == ["N10", "N11"]
    hub.look(8)
    assert hub.ids() == ["N10", "N11", "N0", "N1"]
    reasons = [e.reason for e in hub.entries()]
    assert reasons[0].endswith("; around the messages: FHS|^~\\&|A BHS|^~\\&|A")
    assert reasons[1].endswith("; around the messages: BTS|2 FTS|1")


def test_large_files_are_taken_in_many_appends_in_their_order(hub_of: HubOf) -> None:
    hub = hub_of()
    hub.put("large.hl7", many(1000))
    hub.look(2)
    assert hub.ids() == [f"N{n}" for n in range(1000)] and hub.journal.sizes == [300, 300, 300, 100]


@pytest.mark.parametrize(
    ("data", "kinds", "to"),
    [
        (b"%PDF-1.7 nothing to read", ["garbage"], "error"),
        (b"junk before\r" + oru(b"A"), ["garbage", "message"], "done"),
        (oru(b"A") + oru(b""), ["message", "refused"], "done"),
        (b"BHS|^~\\&|A\r" + oru(b"A") + b"BTS|3\r", ["message", "garbage"], "done"),
        (b"\xef\xbb\xbf" + oru(b"A").replace(b"\r", b"\r\n"), ["message"], "done"),
        (oru(b"A").decode().encode("utf-16"), ["message"], "done"),
        (b"", [], "error"),
        (oru(b"A") + oru(b"B").replace(b"13.2", b"x" * 5000), ["message", "garbage"], "error"),
    ],
)
def test_what_is_not_readable_is_kept_and_shown(
    data: bytes, kinds: list[str], to: str, hub_of: HubOf, caplog: pytest.LogCaptureFixture
) -> None:
    hub = hub_of(max_message_bytes=4096)
    hub.put("DOE_JOHN.hl7", data)
    hub.look(2)
    assert [e.kind for e in hub.entries()] == kinds and hub.there(to) == ["DOE_JOHN.hl7"]
    assert "DOE" not in caplog.text and "DOE" not in hub.metrics.text()
    assert (hub.inbox / to / "DOE_JOHN.hl7").read_bytes() == data


def test_every_row_of_the_table_counts(hub_of: HubOf) -> None:
    hub = hub_of(rules=AckSettings(accept=[{"type": "ADT"}]))
    hub.put("a.hl7", oru(b"A") + b"MSH|x")
    hub.look(2)
    assert {e.kind for e in hub.entries()} >= {"refused"}
    assert hub.metrics.value("hub_files_messages_total", (("channel", "lab"), ("row", "wrong-type"))) == 1


@pytest.mark.parametrize("duplicates", ["skip", "flag"])
@pytest.mark.parametrize("cut", [("before", 0), ("before", 2), ("after", 1), ("after", 3)])
def test_a_power_cut_loses_nothing_and_doubles_nothing(
    cut: tuple[str, int], duplicates: str, hub_of: HubOf
) -> None:
    """Also of a channel that keeps duplicates, and of messages that have no control id of their own."""
    hub = hub_of(duplicates=duplicates)
    hub.put("big.hl7", b"junk\r" + many(400) + oru(b"") + many(300, 400) + b"BTS|9\r")
    hub.look()
    setattr(hub.journal, *cut)
    with pytest.raises(PowerCut):
        hub.look()
    hub.start()
    hub.look()
    entries = hub.entries()
    assert hub.ids() == [f"N{n}" for n in range(700)]
    assert sum(e.kind == "refused" for e in entries) == 1 and sum(e.kind == "garbage" for e in entries) == 1
    assert hub.there("done") == ["big.hl7"] and hub.there(".in-progress") == []


@pytest.mark.parametrize("step", ["_move", "_take"])
def test_a_power_cut_between_the_journal_and_the_move(
    step: str, hub_of: HubOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = hub_of(duplicates="flag")
    hub.put("a.hl7", oru(b"A") + oru(b""))
    hub.look()
    original = getattr(hub.folder, step)

    def cut(*given: Any) -> None:
        if step == "_take":
            original(*given)
        raise PowerCut

    monkeypatch.setattr(hub.folder, step, cut)
    with pytest.raises(PowerCut):
        hub.look()
    assert hub.there(".in-progress") == ["a.hl7"]
    hub.start()
    hub.look()
    assert [e.kind for e in hub.entries()] == ["message", "refused"] and hub.there("done") == ["a.hl7"]


def test_the_same_file_again_is_the_journals_duplicate_and_keeps_both_files(hub_of: HubOf) -> None:
    hub = hub_of()
    for _ in range(2):
        hub.put("a.hl7", oru(b"A") + b"\x1cjunk\rMSH no")
        hub.look(3)
    assert hub.ids() == ["A"] and hub.there("done") == ["a.hl7", "a.hl7.2"]
    hub.put("a.hl7", oru(b"A").replace(b"13.2", b"13.3"))
    hub.look(3)
    assert hub.ids() == ["A", "A"] and hub.entries()[-1].conflicts_with


def test_a_journal_that_cannot_write_and_a_stop_leave_the_file_for_later(hub_of: HubOf) -> None:
    hub = hub_of()
    hub.put("a.hl7", many(5))
    hub.look()
    hub.journal.fail = StoreUnavailable("disk full")
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            hub.look()
    assert hub.there(".in-progress") == ["a.hl7"] and hub.there("done") == []
    hub.journal.fail = None
    hub.stop = True
    with pytest.raises(Interrupted):
        hub.look()
    hub.stop = False
    hub.look()
    assert len(hub.ids()) == 5 and hub.there("done") == ["a.hl7"]


def test_no_link_is_followed_and_nothing_but_plain_files_is_opened(hub_of: HubOf, tmp_path: Path) -> None:
    hub = hub_of()
    secret = tmp_path / "secret.hl7"
    secret.write_bytes(oru(b"SECRET"))
    (hub.inbox / "link.hl7").symlink_to(secret)
    os.mkfifo(hub.inbox / "pipe.hl7")
    (hub.inbox / "folder.hl7").mkdir()
    (hub.inbox / ".hidden.hl7").write_bytes(oru(b"HIDDEN"))
    (hub.inbox / ".in-progress/left.hl7").symlink_to(secret)
    hub.look(3)
    assert hub.entries() == [] and secret.exists()
    assert (hub.inbox / "error/left.hl7").is_symlink()
    assert (
        hub.metrics.value("hub_files_skipped_total", (("channel", "lab"), ("reason", "no-plain-file"))) == 2
    )


def test_a_file_written_to_while_it_is_taken_is_taken_again(
    hub_of: HubOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = hub_of()
    held = hub.put("a.hl7", oru(b"A")).open("ab")
    hub.look()
    take = hub.folder._take

    def and_written_to(*given: Any) -> None:
        take(*given)
        held.write(oru(b"B"))
        held.flush()
        monkeypatch.setattr(hub.folder, "_take", take)

    monkeypatch.setattr(hub.folder, "_take", and_written_to)
    hub.look()
    assert hub.ids() == ["A"] and hub.there(".in-progress") == ["a.hl7"]
    hub.look(2)
    assert hub.ids() == ["A", "B"] and hub.there("done") == ["a.hl7"]


def test_a_folder_that_cannot_be_used_is_said_at_the_start(tmp_path: Path, hub_of: HubOf) -> None:
    with pytest.raises(ConfigError, match="is no folder"):
        check_folder(FolderSettings(path=Path("nowhere")).below(tmp_path), "x")
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    with pytest.raises(ConfigError, match="a symbolic link"):
        check_folder(FolderSettings(path=tmp_path / "link").below(Path("/")), "x")
    with pytest.raises(ConfigError, match="cannot be moved"):
        check_folder(FolderSettings(path=Path("there"), done=Path("/proc/x")).below(tmp_path), "x")
    with pytest.raises(ConfigError, match="of its own"):
        check_folder(FolderSettings(path=Path("there"), done=Path(".")).below(tmp_path), "x")
    hub = hub_of()
    other = type(hub.folder)
    assert hub.folder is not None
    with pytest.raises(ConfigError, match="watched already"):
        again = object.__new__(other)
        again.__dict__ |= vars(hub.folder) | {"_lock": -1}
        again.open()


def _process(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("files_process.py")), str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def test_kill_9_again_and_again_takes_every_message_once(tmp_path: Path) -> None:
    """A real process, killed while it takes files; refused messages have no control id of their own."""
    inbox = tmp_path / "in"
    inbox.mkdir()
    wanted = []
    for n in range(12):
        ids = [f"F{n}-{i}" for i in range(150)]
        wanted += ids
        data = b"".join(oru(i.encode()) for i in ids) + oru(b"").replace(b"13.2", b"%d.5" % n)
        (inbox / f"{n:02}.hl7").write_bytes(data)
        os.utime(inbox / f"{n:02}.hl7", (1_700_000_000 + n, 1_700_000_000 + n))
    for pause in (0.0, 0.05):
        process = _process(tmp_path)
        assert process.stdout is not None and json.loads(process.stdout.readline())
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    process = _process(tmp_path)
    assert process.stdout is not None and json.loads(process.stdout.readline())
    until = time.monotonic() + 60
    while len(list((inbox / "done").glob("*.hl7"))) < 12 and time.monotonic() < until:
        time.sleep(0.05)
    process.terminate()
    assert process.wait(20) == 0
    keyring = Keyring.open(tmp_path / "keys", existing_data=True)
    journal = SqlJournal.open(f"sqlite:///{tmp_path}/journal.db", keyring)
    entries = journal.read(0, 100_000)
    journal.close()
    assert [e.control_id for e in entries if e.kind == "message"] == wanted
    assert len([e for e in entries if e.kind == "refused"]) == 12
    assert 'hub_files_trouble{channel="lab"} 0' in (tmp_path / "metrics/files.prom").read_text()
