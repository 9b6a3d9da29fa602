"""What is embedded is handed out as what it is; markup of a sender is only ever text."""

from __future__ import annotations

import base64

import pytest
from hub_project import HERE
from test_shown import entry

from engine.channels.message.content import contents, kind_of, open_content
from engine.kernel.errors import HubError

HEAD = b"MSH|^~\\&|A|B|||20260101||MDM^T02|1|P|2.5\r"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
EVIL = b"<!DOCTYPE html><script>alert(1)</script>"


def ed(*data: tuple[str, str, bytes], encoding: str = "Base64") -> bytes:
    out = HEAD
    for n, (kind, sub, raw) in enumerate(data, 1):
        text = base64.b64encode(raw) if encoding == "Base64" else raw.hex().encode()
        out += f"OBX|{n}|ED|1||^{kind}^{sub}^{encoding}^".encode() + text + b"\r"
    return out


@pytest.mark.parametrize(
    ("data", "kind", "media", "inline"),
    [
        (b"%PDF-1.7 x", "pdf", "application/pdf", False),
        (PNG, "png", "image/png", True),
        (b"\xff\xd8\xff\xe0abc", "jpeg", "image/jpeg", True),
        (b"{\\rtf1 x}", "rtf", "application/rtf", False),
        (EVIL, "text", "text/plain; charset=utf-8", True),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>",
            "text",
            "text/plain; charset=utf-8",
            True,
        ),
        (b"MZ\x90\x00\x03\0\0", "other", "application/octet-stream", False),
    ],
)
def test_the_media_type_is_what_the_bytes_are(data: bytes, kind: str, media: str, inline: bool) -> None:
    for said in (("text", "html"), ("image", "svg+xml"), ("Application", "PDF")):
        one = entry(ed((*said, data)))
        (listed,) = contents(one)
        assert (listed.kind, listed.bytes, listed.place) == (kind, len(data), "OBX[1]-5[1]")
        assert listed.said == " ".join(said)
        opened = open_content(one, 1)
        assert (opened.body, opened.media, opened.inline) == (data, media, inline)
        assert opened.filename.startswith("entry-1-1.")


def test_a_name_of_the_sender_never_becomes_a_file_name() -> None:
    one = entry(ed(('<img src=x onerror="x()">', "../../etc/passwd", PNG)))
    assert open_content(one, 1).filename == "entry-1-1.png"


def test_hex_and_several_and_damaged() -> None:
    one = entry(ed(("x", "y", PNG), ("x", "y", b"abc def"), encoding="Hex"))
    assert [c.kind for c in contents(one)] == ["png", "text"]
    broken = entry(HEAD + b"OBX|1|ED|1||^x^y^Base64^$$$\r")
    (listed,) = contents(broken)
    assert listed.kind == "" and "encoding" in listed.problem
    with pytest.raises(HubError, match="holds no content 1"):
        open_content(broken, 1)
    with pytest.raises(HubError, match="holds no content 3"):
        open_content(one, 3)


def test_a_document_is_written_anew_from_its_tree() -> None:
    body = (HERE / "sample_messages/cda/ccd.xml").read_bytes()
    body = body.replace(b"<title>", b"<title>&lt;script&gt;alert(1)&lt;/script&gt;", 1)
    one = entry(body)
    first = contents(one)[0]
    assert (first.kind, first.shown) == ("cda", True)
    opened = open_content(one, 1)
    assert opened.media.startswith("text/html") and opened.inline
    assert b"<script" not in opened.body and b"&lt;script&gt;" in opened.body
    inside = entry(ed(("multipart", "related", body)))
    assert contents(inside)[0].kind == "cda"
    assert open_content(inside, 1).body == opened.body


def test_the_pdf_of_an_unstructured_document_is_a_file() -> None:
    one = entry((HERE / "sample_messages/cda/unstructured_pdf.xml").read_bytes())
    pdf = next(c for c in contents(one) if c.kind == "pdf")
    assert not open_content(one, pdf.number).inline and "nonXMLBody" in pdf.place


def test_what_holds_nothing_lists_nothing() -> None:
    assert contents(entry(b"GET / HTTP/1.1")) == []
    assert contents(entry(HEAD)) == []


def test_text_that_is_no_utf8_is_still_text() -> None:
    assert kind_of("Größe".encode("latin-1"))[0] == "text"
    assert open_content(entry(ed(("text", "plain", "Größe".encode("latin-1")))), 1).body == "Größe".encode()
