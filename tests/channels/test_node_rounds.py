"""What a node does beside its associations: commitments, forwarding, telling, bindings, until it is done."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "imaging"))

from imaging_samples import CT, new, uid

from engine.channels.node.again import wait_ms
from engine.channels.node.committing import GIVEN_UP, Commitments
from engine.channels.node.forwarding import Forwarding
from engine.channels.node.linked import Links
from engine.channels.node.reconcile import bind, reports_of, unbind
from engine.channels.node.rounds import Round
from engine.channels.node.teller import GROWING, Teller
from engine.imaging.index import SqlIndex
from engine.kernel.errors import HubError, StoreUnavailable
from engine.kernel.imaging import HeldInstance, HeldStudy, Linked, Peer
from engine.kernel.message import Accepted, NewEntry
from engine.listeners.dicom_settings import DicomPeer, DicomSettings
from engine.objects.folder import MissingObject
from engine.objects.sealed import DamagedObject
from engine.security.keys import Keyring
from engine.store.audit import Access

PEERS = [
    {"ae_title": "CT01", "host": "127.0.0.1", "port": 104},
    {"ae_title": "PACS", "host": "127.0.0.1", "port": 105},
    {"ae_title": "QA", "host": "127.0.0.1", "port": 106},
]
NODE = DicomSettings(
    port=0,
    ae_title="HUB",
    peers=PEERS,
    quiet_seconds=5,
    forward=[{"to": "PACS", "modality": ["CT"]}, {"to": "QA", "sender": ["MR01"]}],
)
NODES = {"imaging": NODE}
CT01 = Peer("imaging", "CT01", "127.0.0.1")


class Clock:
    now = 1_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[SqlIndex]:
    keyring = Keyring.open(tmp_path / "hub.key", existing_data=False)
    opened = SqlIndex.open(f"sqlite:///{tmp_path / 'imaging.db'}", keyring)
    yield opened
    opened.close()


# -- storage commitment ------------------------------------------------------------------------------------


@dataclass
class Reports:
    sent: list[Any] = field(default_factory=list)
    away: bool = False

    def __call__(
        self,
        node: DicomSettings,
        peer: DicomPeer,
        transaction: str,
        safe: Sequence[Any],
        failed: Sequence[Any],
    ) -> None:
        if self.away:
            raise HubError("cannot connect")
        self.sent.append((peer.ae_title, transaction, list(safe), list(failed)))


def opens(address: str) -> BytesIO:
    return BytesIO()


def test_a_commitment_says_what_is_safe_and_what_is_not(index: SqlIndex, clock: Clock) -> None:
    index.add([new(1)])
    asked = [(CT, uid(1, 1, 1)), (CT, uid(9, 9, 9)), ("1.2.840.10008.5.1.4.1.1.4", uid(1, 1, 1))]
    index.add_commitment("1.5", CT01, asked, clock.now)
    reports = Reports()
    commitments = Commitments(index, opens, reports, NODES, clock, lambda: 0.0)
    assert commitments.tick() == 1 and commitments.tick() == 0
    ((title, transaction, safe, failed),) = reports.sent
    assert (title, transaction, safe) == ("CT01", "1.5", [asked[0]])
    assert failed == [(*asked[1], 0x0112), (*asked[2], 0x0119)]


def test_a_commitment_does_not_vouch_for_one_of_two_that_have_one_uid(index: SqlIndex, clock: Clock) -> None:
    index.add([new(1), new(2, number=2), new(3, address="ff" * 16)])
    index.add_commitment("1.5", CT01, [(CT, uid(1, 1, 1)), (CT, uid(1, 1, 2))], clock.now)
    reports = Reports()
    Commitments(index, opens, reports, NODES, clock, lambda: 0.0).tick()
    ((_, _, safe, failed),) = reports.sent
    assert safe == [(CT, uid(1, 1, 2))] and failed == [(CT, uid(1, 1, 1), 0x0110)]


def test_a_commitment_looks_at_the_objects(index: SqlIndex, clock: Clock) -> None:
    index.add([new(n, number=n) for n in (1, 2, 3)])
    first, second, third = ((CT, uid(1, 1, n)) for n in (1, 2, 3))
    index.add_commitment("1.5", CT01, [first, second, third], clock.now)
    held = {index.look(sop).address: sop for _, sop in (first, second, third)}  # type: ignore[union-attr]
    away = [HubError("cannot be read"), OSError(5, "Input/output error")]

    def open(address: str) -> BytesIO:
        if away:
            raise away.pop()
        if held[address] == second[1]:
            raise MissingObject(address)
        if held[address] == third[1]:
            raise DamagedObject("this object cannot be opened")
        return BytesIO()

    reports = Reports()
    commitments = Commitments(index, open, reports, NODES, clock, lambda: 0.0)
    for tries in (1, 2):  # not known now: nothing is said of any
        assert commitments.tick() == 0 and reports.sent == []
        clock.now += wait_ms(tries, 0.0)
    assert commitments.tick() == 1
    ((_, _, safe, failed),) = reports.sent
    assert safe == [first] and failed == [(*second, 0x0112), (*third, 0x0110)]


def test_a_peer_that_is_away_is_answered_later_also_after_a_restart(index: SqlIndex, clock: Clock) -> None:
    index.add([new(1)])
    index.add_commitment("1.5", CT01, [(CT, uid(1, 1, 1))], clock.now)
    reports = Reports(away=True)
    assert Commitments(index, opens, reports, NODES, clock, lambda: 0.0).tick() == 0
    reports.away = False
    again = Commitments(index, opens, reports, NODES, clock, lambda: 0.0)
    assert again.tick() == 0  # not at once
    clock.now += wait_ms(1, 0.0)
    assert again.tick() == 1 and len(reports.sent) == 1


def test_a_peer_that_stays_away_is_given_up_after_a_week(index: SqlIndex, clock: Clock) -> None:
    index.add_commitment("1.5", CT01, [(CT, uid(1, 1, 1))], clock.now)
    commitments = Commitments(index, opens, Reports(away=True), NODES, clock, lambda: 0.0)
    clock.now += GIVEN_UP + 1
    commitments.tick()
    assert index.counts()["commitments"] == 0


# -- forwarding --------------------------------------------------------------------------------------------


@dataclass
class Result:
    sop_instance: str
    kind: str
    why: str = ""


@dataclass
class Archive:
    takes: dict[str, str] = field(default_factory=dict)  # SOP instance -> kind, else sent
    got: list[tuple[str, str]] = field(default_factory=list)
    away: bool = False

    def __call__(
        self, node: DicomSettings, peer: DicomPeer, held: Sequence[HeldInstance]
    ) -> Iterator[Result]:
        if self.away:
            raise HubError("cannot connect")
        for one in held:
            kind = self.takes.get(one.sop_instance, "sent")
            if kind == "sent":
                self.got.append((peer.ae_title, one.sop_instance))
            yield Result(one.sop_instance, kind, "" if kind == "sent" else "it said no")


class Sender(Forwarding):
    """All rounds of forwarding, one after the other."""

    def tick(self) -> int:
        self.fill()
        return sum(self.empty(*one) for one in self.destinations)


def forwarding(index: SqlIndex, archive: Archive, clock: Clock) -> Sender:
    made = Sender(index, index.look, archive, NODES, clock, lambda: 0.0)
    made.begin()
    return made


def test_what_a_rule_names_goes_on_once(index: SqlIndex, clock: Clock) -> None:
    archive = Archive()
    one = forwarding(index, archive, clock)
    index.add([new(1, 1, 1, 1), new(2, 1, 1, 2), new(3, 2, 1, 1, Modality="MR")])
    assert one.tick() == 2 and one.tick() == 0
    assert archive.got == [("PACS", uid(1, 1, 1)), ("PACS", uid(1, 1, 2))]
    index.add([new(4, 1, 1, 3)])
    assert forwarding(index, archive, clock).tick() == 1  # a new process goes on where the old one was
    assert archive.got[-1] == ("PACS", uid(1, 1, 3))


def test_a_destination_that_is_away_gets_it_later_and_keeps_nobody_waiting(
    index: SqlIndex, clock: Clock
) -> None:
    archive = Archive(away=True)
    one = forwarding(index, archive, clock)
    index.add([new(1)])
    assert one.tick() == 0
    archive.away = False
    assert one.tick() == 0 and index.backlog()["imaging/PACS"].waiting == 1
    clock.now += wait_ms(1, 0.0)
    assert one.tick() == 1 and not index.backlog()


def test_what_is_refused_for_good_is_parked_and_sent_again_when_told(index: SqlIndex, clock: Clock) -> None:
    archive = Archive(takes={uid(1, 1, 1): "park"})
    one = forwarding(index, archive, clock)
    index.add([new(1, 1, 1, 1), new(2, 1, 1, 2)])
    assert one.tick() == 1
    assert index.backlog()["imaging/PACS"].parked == 1
    archive.takes.clear()
    assert index.send_again("imaging/PACS") == 1
    assert one.tick() == 1 and archive.got[-1] == ("PACS", uid(1, 1, 1))


def test_nothing_goes_back_to_where_it_came_from(index: SqlIndex, clock: Clock) -> None:
    archive = Archive()
    one = forwarding(index, archive, clock)
    index.add([new(1, peer=Peer("imaging", "PACS", "127.0.0.1"))])
    assert one.tick() == 0 and not archive.got


def test_what_was_held_before_there_was_a_rule_stays(index: SqlIndex, clock: Clock) -> None:
    index.add([new(1, 1, 1, 1), new(2, 1, 1, 2)])
    archive = Archive()
    assert forwarding(index, archive, clock).tick() == 0
    index.add([new(3, 1, 1, 3)])  # and what came before the next start does not
    assert forwarding(index, archive, clock).tick() == 1 and archive.got == [("PACS", uid(1, 1, 3))]


def test_an_object_that_makes_a_fault_stops_no_other(index: SqlIndex, clock: Clock) -> None:
    class Faulty(Archive):
        def __call__(self, node: Any, peer: Any, held: Sequence[HeldInstance]) -> Iterator[Result]:
            for one in held:
                if one.sop_instance == uid(1, 1, 1):
                    raise ValueError("DOE^JO")
                yield from super().__call__(node, peer, [one])

    archive = Faulty()
    one = forwarding(index, archive, clock)
    index.add([new(1, 1, 1, 1), new(2, 1, 1, 2)])
    assert one.tick() == 0 and one.tick() == 1  # the first waits now, the second went
    assert archive.got == [("PACS", uid(1, 1, 2))] and index.backlog()["imaging/PACS"].waiting == 1


def test_pauses_grow_and_are_not_all_alike() -> None:
    pauses = [wait_ms(n, 0.0) for n in range(1, 20)]
    assert pauses == sorted(pauses) and pauses[0] == 5_000 and pauses[-1] == 900_000
    assert wait_ms(3, 0.9) < wait_ms(3, 0.0)


# -- telling -----------------------------------------------------------------------------------------------


@dataclass
class Journal:
    entries: list[NewEntry] = field(default_factory=list)

    def append(self, entries: Sequence[NewEntry]) -> list[Accepted]:
        self.entries += entries
        return [Accepted(1000 + len(self.entries))]


def teller(index: SqlIndex, journal: Journal, clock: Clock) -> Teller:
    def link(study: HeldStudy) -> Linked:
        return Linked("linked", by="accession", patient=("urn:oid:1.2", "P1"), patient_id="p")

    return Teller(index, journal.append, link, NODES, "https://hub/dicomweb", clock)


def test_a_study_is_told_when_it_has_been_quiet(index: SqlIndex, clock: Clock) -> None:
    journal = Journal()
    one = teller(index, journal, clock)
    index.add([new(1, 1, 1, 1, at=clock.now), new(2, 1, 1, 2, at=clock.now)])
    assert one.tick() == 0
    clock.now += 5_001
    assert one.tick() == 1 and one.tick() == 0
    (entry,) = journal.entries
    assert entry.body.startswith(b'{"dicom study": 1,') and entry.message_type == "dicom study"
    said = json.loads(entry.body)
    assert said["uid"] == uid(1) and len(said["series"][0]["instances"]) == 2
    assert said["link"]["patient"] == {"system": "urn:oid:1.2", "value": "P1"}
    assert entry.order_keys == ("NORTH|P1", f"study|{uid(1)}")
    index.add([new(3, 1, 1, 3, at=clock.now)])
    clock.now += 5_001
    assert one.tick() == 1 and len(json.loads(journal.entries[-1].body)["series"][0]["instances"]) == 3


def test_a_study_that_never_rests_is_told_every_minute(index: SqlIndex, clock: Clock) -> None:
    journal = Journal()
    one = teller(index, journal, clock)
    began = clock.now
    for n in range(1, 40):
        clock.now = began + n * 4_000
        index.add([new(n, 1, 1, n, at=clock.now)])
        one.tick()
    assert len(journal.entries) == (39 * 4_000 - 4_000) // GROWING


def test_a_journal_that_is_away_is_told_later(index: SqlIndex, clock: Clock) -> None:
    class Away(Journal):
        def append(self, entries: Sequence[NewEntry]) -> list[Accepted]:
            raise StoreUnavailable("the journal is away")

    index.add([new(1, at=clock.now)])
    clock.now += 10_000
    with pytest.raises(StoreUnavailable):
        teller(index, Away(), clock).tick()
    journal = Journal()
    assert teller(index, journal, clock).tick() == 1


def test_a_study_that_cannot_be_told_holds_up_no_other(
    index: SqlIndex, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal()
    broken = [uid(1)]

    def link(study: HeldStudy) -> Linked:
        if study.uid in broken:
            raise ValueError("MUSTER^PERSON1")
        return Linked("unmatched", "no-order")

    one = Teller(index, journal.append, link, NODES, "", clock)
    index.add([new(1, 1, at=clock.now), new(2, 2, at=clock.now)])
    clock.now += 5_001
    assert one.tick() == 1 and json.loads(journal.entries[0].body)["uid"] == uid(2)
    assert "MUSTER" not in caplog.text and "ValueError" in caplog.text
    broken.clear()
    assert one.tick() == 0  # not at once
    clock.now += wait_ms(1, 0.0)
    assert one.tick() == 1


def test_a_study_with_images_of_two_patients_is_nobody_s(index: SqlIndex) -> None:
    class Words:
        own = "urn:hub:own/id/"

        def authority_uri(self, name: str) -> str:
            return ""

    links = Links(Empty(), index, NODES, {"imaging": Words()})
    index.add([new(1, 1, 1, 1), new(2, 1, 1, 2, PatientID="P9", PatientName="OTHER^PERSON")])
    study = index.study(uid(1))
    assert study is not None
    assert links.of(study) == Linked("mismatch", "patient-differs-inside-study")
    index.bind(uid(1), "p1", "", "cli:ann", "both are hers", 5)
    bound = index.study(uid(1))
    assert bound is not None and links.of(bound).reason == "bound-to-nobody"  # decided by hand now


# -- bindings ----------------------------------------------------------------------------------------------


@dataclass
class Page:
    resources: list[Any]
    cursor: str | None = None


class Empty:
    """A core store that holds nothing."""

    def read(self, type: str, id: str) -> None:
        return None

    def search(self, type: str, parameters: Any, count: int = 50, cursor: str | None = None) -> Any:
        return Page([])

    def feed(self, since: int = 0, limit: int = 100) -> list[Any]:
        return []

    def head(self) -> int:
        return 0


class Core:
    """A core store with two patients and an order."""

    def __init__(self) -> None:
        self.rows: list[Access] = []
        self.audit = self
        self.held = {
            "Patient/p1": {"resourceType": "Patient", "id": "p1"},
            "Patient/p2": {"resourceType": "Patient", "id": "p2"},
            "ServiceRequest/s1": {
                "resourceType": "ServiceRequest",
                "id": "s1",
                "subject": {"reference": "Patient/p1"},
            },
        }

    def record(self, *rows: Access) -> None:
        self.rows += rows

    def read(self, type: str, id: str) -> Any:
        return self.held.get(f"{type}/{id}")

    def search(self, type: str, parameters: Any, count: int = 50) -> Any:
        found = [self.held["Patient/p1"]] if parameters == [("identifier", "urn:x|77")] else []
        return Page(found)


def test_a_binding_is_kept_audited_and_told(index: SqlIndex) -> None:
    core = Core()
    index.add([new(1)])
    before = index.study(uid(1))
    assert bind(core, index, uid(1), patient="", order="s1", who="cli:ann", why="log book", at=5) == (
        "p1",
        "s1",
    )
    assert index.bound(uid(1)) == ("p1", "s1", "cli:ann", "log book")
    after = index.study(uid(1))
    assert before is not None and after is not None and after.version > before.version
    assert [(r.action, r.what) for r in core.rows] == [("imaging:bind", "Patient/p1")]
    unbind(core, index, uid(1), who="cli:ann", why="wrong")
    assert index.bound(uid(1)) is None and core.rows[-1].action == "imaging:unbind"


def test_whoever_binds_is_told_of_reports(index: SqlIndex) -> None:
    report = "1.2.840.10008.5.1.4.1.1.88.33"
    index.add([new(1), new(2, 1, 2, 1, SOPClassUID=report, Modality="SR"), new(3, 2)])
    assert reports_of(index, uid(1)) == [2] and reports_of(index, uid(2)) == []


@pytest.mark.parametrize(
    ("patient", "order", "why", "what"),
    [
        ("p2", "s1", "x", "the order is another patient's"),
        ("", "", "x", "nobody is named"),
        ("p9", "", "x", "there is no Patient with this id"),
        ("urn:x|99", "", "x", "no Patient has this number"),
        ("p1", "", " ", "a binding needs a reason"),
    ],
)
def test_a_binding_that_is_not_sure_is_refused(
    index: SqlIndex, patient: str, order: str, why: str, what: str
) -> None:
    core = Core()
    index.add([new(1)])
    with pytest.raises(HubError, match=what):
        bind(core, index, uid(1), patient=patient, order=order, who="cli:ann", why=why, at=5)
    assert index.bound(uid(1)) is None and not core.rows


# -- rounds ------------------------------------------------------------------------------------------------


def test_a_round_that_fails_goes_on_and_its_log_quotes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()
    tries: list[int] = []

    def tick() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError("DOE^JO 77")
        done.set()

    one = Round("a test", tick, 0.01)
    one.start()
    assert done.wait(20)
    one.stop()
    assert "DOE" not in caplog.text and "ValueError" in caplog.text
