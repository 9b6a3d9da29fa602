"""Documents, claims and prescriptions at the door: what is kept and answered, over HTTP and from a folder."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from files_bench import Hub, PowerCut
from hypothesis import given, settings
from hypothesis import strategies as st
from listener_bench import oru
from test_listener_http import Bench, Client
from twisted.internet import defer

from engine.formats.x12.segments import read_segments
from engine.kernel.errors import StoreUnavailable
from engine.kernel.message import Accepted
from engine.listeners import otherfiles
from engine.listeners.accepting import AckX12, Takes, read_takes
from engine.listeners.ack_rules import AckSettings
from engine.listeners.mail import mail_of

SAMPLES = Path(__file__).parents[2] / "sample_messages"
CCD = (SAMPLES / "cda/ccd.xml").read_bytes()
CLAIMS = (SAMPLES / "x12/837P_professional_claim.x12").read_bytes()
PAID = (SAMPLES / "x12/835_payment.x12").read_bytes()
NEWRX = (SAMPLES / "ncpdp/newrx_2017071.xml").read_bytes()


def rules(*words: str, **more: Any) -> AckSettings:
    """Return the settings of a channel that accepts these words; test data too."""
    takes = tuple(t for w in words if (t := read_takes(w)) is not None)
    others = tuple(t for t in takes if t.format != "hl7v2")
    more = {"processing_id": ("P", "T"), **more}
    return AckSettings(others=others, v2=len(others) < len(takes), **more)


def post(settings: AckSettings, body: bytes, kind: str = "") -> tuple[Bench, Client]:
    bench = Bench(settings)
    bench.port.in_thread = defer.maybeDeferred
    client = bench.connect().post(body, Content_Type=kind or "application/octet-stream")
    bench.turn()
    return bench, client


def test_a_document_is_kept_with_what_its_header_says() -> None:
    bench, client = post(rules("cda"), CCD, "application/cda+xml")
    (entry,) = bench.journal.entries
    assert (entry.kind, entry.message_type, entry.body) == ("message", "cda 34133-9", CCD)
    assert entry.control_id == "2.16.840.1.113883.19.77.1^CCD-1"
    assert entry.sender == "2.16.840.1.113883.19.77.9"
    assert "2.16.840.1.113883.19.77.3|H-40271" in entry.order_keys
    assert client.responses[-1][::2] == (200, b"kept as entry 1\n")


def test_nothing_is_answered_before_the_journal_has_it_and_503_when_it_cannot() -> None:
    bench = Bench(rules("cda"))
    bench.port.in_thread = defer.maybeDeferred
    client = bench.connect().post(CCD, Content_Type="text/xml")
    assert not client.statuses
    bench.journal.fail = StoreUnavailable("no disk")
    bench.turn()
    assert client.statuses == [503] and not bench.journal.entries


def test_the_same_document_again_is_a_duplicate() -> None:
    bench, _ = post(rules("cda"), CCD)
    again = bench.connect().post(CCD, Content_Type="")
    bench.turn()
    assert len(bench.journal.entries) == 1 and again.responses[-1][::2] == (200, b"kept as entry 1\n")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (CCD[:400], b"cannot be read"),
        (b'<!DOCTYPE x [<!ENTITY y "z">]><ClinicalDocument/>', b"DOCTYPE"),
        (b"%PDF-1.7", b"does not accept this format"),
        (NEWRX, b"does not accept this format"),
    ],
)
def test_what_cannot_be_read_is_kept_and_told(body: bytes, says: bytes) -> None:
    bench, client = post(rules("cda"), body)
    (entry,) = bench.journal.entries
    assert entry.kind == "garbage" and entry.body == body
    assert client.statuses == [422] and says in client.responses[-1][2]


def test_a_type_that_the_channel_does_not_accept_is_kept_and_refused() -> None:
    bench, client = post(rules("cda 18842-5"), CCD)
    assert [e.kind for e in bench.journal.entries] == ["refused"] and client.statuses == [422]


def test_a_channel_of_hl7_v2_alone_takes_no_xml() -> None:
    bench, client = post(AckSettings(), CCD, "application/xml")
    assert client.statuses == [415] and not bench.journal.entries


def test_one_channel_may_take_both() -> None:
    bench = Bench(rules("hl7v2", "cda"))
    bench.port.in_thread = defer.maybeDeferred
    one = bench.connect().post(oru(b"M1"))
    two = bench.connect().post(CCD, Content_Type="")
    bench.turn()
    assert one.statuses == [200] and b"MSA|AA|M1" in one.responses[0][2] and two.statuses == [200]
    assert sorted(e.message_type for e in bench.journal.entries) == ["ORU^R01", "cda 34133-9"]


def test_an_interchange_is_an_entry_a_claim_and_answered_with_a_999() -> None:
    bench, client = post(rules("x12 837P"), CLAIMS, "application/edi-x12")
    first, second = bench.journal.entries
    assert [e.message_type for e in (first, second)] == ["x12 837P", "x12 837P"]
    assert [e.control_id for e in (first, second)] == ["000000101/101/0001/1", "000000101/101/0001/2"]
    assert b"CLM*NB-77001" in first.body and b"CLM*NB-77002" not in first.body
    assert b"NM1*85*2*NORTHBAY" in second.body and b"NM1*IL*1*TREMBLAY" in second.body
    assert b"ABERNATHY" not in second.body, "another patient's data stands in this claim's entry"
    assert "x12 claim|NB-77002" in second.order_keys and first.sender == "ZZ|NORTHBAY"
    status, headers, body = client.responses[-1]
    names = [s.name for s in read_segments(body)[0]]
    assert (status, headers["content-type"]) == (200, "application/edi-x12")
    assert names == ["ISA", "GS", "ST", "AK1", "AK2", "IK5", "AK9", "SE", "GE", "IEA"]


def test_every_segment_of_an_interchange_stands_in_an_entry() -> None:
    for path in sorted((SAMPLES / "x12").glob("*.x12")):
        data = path.read_bytes()
        bench, client = post(rules("x12"), data)
        kept = {s.raw for e in bench.journal.entries for s in read_segments(e.body)[0]}
        told = [s for s in read_segments(data)[0] if s.name not in ("SE", "GE", "IEA")]
        assert not [s.raw for s in told if s.raw not in kept], path.name
        assert client.statuses == [200], path.name
        assert {e.kind for e in bench.journal.entries} == {"message"}, path.name


def test_a_payment_is_whole_and_a_rejected_set_waits_for_a_person() -> None:
    bench, _ = post(rules("x12 835"), PAID)
    (entry,) = bench.journal.entries
    assert entry.control_id.count("/") == 2 and entry.body.strip() == PAID.strip()
    bench, client = post(rules("x12 835"), PAID.replace(b"SE*", b"SE*9"))
    assert [e.kind for e in bench.journal.entries] == ["refused"]
    assert b"IK5*R*4" in client.responses[-1][2]


def test_claims_may_be_answered_one_by_one() -> None:
    _, client = post(rules("x12", x12=AckX12(claim_answers=True)), CLAIMS)
    body = client.responses[-1][2]
    names = [s.get(1) for s in read_segments(body)[0] if s.name == "ST"]
    assert names == ["999", "277"]
    assert b"TRN*2*NB-77001" in body and b"TRN*2*NB-77002" in body


def test_a_partner_has_rules_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "bluepeak.yaml").write_text(
        "match: {receiver: BLUEPEAK}\nrules:\n- in: 837P\n  loop: 2300\n  need: REF(01=D9)\n"
    )
    _, client = post(rules("x12", x12=AckX12(claim_answers=True, partners=tmp_path)), CLAIMS)
    body = client.responses[-1][2]
    assert b"IK5*A~" in body  # a 999 does not speak of it
    assert (b"*WQ*265~" in body, b"*U*120" in body, b"*WQ*120" in body) == (True, True, False)


def test_an_interchange_that_no_999_answers_names_its_entries() -> None:
    _, client = post(rules("x12", x12=AckX12(answer="never")), PAID)
    assert client.responses[-1][::2] == (200, b"kept as entry 1\n")


def test_test_data_does_not_enter_a_production_channel() -> None:
    bench, client = post(rules("x12", processing_id=("P",), x12=AckX12(claim_answers=True)), CLAIMS)
    assert {(e.kind, e.reason) for e in bench.journal.entries} == {("refused", "wrong-processing-id")}
    answer = client.responses[-1][2]
    assert b"*R*020~" in answer and b"ST*" not in answer, "its sender is told"


@pytest.mark.parametrize("way", ["http", "folder"])
def test_a_set_that_the_channel_does_not_accept_is_refused_and_told_so(
    way: str, hub_of: Callable[..., Hub], tmp_path: Path
) -> None:
    if way == "http":
        bench, client = post(rules("x12 835|270", "x12 837I"), CLAIMS + PAID)
        entries, answer = bench.journal.entries, client.responses[-1][2]
    else:
        hub = hub_of("x12 835")
        hub.put("a.x12", CLAIMS + PAID)
        hub.look()
        hub.look()
        entries = hub.entries()
        answer = b"".join(p.read_bytes() for p in sorted((tmp_path / "answers").iterdir()))
    assert [(e.kind, e.message_type) for e in entries] == [
        ("refused", "x12 837P"),
        ("refused", "x12 837P"),
        ("message", "x12 835"),
    ]
    said = [s.raw for s in read_segments(answer)[0] if s.name in ("IK5", "AK9")]
    assert said == ["IK5*R*1", "AK9*R*1*1*0", "IK5*A", "AK9*A*1*1*1"]


def test_text_around_an_interchange_is_kept_as_garbage() -> None:
    bench, _ = post(rules("x12"), b"Sent by the clearing house\r\n" + PAID)
    assert [e.kind for e in bench.journal.entries if b"clearing" in e.body] == ["garbage"]
    assert [e.message_type for e in bench.journal.entries if e.kind == "message"] == ["x12 835"]


def test_a_prescription_is_answered_with_a_status() -> None:
    bench, client = post(rules("ncpdp NewRx"), NEWRX, "application/xml")
    (entry,) = bench.journal.entries
    assert entry.message_type == "ncpdp NewRx" and entry.kind == "message" and entry.control_id
    status, headers, body = client.responses[-1]
    assert status == 200 and headers["content-type"] == "application/xml"
    assert b"<Status>" in body and entry.control_id.encode() in body


def test_a_transaction_that_is_not_accepted_is_answered_with_an_error() -> None:
    bench, client = post(rules("ncpdp CancelRx"), NEWRX)
    assert [e.kind for e in bench.journal.entries] == ["refused"]
    assert b"<Error>" in client.responses[-1][2] and b"<Code>900" in client.responses[-1][2]


def test_a_status_is_kept_and_not_answered() -> None:
    _, client = post(rules("ncpdp"), (SAMPLES / "ncpdp/status.xml").read_bytes())
    assert client.statuses == [204]


def package(*files: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, data in files:
            z.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def test_a_package_is_kept_and_each_document_in_it() -> None:
    body = package(("IHE_XDM/SUBSET01/DOC0001.XML", CCD), ("IHE_XDM/SUBSET01/PIC.JPG", b"\xff\xd8"))
    bench, client = post(rules("xdm"), body, "application/zip")
    assert [e.message_type for e in bench.journal.entries] == ["xdm", "cda 34133-9"]
    assert [e.body for e in bench.journal.entries] == [body, CCD] and client.statuses == [200]


def test_words_of_accept() -> None:
    assert read_takes("x12 837P|837I") == Takes(format="x12", kinds=("837P", "837I"))
    assert read_takes("cda") == Takes(format="cda")
    assert read_takes("ORU^R01") is None and read_takes("pdf") is None


@pytest.fixture
def hub_of(tmp_path: Path) -> Iterator[Callable[..., Hub]]:
    made: list[Hub] = []

    def make(*words: str) -> Hub:
        settings = rules(*words, x12=AckX12(into=str(tmp_path / "answers")))
        made.append(Hub(tmp_path, rules=settings, pattern="*"))
        return made[-1]

    yield make
    for hub in made:
        hub.close()


def claim_set(number: str, claim: str, member: str, count: int = 22) -> str:
    """An 837P transaction set of one claim."""
    return (
        f"ST*837*{number}*005010X222A1~BHT*0019*00*NB1*20260914*0830*CH~NM1*41*2*NORTHBAY*****46*NB1001~"
        "PER*IC*DESK*TE*5035550142~NM1*40*2*BLUEPEAK*****46*BP7700~HL*1**20*1~"
        "NM1*85*2*NORTHBAY CLINIC*****XX*1400007013~N3*12 HARBOR~N4*PORTLAND*OR*972011234~REF*EI*931234567~"
        f"HL*2*1*22*0~SBR*P*18*******CI~NM1*IL*1*EA*AL****MI*{member}~N3*1 A~N4*SALEM*OR*97301~"
        "DMG*D8*19800101*F~NM1*PR*2*BLUEPEAK*****PI*BP7700~"
        f"CLM*{claim}*100***11:B:1*Y*A*Y*Y~HI*ABK:J0190~LX*1~SV1*HC:99213*100*UN*1***1~DTP*472*D8*20260902~"
        f"SE*{count + 1}*{number}~"
    )


def group(number: str, *sets: str, count: int = -1, ge: str = "") -> str:
    begin = f"GS*HC*NORTHBAY*BLUEPEAK*20260914*0830*{number}*X*005010X222A1~"
    return f"{begin}{''.join(sets)}GE*{count if count >= 0 else len(sets)}*{ge or number}~"


def interchange(*groups: str, iea: str = "") -> bytes:
    begin = (
        "ISA*00*          *00*          *ZZ*NORTHBAY       *ZZ*BLUEPEAK       "
        "*260914*0830*^*00501*000000101*0*P*:~"
    )
    return (begin + "".join(groups) + (iea or f"IEA*{len(groups)}*000000101~")).encode()


ONE, TWO = claim_set("0001", "E-1", "ME1"), claim_set("0002", "E-2", "ME2")
REJECTED = {
    "ST02 comes twice": (interchange(group("7", ONE, claim_set("0001", "E-2", "ME2"))), "R*23", {"E-2"}),
    "SE01 is wrong": (interchange(group("7", ONE, claim_set("0002", "E-2", "ME2", 30))), "R*4", {"E-2"}),
    "SE02 is not ST02": (
        interchange(group("7", ONE, TWO.replace("SE*23*0002", "SE*23*0009"))),
        "R*3",
        {"E-2"},
    ),
    "SE is missing": (interchange(group("7", ONE.replace("SE*23*0001~", ""), TWO)), "R*2", {"E-1"}),
    "ST02 is missing": (interchange(group("7", ONE, claim_set("", "E-2", "ME2"))), "R*7", {"E-2"}),
    "ST01 is not GS01's": (
        interchange(group("7", ONE, TWO).replace("GS*HC", "GS*HP")),
        "R*6",
        {"E-1", "E-2"},
    ),
    "GE01 is wrong": (
        interchange(group("7", ONE, TWO, count=3), group("8", claim_set("0001", "E-3", "ME3"))),
        "AK9*R*3*2*0*5",
        {"E-1", "E-2"},
    ),
    "GE02 is not GS06": (interchange(group("7", ONE, TWO, ge="9")), "AK9*R*2*2*0*4", {"E-1", "E-2"}),
    "GE is missing": (
        interchange(group("7", ONE, TWO).replace("GE*2*7~", "")),
        "AK9*R*2*2*0*3",
        {"E-1", "E-2"},
    ),
    "GS06 comes twice": (interchange(group("7", ONE), group("7", TWO)), "AK9*R*1*1*0*19", {"E-2"}),
    "IEA01 is wrong": (interchange(group("7", ONE), iea="IEA*2*000000101~"), "R*021", {"E-1"}),
    "IEA02 is not ISA13": (interchange(group("7", ONE), iea="IEA*1*000000102~"), "R*001", {"E-1"}),
    "IEA is missing": (interchange(group("7", ONE), iea="\n"), "R*023", {"E-1"}),
    "ISA has no date": (
        interchange(group("7", ONE)).replace(b"*260914*0830*^", b"*261314*0830*^"),
        "R*014",
        {"E-1"},
    ),
    "no GS": (interchange(ONE, iea="IEA*0*000000101~"), "R*022", {"E-1"}),
}


@pytest.mark.parametrize("case", list(REJECTED))
@pytest.mark.parametrize("way", ["http", "folder", "long file"])
def test_what_is_rejected_to_its_sender_is_not_worked_on(
    case: str, way: str, hub_of: Callable[..., Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, told, kept_only = REJECTED[case]
    if way == "http":
        bench, client = post(rules("x12"), data)
        entries, answer = bench.journal.entries, client.responses[-1][2]
    else:
        if way == "long file":  # every part is written down before the next one is read
            monkeypatch.setattr(otherfiles, "_HELD", 0)
        hub = hub_of("x12")
        hub.put("a.x12", data)
        hub.look()
        hub.look()
        entries = hub.entries()
        (written,) = (tmp_path / "answers").iterdir()
        answer = written.read_bytes()
    assert told.encode() in answer
    of_claim = {c: e for e in entries for c in ("E-1", "E-2") if f"CLM*{c}*".encode() in e.body}
    refused = {c for c, e in of_claim.items() if e.kind == "refused" and e.reason.startswith("rejected; ")}
    assert refused >= kept_only
    assert {e.kind for e in entries if e.reason.startswith("rejected; ")} == {"refused"}
    accepted = answer.count(b"IK5*A") + answer.count(b"IK5*E")
    assert accepted == sum(e.kind == "message" for e in entries), "journal and answer disagree"


def test_what_was_rejected_and_is_sent_again_put_right_is_worked_on(
    hub_of: Callable[..., Hub], tmp_path: Path
) -> None:
    hub = hub_of("x12")
    for name, iea in (("a.x12", "IEA*2*000000101~"), ("b.x12", "IEA*1*000000101~")):
        hub.put(name, interchange(group("7", ONE, TWO), iea=iea))
        hub.look()
        hub.look()
    entries = hub.entries()
    assert [e.kind for e in entries] == ["refused", "refused", "message", "message"]
    assert [e.body for e in entries[:2]] == [e.body for e in entries[2:]], "the bytes tell no difference"


def test_a_claim_of_a_rejected_set_is_not_taken_by_a_277ca() -> None:
    for case, (data, _, _) in REJECTED.items():
        _, client = post(rules("x12", x12=AckX12(claim_answers=True)), data)
        taken, said = post(rules("x12"), data)[0].journal.entries, client.responses[-1][2]
        assert said.count(b"ST*277") == sum(e.kind == "message" for e in taken), case


def test_a_set_with_an_error_that_the_channel_rejects_has_no_277ca() -> None:
    data = interchange(group("7", ONE.replace("11:B:1*Y*A", "11:B:1*Y*Q"), TWO))
    bench, client = post(rules("x12", x12=AckX12(claim_answers=True, reject="errors")), data)
    assert [e.kind for e in bench.journal.entries] == ["refused", "message"]
    said = client.responses[-1][2]
    assert b"IK5*R*5" in said and b"TRN*2*E-1" not in said and b"TRN*2*E-2" in said


def test_a_file_of_claims_leaves_its_999_beside_it(hub_of: Callable[..., Hub], tmp_path: Path) -> None:
    hub = hub_of("x12")
    hub.put("doe_john.x12", CLAIMS + PAID)
    hub.look()
    hub.look()
    assert [e.message_type for e in hub.entries()] == ["x12 837P", "x12 837P", "x12 835"]
    assert hub.there("done") == ["doe_john.x12"]
    names = sorted(p.name for p in (tmp_path / "answers").iterdir())
    assert len(names) == 2 and names[0].startswith("ack-000000101-1"), "a name holds numbers, and no patient"
    assert b"AK2*837*0001" in (tmp_path / "answers" / names[0]).read_bytes()


def test_a_file_of_a_document(hub_of: Callable[..., Hub]) -> None:
    hub = hub_of("cda", "x12")
    hub.put("a.xml", CCD)
    hub.put("b.bin", b"\x00\x01 nothing of the kind")
    hub.look()
    hub.look()
    assert [(e.kind, e.message_type) for e in hub.entries()] == [("message", "cda 34133-9"), ("garbage", "")]
    assert hub.there("done") == ["a.xml"] and hub.there("error") == ["b.bin"]


def test_a_crash_at_any_append_loses_nothing_doubles_nothing_and_answers_once(
    hub_of: Callable[..., Hub], tmp_path: Path
) -> None:
    hub = hub_of("x12")
    hub.put("a.x12", CLAIMS + PAID)
    hub.look()
    for cut in ("before", "after", "after"):
        setattr(hub.journal, cut, len(hub.journal.sizes) + (cut == "after"))
        with pytest.raises(PowerCut):
            hub.look()
        hub.start()
    hub.look()
    assert [e.message_type for e in hub.entries()] == ["x12 837P", "x12 837P", "x12 835"]
    assert hub.there("done") == ["a.x12"]
    names = sorted(p.name for p in (tmp_path / "answers").iterdir())
    assert [n.rpartition("-")[2] for n in names] == ["1.x12", "3.x12"], "one answer an interchange"


SEEDS = (CCD[:3000], CLAIMS, PAID, NEWRX, package(("IHE_XDM/S/A.XML", CCD[:2000])))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SEEDS), st.integers(0, 5000), st.binary(max_size=8), st.integers(0, 60))
def test_whatever_comes_is_kept_and_answered(seed: bytes, at: int, by: bytes, gone: int) -> None:
    at %= len(seed)
    body = seed[:at] + by + seed[at + gone :]
    source = Bench(rules("cda", "x12", "ncpdp", "xdm")).port.source
    mail = mail_of(body, source, "test")
    assert mail.letters and all(e.body for e in mail.entries)
    answer = mail.answer([Accepted(n) for n in range(1, len(mail.letters) + 1)], 0)
    assert answer.status in (200, 204, 422)
    if not any(x.facts for x in mail.letters):
        assert {e.kind for e in mail.entries} == {"garbage"}
