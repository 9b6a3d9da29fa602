"""A body as a page shows it: names, offsets that point at the very bytes, and an end to what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_project import HERE, Hub

from engine.channels.message.content import contents, open_content
from engine.channels.message.shown import PART, WHOLE, Shown, show_body
from engine.channels.message.text import readable
from engine.channels.message.values import values_of
from engine.kernel.message import Entry


def entry(body: bytes, number: int = 1) -> Entry:
    return Entry(number, "lab_oru", body, 0, "", "", "", "", "", "message", (1,), None, number, "", None)


def values(shown: Shown) -> dict[str, tuple[str, str, int, int]]:
    return {
        v.address: (v.name, v.value, v.begin, v.end)
        for s in shown.segments
        for f in s.fields
        for v in f.values
    }


def test_every_value_has_its_name_and_its_bytes(seen: Hub) -> None:
    body = seen.sample("lab/oru_potassium")
    shown = show_body(entry(body))
    found = values(shown)
    for address, (_, value, begin, end) in found.items():
        assert body[begin:end].decode() == value, address
    assert found["PID[1]-5[1].1"][0].startswith("Family Name")
    pid = next(s for s in shown.segments if s.address == "PID[1]")
    assert {f.number: f.name for f in pid.fields}[5] == "Patient Name"
    assert shown.total == len(shown.segments) == len(body.strip().split(b"\r"))


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-8"])
def test_offsets_are_of_bytes_in_any_character_set(charset: str) -> None:
    said = {"iso-8859-1": "8859/1", "utf-8": "UNICODE UTF-8"}[charset]
    text = (
        f"MSH|^~\\&|A|B|||20260101||ADT^A01|1|P|2.5|||||||{said}\r"
        "PID|1||1||Müller^Jörg\rNK1|1|Größe^Zoë\rNK1|2|Ñandú\r"
    )
    body = text.encode(charset)
    found = values(show_body(entry(body)))
    for address, (_, value, begin, end) in found.items():
        assert body[begin:end].decode(charset) == value, address
    assert found["NK1[2]-2[1].1"][1] == "Ñandú"


FHIR = sorted((HERE / "sample_messages/fhir").iterdir())
FILES = sorted(
    path
    for folder in ("lab", "adt", "cda", "x12", "ncpdp", "dicom", "documents", "fhir", "traps")
    for path in (HERE / "sample_messages" / folder).iterdir()
    if path.suffix in (".hl7", ".xml", ".x12", ".edi", ".dcm", ".json")
)


@pytest.mark.parametrize("path", FILES[::3], ids=lambda p: f"{p.parent.name}/{p.name}")
def test_what_is_shown_has_the_addresses_of_lineage(path: Path) -> None:
    one = entry(path.read_bytes())
    shown = show_body(one, at_once=10_000)
    assert not shown.problem and shown.bytes == len(one.body)
    mine, known = set(values(shown)), set(values_of(one))
    assert mine and (known <= mine or mine <= known)  # of X12 the envelope too; of a long document a part


@pytest.mark.parametrize("path", FHIR, ids=lambda p: p.name)
def test_fhir_is_shown_by_its_entries_and_its_documents_open(path: Path) -> None:
    one = entry(path.read_bytes())
    shown = show_body(one, at_once=10_000)
    assert set(values(shown)) == set(values_of(one))
    heads = [s.address for s in shown.segments]
    assert (
        heads[0] in ("Bundle", "Observation") and len(heads) == len(set(heads))
    ) or "Bundle.entry[0]" in heads
    assert readable(one.body).startswith("{") and "Okafor" not in "".join(heads)
    opened = [open_content(one, c.number) for c in contents(one)]
    assert [o.body[:17] for o in opened] == ([b"Discharge summary"] if "mhd" in path.name else [])


def test_a_page_is_a_part_and_the_next_goes_on() -> None:
    lines = "".join(f"NTE|{n}||text {n}\r" for n in range(1, 1001))
    body = f"MSH|^~\\&|A|B|||20260101||ORU^R01|1|P|2.5\r{lines}".encode()
    shown = show_body(entry(body), 901, at_once=50)
    assert (shown.first, shown.total, len(shown.segments)) == (901, 1001, 50)
    assert shown.segments[0].address == "NTE[900]"
    assert show_body(entry(body), 5000).segments == ()


def test_a_long_value_is_cut_and_says_so() -> None:
    body = b"MSH|^~\\&|A|B|||20260101||ORU^R01|1|P|2.5\rOBX|1|ED|1||^^^Base64^" + b"QUJD" * 2000 + b"\r"
    (value,) = [
        v
        for s in show_body(entry(body)).segments
        for f in s.fields
        if f.number == 5
        for v in f.values
        if v.address.endswith(".5")
    ]
    assert len(value.value) == 1000 and value.cut == 7000 and value.end - value.begin == 8000


def test_fifty_mebibytes_do_not_kill_the_page() -> None:
    body = (
        b"MSH|^~\\&|A|B|||20260101||ORU^R01|1|P|2.5\rPID|1||7\r"
        + b"OBX|1|ED|1||^^^Base64^"
        + b"QUJD" * (13 << 20)
    )
    assert len(body) > 50 << 20 > WHOLE
    shown = show_body(entry(body))
    assert shown.bytes == len(body)
    assert f"{PART:,} of {len(body):,} bytes" in shown.note
    assert [s.address for s in shown.segments] == ["MSH[1]", "PID[1]", "OBX[1]"]
    assert sum(len(v.value) for s in shown.segments for f in s.fields for v in f.values) < 3000


def test_what_cannot_be_read_says_why() -> None:
    shown = show_body(entry(b"GET / HTTP/1.1\r\n"))
    assert "no MSH segment" in shown.problem and shown.segments == ()


def test_nothing_a_terminal_or_a_page_would_obey() -> None:
    body = b"MSH|^~\\&|A|B|||20260101||ORU^R01|1|P|2.5\rNTE|1||\x1b[31mred\x07<b>\r"
    assert values(show_body(entry(body)))["NTE[1]-3[1].1"][1] == "\\x1b[31mred\\x07<b>"
