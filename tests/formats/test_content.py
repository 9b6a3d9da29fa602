"""A format is told by content, through every disguise that senders give it, and nothing is guessed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.formats.content import FORMATS, recognise

SAMPLES = Path(__file__).parents[2] / "sample_messages"
ISA = (
    b"ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *260101*1200*^*00501*"
    b"000000001*0*P*:~GS*HC*A*B*20260101*1200*1*X*005010X222A1~"
)
CDA = '<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="1.2"/></ClinicalDocument>'
RX = '<Message xmlns="http://www.ncpdp.org/schema/SCRIPT"><Header/><Body><NewRx/></Body></Message>'


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"MSH|^~\\&|A|B\r", "hl7v2"),
        (b"\x0bMSH|^~\\&|A|B\r", "hl7v2"),
        (b"\r\n\r\nFHS|^~\\&|A\r", "hl7v2"),
        ("﻿MSH|^~\\&|A|B\r".encode(), "hl7v2"),
        ("MSH|^~\\&|A|B\r".encode("utf-16"), "hl7v2"),
        (b"exported by the engine\r\nMSH|^~\\&|A|B\r", "hl7v2"),
        (ISA, "x12"),
        (b"\xef\xbb\xbf" + ISA, "x12"),
        (b"\r\n " + ISA, "x12"),
        (b"a line before it\r\n" + ISA, "x12"),
        (CDA.encode(), "cda"),
        (b"\xef\xbb\xbf" + CDA.encode(), "cda"),
        (CDA.encode("utf-16"), "cda"),
        (CDA.encode("utf-16-be"), "cda"),
        (b"<?xml version='1.0'?><!-- Message --><?style x?>" + CDA.encode(), "cda"),
        (b'<n:ClinicalDocument xmlns:n="urn:hl7-org:v3"/>', "cda"),
        (b"<ClinicalDocument>", "cda"),
        (b'<!DOCTYPE x [<!ENTITY y "z">]><ClinicalDocument/>', "cda"),
        (RX.encode(), "ncpdp"),
        (b'<s:Message xmlns:s="http://www.ncpdp.org/schema/SCRIPT"/>', "ncpdp"),
        (b"<Message><Header><MessageID>1</MessageID></Header></Message>", "ncpdp"),
        (b'<!DOCTYPE x><Message xmlns="urn:ncpdp"/>', "ncpdp"),
        (b"<Message><to>you</to></Message>", ""),
        (b"<html><body>ClinicalDocument</body></html>", ""),
        (b"", ""),
        (b"ISABELLA came home\n", ""),
        (b"PK\x03\x04 and nothing", ""),
        (b"%PDF-1.7", ""),
    ],
)
def test_content_tells(data: bytes, expected: str) -> None:
    assert recognise(data) == expected


@pytest.mark.parametrize("names", [["IHE_XDM/SUBSET01/METADATA.XML"], ["README.TXT", "x"], ["index.htm"]])
def test_a_zip_is_xdm_where_it_holds_ihe_xdm(names: list[str]) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name in names:
            z.writestr(name, "x")
    assert recognise(out.getvalue()) == "xdm"


def test_another_zip_is_none() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("word/document.xml", "<x/>")
    assert recognise(out.getvalue()) == ""


def test_every_sample_is_what_its_folder_says() -> None:
    kinds = {"x12": "x12", "cda": "cda", "ncpdp": "ncpdp"}
    seen = 0
    for folder, kind in kinds.items():
        for file in sorted((SAMPLES / folder).rglob("*")):
            if file.is_file() and file.suffix in (".xml", ".x12", ".edi", ".txt", ".835", ".837"):
                assert recognise(file.read_bytes()) == kind, file.name
                seen += 1
    assert seen > 10


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    for begin in (b"", b"<", b"PK\x03\x04", b"ISA*", b"\xff\xfe<\0"):
        assert recognise(begin + data) in ("", *FORMATS)
