"""Which identifiers keep a patient's messages in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.formats.hl7v2.order_keys import order_keys

MSH = b"MSH|^~\\&|LAB|NORTH|HUB|NORTH|20260201||ORU^R01|1|P|2.5\r"


def keys(*segments: bytes, authority: str = "", msh: bytes = MSH) -> list[str]:
    return list(order_keys(msh + b"\r".join(segments) + b"\r", authority))


@pytest.mark.parametrize(
    ("pid3", "expected"),
    [
        (b"A1^^^NORTH^MR", ["NORTH|A1"]),
        (b"A1^^^NORTH^MR~B2^^^SOUTH^MR", ["NORTH|A1", "SOUTH|B2"]),
        (b"999^^^SSA^SS~A1^^^NORTH^MR", ["NORTH|A1"]),
        (b"999^^^SSA^SS~A1^^^NORTH^PI", ["SSA|999", "NORTH|A1"]),
        (b"A1^^^NORTH~A1^^^NORTH", ["NORTH|A1"]),
        (b"A1^^^NORTH&1.2.3&ISO^MR", ["NORTH|A1"]),
        (b"A1^^^&1.2.3&ISO^MR", ["1.2.3|A1"]),
        (b" A1 ^^^ NORTH ^ MR ", ["NORTH|A1"]),
        (b"A1", ["private:LAB|NORTH|A1"]),
        (b'A1^^^""', ["private:LAB|NORTH|A1"]),
        (b"A1^^^&&ISO", ["private:LAB|NORTH|A1"]),
        (b"", []),
        (b'""', []),
        (b"^^^NORTH^MR", []),
        (b"x" * 300 + b"^^^NORTH^MR", []),
        (b"M\xfcller^^^NORTH^MR", ["NORTH|M\xfcller"]),
    ],
)
def test_pid_3(pid3: bytes, expected: list[str]) -> None:
    assert keys(b"PID|1||" + pid3 + b"||TEST") == expected


def test_the_senders_authority_stands_in_for_an_empty_one() -> None:
    assert keys(b"PID|||A1~B2^^^SOUTH", authority="NORTH") == ["NORTH|A1", "SOUTH|B2"]


def test_two_senders_share_no_bare_number() -> None:
    other = MSH.replace(b"LAB|NORTH", b"LAB|SOUTH")
    assert keys(b"PID|||A1") != keys(b"PID|||A1", msh=other)


def test_every_patient_and_every_merge_of_a_message() -> None:
    found = keys(
        b"PID|1||A1^^^N^MR",
        b"MRG|Z9^^^N^MR~Y8^^^N",
        b"PV1|1",
        b"PID|2||A2^^^N",
        b"MRG|Z7^^^N",
        b"PID|3||A1^^^N^MR",
    )
    assert found == ["N|A1", "N|A2", "N|Z9", "N|Z7"]


def test_only_segments_count_not_texts_that_look_like_them() -> None:
    assert keys(b"OBX|1|TX|||see PID|3||B2^^^N", b"PID|1||A1^^^N", b"NTE|1|| PID|1||C3", b"PIDX|1||D4") == [
        "N|A1"
    ]


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_any_line_end(end: bytes) -> None:
    message = end.join([MSH.strip(), b"PID|1||A1^^^N", b"MRG|B2^^^N"])
    assert order_keys(message) == ("N|A1", "N|B2")


def test_other_delimiters() -> None:
    msh = b"MSH$%*!@$LAB$NORTH$HUB$$20260201$$ADT%A01$1$P$2.5\r"
    assert keys(b"PID$1$$A1%%%N@1.2@ISO%MR*B2%%%S", msh=msh) == ["N|A1"]


def test_utf_16() -> None:
    text = (MSH + b"PID|1||A1^^^NORTH^MR\r").decode("ascii")
    assert order_keys(text.encode("utf-16")) == ("NORTH|A1",)


@pytest.mark.parametrize("data", [b"", b"MSH", b"MSH|^~", b"PID|1||A1\r", b"\0MSH\0", b"\0" * 100])
def test_no_header_no_keys(data: bytes) -> None:
    assert order_keys(data) == ()


@given(st.binary(max_size=200))
def test_nothing_is_ever_raised(data: bytes) -> None:
    for text in (data, MSH + data, MSH + b"PID|||" + data, b"MSH" + data):
        assert all("|" in key for key in order_keys(text))
