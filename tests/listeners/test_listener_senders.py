"""What a damaged header says of its sender stays unreadable; what a sound one says is shown."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from engine.channels.definition import load_channels
from engine.channels.opening import open_journal, open_keyring, open_store, prepare_folder
from engine.channels.pipeline import Pipeline
from engine.channels.replay import ask_replay
from engine.channels.worker import Worker
from engine.formats.hl7v2.header import peek
from engine.kernel.config import load_config
from engine.listeners.intake import Intake
from engine.listeners.metrics import Metrics
from engine.listeners.mllp import MllpPort
from engine.listeners.senders import KnownSender, Senders, concealed_by
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
GOOD = "MSH|^~\\&|{0}|{1}|HUB|MERCY|20260504101500||ORU^R01^ORU_R01|C1|P|2.5.1"
PID = "PID|1||55012^^^LSP^MR||Quillfeather^Zenobia||19750314|F"
ACME = KnownSender(match=(("MSH-3", ("ACME*",)),), authority="ACME")


def keyed(domain: str, text: str) -> bytes:
    return blake2b(f"{domain} {text}".encode(), key=b"k" * 32).digest()


def name(header: str, pid: str = PID, known: tuple[KnownSender, ...] = ()) -> str:
    message = f"{header}\r{pid}\r".encode()
    return Senders("lab", "", known, conceal=concealed_by(keyed)).facts(peek(message), message)[0]


@pytest.mark.parametrize(
    ("application", "facility"),
    [
        ("ANALYZER", "NORTHLAB"),
        ("ADT1", "GOOD HEALTH HOSPITAL"),
        ("", "NORTH"),
        ("", ""),
        ("Epic-1.2", "St_Mary (East)"),
        ("LAB^2.16.840.1.113883.19^ISO", "NORTH^11D0265516^CLIA"),
        ("LAB^^", "NORTH"),
    ],
)
def test_names_of_applications_are_shown(application: str, facility: str) -> None:
    assert name(GOOD.format(application, facility)) == f"{application}|{facility}"


@pytest.mark.parametrize(
    ("application", "facility"),
    [
        ("LAB", "Quillfeather^Zenobia"),
        ("LAB", "Quillfeather^Zenobia^M"),
        ("LAB", "QUILLFEATHER"),
        ("LAB", "Zenobia Quillfeather"),
        ("ZENOBIA", "NORTH"),
        ("LAB", "Quillfeather, Zenobia"),
        ("LAB", "M\xfcller"),
        ("LAB", "x" * 70),
        ("LAB", "a^b^c^d"),
    ],
)
def test_what_may_be_a_patients_is_concealed(application: str, facility: str) -> None:
    shown = name(GOOD.format(application, facility))
    assert shown.startswith("unrecognised sender #") and "uill" not in shown.lower()
    assert shown == name(GOOD.format(application, facility))  # the same sender is the same again
    assert shown != name(GOOD.format(application, facility + "y"))


@pytest.mark.parametrize("at", range(3, 9))
def test_a_header_with_a_field_too_many_or_too_few_is_concealed(at: int) -> None:
    fields = GOOD.format("LAB", "NORTH").split("|")
    more = "|".join([*fields[: at - 1], "Quillfeather", *fields[at - 1 :]])
    fewer = "|".join([*fields[: at - 1], *fields[at:]])
    for damaged in (more, fewer):
        assert name(damaged).startswith("unrecognised sender #"), damaged


def test_a_sender_that_a_site_file_knows_is_shown_whatever_the_rest() -> None:
    header = "MSH|^~\\&|ACMELIS|Quillfeather||||||||"
    assert name(header, known=(ACME,)) == "ACMELIS|Quillfeather"
    assert name(header).startswith("unrecognised sender #")


def test_a_patient_called_like_a_part_of_the_hospital_conceals_nothing() -> None:
    assert name(GOOD.format("LAB", "ST MARY"), "PID|1||1||MARY^ANN") == "LAB|ST MARY"


def test_without_a_key_the_words_hold_for_one_process() -> None:
    message = f"{GOOD.format('LAB', 'a^b')}\r".encode()
    one, other = (Senders("lab").facts(peek(message), message)[0] for _ in range(2))
    assert one != other


class _Line:
    """A connection that takes every answer."""

    peer = "192.0.2.7"

    def answer(self, acks: list[bytes], frames: int) -> None: ...

    def abandon(self) -> None: ...

    def hold(self, on: bool) -> None: ...

    def stop(self, reason: str) -> None: ...


@pytest.fixture
def hub(tmp_path: Path) -> Any:
    """A hub's listener, journal, worker and store in this process, on the shipped maps."""
    (tmp_path / "channels").mkdir()
    (tmp_path / "channels/lab.yaml").write_text("channel: lab\nreceive: {mllp: {port: 2580}}\n")
    for folder in ("mappings", "terminology"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    config = load_config(tmp_path)
    prepare_folder(config)
    keyring = open_keyring(config)
    channels = load_channels(tmp_path)
    journal, store = open_journal(config, keyring), open_store(config, keyring)
    turns: list[Callable[[], None]] = []
    intake = Intake(journal, turns.append, Metrics(), lambda: 0.0)
    assert channels[0].mllp is not None
    conceal = concealed_by(keyring.mac16)
    port = MllpPort(channels[0].mllp, intake, Metrics(), lambda: 0.0, None, None, conceal)  # type: ignore[arg-type]
    worker = Worker(journal, store, Pipeline(Maps.open(tmp_path), channels, keyring.mac16))

    class Hub:
        def take(self, *messages: bytes) -> None:
            for message in messages:
                intake.accept(_Line(), port.source, message)
            while turns:
                turns.pop()()
            while worker.step():
                pass

    made = Hub()
    made.journal, made.store, made.channels, made.root = journal, store, channels, tmp_path  # type: ignore[attr-defined]
    yield made
    store.close()
    journal.close()


def test_no_file_holds_the_name_that_stood_in_a_header(hub: Any) -> None:
    body = f"\r{PID}\rOBR|1||F1^LAB|718-7^Hgb^LN\rOBX|1|NM|718-7^Hgb^LN||13.2|g/dL|||||F\r"
    shifted = "MSH|^~\\&|LAB|Quillfeather^Zenobia|NORTH|HUB|MERCY|20260504101500||ORU^R01^ORU_R01|C2|P|2.5.1"
    in_place = GOOD.format("LAB", "Quillfeather^Zenobia")
    hub.take(
        (shifted + body).encode(), (in_place + body).encode(), (GOOD.format("LAB", "EAST") + body).encode()
    )
    senders = [e.sender for e in hub.journal.read(0, 9)]
    assert [s.startswith("unrecognised sender #") for s in senders] == [True, True, False]
    found = [hub.store.outcome(n) for n in (1, 2, 3)]
    assert all(o is not None for o in found)
    hub.journal.close()
    files = [p for p in (hub.root / "var").rglob("*") if p.is_file()]
    assert any(p.stat().st_size > 4096 for p in files)
    for path in files:
        data = path.read_bytes().lower()
        for word in (b"quillfeather", b"zenobia", b"55012"):
            assert word not in data, (path.name, word)
    assert any(b"lab|east" in p.read_bytes().lower() for p in files)  # the search looks where names would be


def test_a_replay_waits_in_the_lanes_of_its_origin(hub: Any) -> None:
    body = f"{GOOD.format('LAB', 'EAST')}\r{PID.replace('^^^LSP^MR', '')}\r".encode()
    hub.take(body)
    (_, lanes), *_ = hub.journal.heads(0, 1)
    again = ask_replay(hub.journal, 1, "ada", "once more", channels=hub.channels).id
    assert hub.journal.heads(again - 1, 1) == [(again, lanes)]
    edited = ask_replay(hub.journal, 1, "ada", "mended", body.replace(b"55012", b"88"), hub.channels).id
    (_, wider), *_ = hub.journal.heads(edited - 1, 1)
    hub.take(body.replace(b"55012", b"88").replace(b"|C1|", b"|C9|"))
    (_, other), *_ = hub.journal.heads(edited, 1)
    assert set(wider) == set(lanes) | set(other)
