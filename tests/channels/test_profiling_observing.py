"""What a message adds to what is known of its sender: counts, kinds, lengths, codes, quirks, and no value."""

from __future__ import annotations

import orjson
import pytest
from sender_samples import ORU

from engine.channels.profiling.kinds import bucket, kind_of, offset_of, percentile
from engine.channels.profiling.observing import observe, type_of
from engine.channels.profiling.seen import MOST_CODES, SenderSeen, TypeSeen
from engine.formats.hl7v2.parse import parse


def seen(*messages: str | bytes) -> tuple[SenderSeen, TypeSeen]:
    sender, type_ = SenderSeen("lab_oru", "glasslab"), TypeSeen()
    for n, text in enumerate(messages, 1):
        body = text if isinstance(text, bytes) else text.encode()
        observe(parse(body), sender, type_, n, 1000 * n)
    return sender, type_


@pytest.mark.parametrize(
    ("value", "datatype", "kind"),
    [
        ('""', "ST", "delete"),
        ("12", "NM", "whole number"),
        ("-1.5", "NM", "decimal number"),
        ("20260504", "NM", "whole number"),
        ("20260504", "", "date to the day"),
        ("12345678", "ST", "whole number"),
        ("2026", "TS", "date to the year"),
        ("202605", "DTM", "date to the month"),
        ("2026050410", "TS", "time to the hour"),
        ("20260504101500", "TS", "time to the second"),
        ("20260504101500.12-0500", "TS", "time to the fraction of a second, with zone"),
        ("202605041015+0100", "", "time to the minute, with zone"),
        ("20261304", "DT", "not a date"),
        ("yesterday", "TS", "not a date"),
        ("1015", "TM", "time of day"),
        ("2515", "TM", "not a time"),
        ("see below", "TX", "text"),
        ("a\nb", "TX", "text of several lines"),
    ],
)
def test_a_value_has_a_kind(value: str, datatype: str, kind: str) -> None:
    assert kind_of(value, datatype) == kind


@pytest.mark.parametrize(
    ("value", "offset"),
    [("20260504101500-0500", "-0500"), ("20260504101500", "none"), ("20260504", ""), ("x", "")],
)
def test_a_time_has_an_offset_or_none(value: str, offset: str) -> None:
    assert offset_of(value) == offset


def test_lengths_are_exact_while_short_and_never_understated() -> None:
    assert [bucket(n) for n in (1, 32)] == [1, 32]
    assert all(n <= bucket(n) <= n * 1.13 for n in range(33, 5000))
    assert percentile({1: 50, 10: 49, 99: 1}, 0.5) == 1
    assert percentile({1: 50, 10: 49, 99: 1}, 0.99) == 10
    assert percentile({}, 0.5) == 0


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ORU^R01", "ORU^R01"),
        ("ORU^R01^ORU_R01", "ORU^R01"),
        ("ACK", "ACK"),
        ("x12 837P", "x12 837P"),
        ("Quillfeather^Ada", "odd"),
        ("", "odd"),
    ],
)
def test_a_type_that_is_none_is_never_named(text: str, name: str) -> None:
    assert type_of(text) == name


def test_fields_are_counted_by_message_segment_and_repetition() -> None:
    more = ORU.format(n=2).replace("||MRN2^^^BROOK^MR|", "||MRN2^^^BROOK^MR~77^^^CITY^PI|")
    more += "OBX|2|NM|NA^Sodium^L||140|mmol/L^^UCUM|||||F\r"
    sender, type_ = seen(ORU.format(n=1), more.replace("|F\rPV1", "|\rPV1"))
    assert (sender.looked, type_.looked, type_.newest) == (2, 2, [1, 2])
    assert (type_.segments["OBX"].messages, type_.segments["OBX"].times, type_.segments["OBX"].most) == (
        2,
        3,
        2,
    )
    pid3 = type_.places["PID-3"]
    assert (pid3.messages, pid3.segments, pid3.times, pid3.most) == (2, 2, 3, 2)
    sex = type_.places["PID-8"]
    assert (sex.messages, sex.at, sex.last_entry) == (1, 1, 1)
    obx5 = type_.places["OBX-5"]
    assert obx5.kinds == {"decimal number": 2, "whole number": 1}
    assert (obx5.shortest, obx5.longest) == (3, 3)
    assert sender.zones == {"-0500": 6}
    assert type_.places["PV1-44"].kinds == {"time to the second, with zone": 2}


def test_codes_are_kept_of_coded_places_and_no_other_value_is() -> None:
    sender, type_ = seen(*(ORU.format(n=n).replace("||4.", "||4.10") for n in range(1, 4)))
    codes = type_.places["OBX-3.1"].codes
    assert {key: (c.count, c.first, c.last, c.entry, c.text) for key, c in codes.items()} == {
        ("K", "L"): (3, 1000, 3000, 1, "Potassium")
    }
    assert list(type_.places["PID-3.4"].codes) == [("BROOK", "")]
    kept = orjson.dumps([sender.as_json(), type_.as_json()])
    for value in (b"Quillfeather", b"Ada", b"MRN1", b"19800102", b"4.10", b"C1", b"A1^"):
        assert value not in kept


def test_a_result_that_is_a_code_is_a_code_and_a_text_is_not() -> None:
    coded = ORU.format(n=1).replace("|NM|", "|CWE|").replace("||4.1|", "||POS^Positive^L|")
    text = ORU.format(n=2).replace("|NM|", "|TX|").replace("||4.2|", "||Ada is well|")
    _, type_ = seen(coded, text)
    assert list(type_.places["OBX-5.1"].codes) == [("POS", "L")]
    assert type_.places["OBX-5"].kinds == {"text": 1}


def test_codes_are_bounded() -> None:
    many = [ORU.format(n=n).replace("|K^", f"|K{n}^") for n in range(MOST_CODES + 5)]
    _, type_ = seen(*many, ORU.format(n=1).replace("|K^", f"|{'x' * 65}^"))
    place = type_.places["OBX-3.1"]
    assert (len(place.codes), place.uncounted) == (MOST_CODES, 6)


@pytest.mark.parametrize(
    ("old", "new", "quirk"),
    [
        ("\r", "\n", "line-ends-LF "),
        ("\r", "\r\n", "line-ends-CRLF "),
        ("|C1|", "||", "no-control-id MSH-10"),
        ("|2.5.1", "|", "no-version MSH-12"),
        ("OBX|1", "OBX|1|x" + "|" * 34 + "y\rOBX|1", "beyond-definition OBX-36"),
        ("PV1|1", "ARV|1\rPV1|1", "other-version ARV"),
        ("^Potassium^", "^Pot\\assium^", "bare-escape OBX-3"),
        ("^Potassium^", "^Pot\\Zab\\^", "own-escape OBX-3"),
        ("19800102", "unknown", "not-a-date PID-7"),
        ("|F\rPV1", "|F~M\rPV1", "repeats PID-8"),
        ("|O|", "|  |", "blank PV1-2"),
        ("Quillfeather", "Müller", "charset-unsaid MSH-18"),
    ],
)
def test_quirks_are_named_with_their_place(old: str, new: str, quirk: str) -> None:
    plain, _ = seen(ORU.format(n=1))
    assert plain.quirks == {}
    sender, _ = seen(ORU.format(n=1).replace(old, new))
    assert quirk in sender.quirks


def test_what_escape_sequences_say_is_no_quirk() -> None:
    sender, _ = seen(ORU.format(n=1).replace("^Potassium^", "^Pot\\T\\a\\.br\\\\X0A\\\\.sp3\\b^"))
    assert sender.quirks == {}


def test_of_late_follows_what_came_last() -> None:
    with_sex = [ORU.format(n=n) for n in range(100)]
    without = [m.replace("|F\rPV1", "|\rPV1") for m in with_sex]
    _, always = seen(*with_sex)
    assert always.places["PID-8"].of_late(always.looked) == pytest.approx(1)
    _, ended = seen(*with_sex, *without)
    assert ended.places["PID-8"].of_late(ended.looked) < 0.15
    _, began = seen(*without, *with_sex)
    assert began.places["PID-8"].of_late(began.looked) > 0.85


def test_it_is_the_same_after_being_kept() -> None:
    sender, type_ = seen(*(ORU.format(n=n) for n in range(5)))
    assert SenderSeen.of_json(orjson.loads(orjson.dumps(sender.as_json()))) == sender
    kept = TypeSeen.of_json(orjson.loads(orjson.dumps(type_.as_json())))
    assert kept.as_json() == type_.as_json()
