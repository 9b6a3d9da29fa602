"""MLLP out: what every answer, wrong answer and silence comes to; a scripted receiver on the other side."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from certificates import Certificates
from mllp_peer import Peer, ack, answers, closes, silent

from engine.destinations.kinds import KINDS
from engine.destinations.mllp_settings import MllpDestination
from engine.destinations.mllp_verdicts import BY_ERROR, judge
from engine.formats.hl7v2.answers import TABLE_0357, read_answer
from engine.formats.hl7v2.header import peek
from engine.kernel.delivery import Around, Destination, Parcel
from engine.kernel.errors import ConfigError, HubError, StoreUnavailable
from engine.wire.mllp import encode

ORDER = (
    b"MSH|^~\\&|CPOE|NORTH|HUB|MERCY|20260501||OML^O21^OML_O21|%b|P|2.5.1\r"
    b"PID|1||77^^^NORTH^MR||DOE^JO\rORC|NW|P1^EHR\rOBR|1|P1^EHR||58410-2^CBC^LN\r"
)
ENHANCED = ORDER.replace(b"|P|2.5.1\r", b"|P|2.5.1|||AL|AL\r")


def parcel(n: int = 1, body: bytes = ORDER) -> Parcel:
    return Parcel(f"orders-{n}", n, "orders", body % str(n).encode(), "application/hl7-v2")


@pytest.fixture
def lab() -> Iterator[Any]:
    """Make a scripted receiver, and a destination that sends to it."""
    opened: list[Any] = []

    def make(*steps: Any, tls: ssl.SSLContext | None = None, **settings: Any) -> tuple[Peer, Destination]:
        peer = Peer(*steps, tls=tls)
        words = {"url": peer.url, "answer_seconds": 0.3, "connect_seconds": 2, **settings}
        opened.extend((peer, there := destination(**words)))
        return peer, there

    yield make
    for one in opened[::-1]:
        one.close()


def destination(production: bool = False, **words: Any) -> Destination:
    around = Around(Path("."), Path("data"), "Mercy", "urn:x", production)
    kind = KINDS["mllp"]
    made: Destination = kind.make(kind.settings(**words), "lab", around)
    return made


# -- what answers mean ------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "rest", "verdict"),
    [
        ("AA", "", "sent"),
        ("CA", "", "sent"),
        ("AE", "", "refuse"),
        ("AR", "", "retry"),
        ("CE", "", "retry"),
        ("CR", "", "refuse"),
        ("AE", "|||||\rERR||PID^1^3|101|E", "refuse"),
        ("AE", "|||||\rERR|||207|E", "retry"),
        ("AR", "|||||\rERR|||200|E", "refuse"),
        ("AR", "|||||\rERR|||206|F", "retry"),
        ("CE", "|||||\rERR|||102|E", "refuse"),
        ("AR", "|||||\rERR|||207|E\rERR|||101|E", "refuse"),  # one thing it will not take is enough
        ("AR", "|||||\rERR|||101|W", "retry"),  # a warning decides nothing
        ("AE", "|||||\rERR|||LAB77|E", "refuse"),  # a code of its own
        ("AE", "||||207", "retry"),  # MSA-6, before 2.5
        ("AE", "|||||\rERR|PID^1^3^101", "refuse"),  # ERR-1, before 2.5
        ("AA", "|||||\rERR|||103|W", "sent"),
    ],
)
def test_what_an_answer_means(lab, code, rest, verdict):
    peer, there = lab(answers(code, rest))
    receipt = there.deliver(parcel())
    assert (receipt.verdict, receipt.down) == (verdict, False)
    assert receipt.why.startswith(f"answered {code}")
    assert receipt.request == peer.messages[0] and receipt.answer == ack(peer.messages[0], code, rest)


def test_every_code_of_table_0357_is_decided():
    assert set(BY_ERROR) == set(TABLE_0357) - {"0"}


def test_a_receiver_that_means_something_else(lab):
    answers_ = {"AR": "refuse", "204": "retry", "LAB77": "park"}
    said = [("AR", ""), ("AE", "|||||\rERR|||204"), ("AE", "|||||\rERR|||LAB77")]
    _peer, there = lab(*(answers(*one) for one in said), answers=answers_)
    assert [there.deliver(parcel(n)).verdict for n in (1, 2, 3)] == ["refuse", "retry", "park"]


def test_a_number_that_it_has_already_after_an_earlier_try(lab):
    _peer, there = lab(answers("AE", "|||||\rERR||ORC^1^2|205|E||||P1 of DOE^JO is there"))
    receipt = there.deliver(replace(parcel(), tries=2))
    assert receipt.verdict == "refuse" and "earlier try may have arrived" in receipt.why
    assert "DOE" not in receipt.why and b"DOE^JO is there" in receipt.answer


# -- silence ----------------------------------------------------------------


def test_a_silent_receiver_gets_the_same_bytes_again_over_a_new_connection(lab):
    peer, there = lab(silent, silent, answers())
    for tries in range(2):
        receipt = there.deliver(replace(parcel(), tries=tries))
        assert (receipt.verdict, receipt.down) == ("retry", False)
        assert receipt.why == "no answer within 0.3 s"
    assert there.deliver(replace(parcel(), tries=2)).verdict == "sent"
    assert len(set(peer.messages)) == 1 and [n for n, _ in peer.got] == [1, 2, 3]


def test_two_messages_without_an_answer_are_no_longer_their_own_fault(lab):
    _peer, there = lab(silent)
    assert [there.deliver(parcel(n)).down for n in (1, 1, 2, 2, 3)] == [False, False, True, False, True]


def test_a_late_answer_is_nobodys(lab):
    """An answer that comes after its time must not be taken for that of the next message."""

    def late(message: bytes) -> bytes:
        time.sleep(0.45)
        return encode(ack(message))

    peer, there = lab(late, answers("AE"))
    assert there.deliver(parcel(1)).verdict == "retry"
    time.sleep(0.3)
    assert there.deliver(parcel(2)).verdict == "refuse"
    assert [n for n, _ in peer.got] == [1, 2]


def test_late_answers_with_the_same_control_id(lab):
    """Two senders number their messages alike: the answer to the one is no answer to the other."""

    def twice(message: bytes) -> bytes:
        return encode(ack(message)) * 2

    _peer, there = lab(twice, answers("AE"))
    assert there.deliver(parcel(1)).verdict == "sent"
    time.sleep(0.1)
    other = replace(parcel(2), body=ORDER.replace(b"P1", b"P2") % b"1")
    assert there.deliver(other).verdict == "refuse"


def test_answers_to_other_messages_are_passed_over(lab):
    peer, there = lab(
        lambda m: encode(ack(m, named="98")) + encode(ack(m, "AE", named="99")) + encode(ack(m))
    )
    assert there.deliver(parcel()).verdict == "sent"
    peer.steps = [answers(named="98"), answers()]
    receipt = there.deliver(parcel())
    assert receipt.verdict == "retry" and "named another message" in receipt.why and "98" not in receipt.why
    assert there.deliver(parcel()).verdict == "sent"
    assert len(set(peer.messages)) == 1


@pytest.mark.parametrize("named", ["", " ", "01"])
def test_an_answer_that_names_nothing_or_something_else(lab, named):
    _, there = lab(answers(named=named))
    assert there.deliver(parcel()).verdict == "retry"
    blank = not named.strip()
    _peer, there = lab(answers(named=named), unnamed_answers=True)
    assert there.deliver(parcel()).verdict == ("sent" if blank else "retry")


@pytest.mark.parametrize(
    "said",
    [
        encode(b"nonsense"),
        encode(b"MSH|^~\\&|LIS|NORTH|HUB|MERCY|2026||ORU^R01|1|P|2.5.1\rPID|1\r"),
        encode(b"MSH|^~\\&|LIS||||2026||ACK|1|P|2.5.1\rMSA|OK|1\r"),
        encode(b""),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"AA\r\n",
    ],
)
def test_a_garbled_answer_is_none(lab, said):
    peer, there = lab(lambda message: said, answers())
    receipt = there.deliver(parcel())
    assert receipt.verdict == "retry" and receipt.why
    assert there.deliver(parcel()).verdict == "sent"
    assert len(set(peer.messages)) == 1 and peer.connections == 2


def test_half_an_answer_is_none(lab):
    _peer, there = lab(lambda message: encode(ack(message))[:-2], answers("AE"))
    assert there.deliver(parcel(1)).verdict == "retry"
    assert there.deliver(parcel(2)).verdict == "refuse"


# -- connections ------------------------------------------------------------


def test_the_connection_stays_open(lab):
    peer, there = lab()
    assert [there.deliver(parcel(n)).verdict for n in range(5)] == ["sent"] * 5
    assert peer.connections == 1


def test_one_connection_a_message_where_that_is_wanted(lab):
    peer, there = lab(keep_open=False)
    assert [there.deliver(parcel(n)).verdict for n in range(3)] == ["sent"] * 3
    assert peer.connections == 3


def test_a_receiver_that_hung_up_meanwhile(lab):
    peer, there = lab()
    assert there.deliver(parcel(1)).verdict == "sent"
    peer.hang_up()
    time.sleep(0.05)
    assert there.deliver(parcel(2)).verdict == "sent"
    assert [n for n, _ in peer.got] == [1, 2]


def test_a_receiver_that_hangs_up_instead_of_answering(lab):
    peer, there = lab(closes)
    receipt = there.deliver(parcel(1))
    assert receipt.verdict == "retry" and "closed without an answer" in receipt.why
    assert len(peer.got) == 1


def test_an_open_connection_that_closes_instead_of_answering_is_tried_once_more_at_once(lab):
    peer, there = lab(answers(), closes, answers())
    assert there.deliver(parcel(1)).verdict == "sent"
    assert there.deliver(parcel(2)).verdict == "sent"
    assert peer.messages == [ORDER % b"1", ORDER % b"2", ORDER % b"2"]
    peer.steps = [closes]
    assert there.deliver(parcel(3)).verdict == "retry"
    assert len(peer.got) == 5


def test_a_receiver_that_is_away(lab):
    peer, there = lab()
    peer.away()
    for _ in range(2):
        receipt = there.deliver(parcel())
        assert (receipt.verdict, receipt.down) == ("retry", True) and "cannot connect" in receipt.why
    with pytest.raises(HubError, match="cannot connect"):
        there.check()
    peer.back()
    assert "takes the connection" in there.check()
    assert there.deliver(parcel()).verdict == "sent" and peer.connections == 1


# -- enhanced mode ----------------------------------------------------------


def both(code: str) -> Any:
    """Answer CA, then as the application."""

    def said(message: bytes) -> bytes:
        application = ack(message, code).replace(b"|P|2.5.1\r", b"|P|2.5.1|||AL|NE\r")
        return encode(ack(message, "CA")) + (encode(application) if code else b"")

    return said


@pytest.mark.parametrize(
    ("code", "verdict", "why"),
    [
        ("AA", "sent", "answered AA"),
        ("AE", "refuse", "answered AE"),
        ("AR", "retry", "answered AR"),
        ("", "sent", "answered CA, and nothing of its application: no answer within 0.3 s"),
    ],
)
def test_the_application_answers_after_a_commit(lab, code, verdict, why):
    peer, there = lab(both(code), silent, wait_for="application", application_seconds=0.3)
    receipt = there.deliver(parcel(body=ENHANCED))
    assert (receipt.verdict, receipt.why) == (verdict, why)
    if code:  # its answer is a message that asks for an answer
        there.deliver(parcel(2, ENHANCED))
        assert [read_answer(m).code for m in peer.messages] == ["", "CA", ""]
        assert read_answer(peer.messages[1]).named == "A-1"


def test_an_application_that_answers_later_does_not_disturb(lab):
    peer, there = lab(both("AE"), answers("CA"))
    assert there.deliver(parcel(1, ENHANCED)).verdict == "sent"
    time.sleep(0.1)
    assert there.deliver(parcel(2, ENHANCED)).verdict == "sent"
    assert peer.connections == 1 and len(peer.got) == 2  # nobody keeps its answer, so nobody says so


def test_what_is_kept_of_an_applications_answer_is_acknowledged(lab):
    peer, there = lab(both("AE"), silent, answers("CA"))
    kept: list[bytes] = []
    there.heard = lambda data: not kept.append(data)
    assert there.deliver(parcel(1, ENHANCED)).verdict == "sent"
    time.sleep(0.1)
    assert there.deliver(parcel(2, ENHANCED)).verdict == "sent"
    assert peer.connections == 1 and read_answer(peer.messages[1]).code == "CA"
    assert [read_answer(data).code for data in kept] == ["AE"]


def test_what_an_order_is_answered_with_is_heard(lab):
    def orl(message: bytes) -> bytes:
        return encode(ack(message).replace(b"||ACK|", b"||ORL^O22|") + b"ORC|OK|P1^EHR|F1^LIS\r")

    _, there = lab(orl, answers())
    kept: list[bytes] = []
    there.heard = lambda data: not kept.append(data)
    assert [there.deliver(parcel(n)).verdict for n in (1, 2)] == ["sent", "sent"]
    assert len(kept) == 1 and b"ORC|OK" in kept[0]


def test_an_answer_that_cannot_be_kept_now_is_asked_for_again(lab):
    def orl(message: bytes) -> bytes:
        return encode(ack(message).replace(b"||ACK|", b"||ORL^O22|"))

    def full(data: bytes) -> bool:
        raise StoreUnavailable("the journal cannot be written")

    peer, there = lab(orl)
    there.heard = full
    with pytest.raises(StoreUnavailable):
        there.deliver(parcel())
    there.heard = lambda data: True
    assert there.deliver(replace(parcel(), tries=1)).verdict == "sent"
    assert peer.connections == 2 and len(set(peer.messages)) == 1


def test_messages_that_ask_for_no_answer(lab):
    never, on_error = (
        ORDER.replace(b"|2.5.1\r", b"|2.5.1|||" + what + b"\r") for what in (b"NE|NE", b"ER|NE")
    )
    _, there = lab(silent, silent, answers("CE", "|||||\rERR|||101"), silent)
    assert "asks for no answer" in there.deliver(parcel(1, never)).why
    assert there.deliver(parcel(2, on_error)).verdict == "sent"
    assert there.deliver(parcel(3, on_error)).verdict == "refuse"
    _peer, there = lab(silent, acknowledge="always")
    assert there.deliver(parcel(1, never)).verdict == "retry"


# -- what is sent -----------------------------------------------------------


def test_it_is_sent_as_it_is(lab):
    peer, there = lab()
    odd = b"MSH|^~\\&|A|B|||2026||ORU^R01|9|P|2.3\nPID|1||\xe9\x0b\n\n"
    assert there.deliver(replace(parcel(), body=odd)).verdict == "sent"
    assert peer.messages == [odd]


def test_what_settings_change_is_changed_alike_on_every_try(lab):
    settings = {
        "set": {"MSH-3": "HUB", "MSH-6": "LAKE^1.2^ISO"},
        "control_id": "the hub's",
        "line_ends": "CR",
    }
    peer, there = lab(silent, answers(), **settings)
    body = ORDER.replace(b"\r", b"\n") % b"7"
    for tries in (0, 1):
        receipt = there.deliver(replace(parcel(), body=body, tries=tries))
    assert receipt.verdict == "sent" and len(set(peer.messages)) == 1
    header = peek(peer.messages[0])
    assert (header.fields[3], header.fields[6], header.control_id) == ("HUB", "LAKE^1.2^ISO", "orders-1")
    assert b"\n" not in peer.messages[0] and peer.messages[0].endswith((ORDER % b"").split(b"\r", 1)[1])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"resourceType": "Bundle"}', "no HL7 v2 message"),
        ((ORDER % b"1") + b"NTE|1||\x1c\r", "1C 0D"),
        (ORDER % b"", "MSH-10 is empty"),
    ],
)
def test_what_cannot_be_sent(lab, body, why):
    peer, there = lab()
    receipt = there.deliver(replace(parcel(), body=body))
    assert receipt.verdict == "refuse" and why in receipt.why and peer.connections == 0


# -- TLS, settings ----------------------------------------------------------


def test_tls_both_sides_proven(lab, tmp_path):
    authority, strangers = Certificates(tmp_path, "lab"), Certificates(tmp_path, "strangers")
    certificate, key = authority.issue("lis")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    mine, mine_key = authority.issue("hub")
    ours = {"ca": authority.ca, "certificate": mine, "key": mine_key}
    peer, there = lab_tls(lab, context, ours)
    assert [there.deliver(parcel(n)).verdict for n in (1, 2)] == ["sent", "sent"]
    assert peer.connections == 1 and "TLSv1.3" in there.check()
    for wrong in ({**ours, "ca": strangers.ca}, {"ca": authority.ca}):
        _, other = lab_tls(lab, context, wrong)
        receipt = other.deliver(parcel(3))
        assert receipt.verdict == "retry"
    _, missing = lab_tls(lab, context, {"ca": tmp_path / "none.pem"})
    assert missing.deliver(parcel()).verdict == "park"
    _, named = lab_tls(lab, context, ours, tls_name="somebody.example")
    receipt = named.deliver(parcel())
    assert (receipt.verdict, receipt.down) == ("retry", True) and "CERTIFICATE" in receipt.why.upper()


def lab_tls(lab: Any, context: ssl.SSLContext, ours: dict[str, Any], **more: Any) -> tuple[Peer, Destination]:
    peer, unused = lab(tls=context)
    unused.close()
    there = destination(url=peer.url, answer_seconds=2, tls=ours, **more)
    return peer, there


def test_in_the_clear_in_production():
    with pytest.raises(ConfigError, match="in the clear"):
        destination(production=True, url="mllp://lis.example:2575")
    because = "accepted because it is one cable"
    for words in ({"url": "mllp://lis.example", "plain": because}, {"url": "mllps://lis.example"}):
        destination(production=True, **words)
    destination(production=True, url="mllp://127.0.0.1:1")


@pytest.mark.parametrize(
    "words",
    [
        {"url": "http://x"},
        {"url": "mllp://"},
        {"url": "mllp://x", "set": {"MSH-9": "ACK"}},
        {"url": "mllp://x", "set": {"MSH-3": "A\rPID|"}},
        {"url": "mllp://x", "answers": {"AA": "retry"}},
        {"url": "mllp://x", "answers": {"AE": "sometimes"}},
        {"url": "mllp://x", "plain": "yes"},
        {"url": "mllp://x", "answer_seconds": 0},
    ],
)
def test_settings_that_are_none(words):
    with pytest.raises(ValueError):
        MllpDestination(**words)


def test_verdicts_do_not_depend_on_the_order_of_errors():
    errors = ["ERR|||207|E\r", "ERR|||101|E\r", "ERR|||LAB|E\r"]
    head = "MSH|^~\\&|L|||||2026|ACK|1|P|2.5.1\rMSA|AR|1\r"
    said = [read_answer((head + "".join(errors[n:] + errors[:n])).encode()) for n in range(3)]
    assert {judge(one, {}) for one in said} == {"refuse"}
