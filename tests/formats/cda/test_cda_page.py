"""The page for a person: says who, says NOT, runs nothing, fetches nothing."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest
from cda_samples import document, sample, section, text_of

from engine.formats.cda.document import parse
from engine.formats.cda.page import render


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def _seen(page: bytes) -> _Seen:
    seen = _Seen()
    seen.feed(page.decode())
    for tag, attributes in seen.tags:
        assert tag not in ("script", "iframe", "object", "embed", "link", "base", "form", "svg")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "background", "srcset", "poster"):
                assert value.startswith("data:image/")
            if name == "href":
                assert re.match(r"#|https?://|mailto:|tel:|data:[a-z/]+[-a-z]*;base64,", value)
    policies = [
        a["content"] for t, a in seen.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies and "default-src 'none'" in policies[0] and "script-src" not in policies[0]
    return seen


@pytest.mark.parametrize("name", ["ccd", "discharge_summary", "unstructured_pdf", "c32", "lab_report"])
def test_samples_are_shown(name: str) -> None:
    text = " ".join(_seen(render(sample(name))).words)
    assert "Wren" in text and "1961-04-12" in text and "H-40271" in text and "Harbour" in text


def test_every_section_is_shown_and_what_is_denied_says_not() -> None:
    seen = _seen(render(sample("ccd")))
    text = " ".join(" ".join(seen.words).split())
    for words in (
        "Penicillin",
        "metformin 500 mg",
        "5.9 mmol/L",
        "142/88",
        "refused by the patient",
        "None on file.",
    ):
        assert words in text
    rows = re.findall(r"<tr><td>[^\n]*", render(sample("ccd")).decode())
    denied = [r for r in rows if '<td class="not">NOT</td>' in r]
    assert any("Myocardial infarction" in r for r in denied) and any("PPV23" in r for r in denied)
    assert not any("metformin" in r or "Pneumonia" in r for r in denied)
    ids = {a["id"] for _, a in seen.tags if "id" in a}
    assert {a["href"][1:] for _, a in seen.tags if a.get("href", "").startswith("#")} <= ids


def test_a_pdf_is_offered_as_a_file() -> None:
    seen = _seen(render(sample("unstructured_pdf")))
    (link,) = [a for t, a in seen.tags if t == "a" and "download" in a]
    assert link["download"] == "content.pdf"
    assert base64.b64decode(link["href"].partition(",")[2]).startswith(b"%PDF")


def test_hostile_words_stay_words() -> None:
    evil = "<script>alert(1)</script>".replace("<", "&lt;")
    xml = text_of(evil, section(f'<text>{evil}<linkHtml href="javascript:x">y</linkHtml></text>'))
    xml = xml.replace("<title>Summary", f"<title>{evil}").replace("34133-9", "&quot;&gt;&lt;img src=x&gt;")
    seen = _seen(render(parse(xml.encode())))
    assert sum("alert(1)" in w for w in seen.words) >= 3


@pytest.mark.parametrize("media", ["text/html", "image/svg+xml", "application/xhtml+xml", 'x"><script>'])
def test_content_that_could_act_is_only_ever_a_file(media: str) -> None:
    body = base64.b64encode(b"<script>alert(1)</script>").decode()
    said = media.replace("<", "&lt;")
    content = f"<nonXMLBody><text mediaType='{said}' representation='B64'>{body}</text></nonXMLBody>"
    xml = text_of().replace("<structuredBody></structuredBody>", content)
    seen = _seen(render(parse(xml.encode())))
    (link,) = [a for t, a in seen.tags if "download" in a]
    assert link["href"].startswith("data:application/octet-stream;base64,")


def test_a_picture_is_shown_only_if_it_is_one() -> None:
    media = (
        '<entry><observationMedia ID="MM1" classCode="OBS" moodCode="EVN">'
        '<value xsi:type="ED" mediaType="image/png" representation="B64">%s</value>'
        "</observationMedia></entry>"
    )
    text = '<text>picture <renderMultiMedia referencedObject="MM1"/></text>'
    png = media % base64.b64encode(b"\x89PNG\r\n\x1a\n....").decode()
    fake = media % base64.b64encode(b"<svg onload='x'/>").decode()
    for xml, shown in ((png, 1), (fake, 0)):
        seen = _seen(render(document(section(text, xml))))
        assert sum(t == "img" for t, _ in seen.tags) == shown
