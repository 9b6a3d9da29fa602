"""A document as one HTML page for a person: who, when, by whom, every section, and what is coded in it.

In: a `Document`. Out: bytes of a page that stands alone: no script, no style or image from elsewhere, a
content security policy that forbids them. It is written from the parsed tree, never by the sender's style
sheet. What is denied says NOT, what is null says why. An embedded PDF or image is offered as a file; only
PNG, JPEG and GIF are shown. Follows CDA R2 1.2.3 (human readability: header and narrative must be shown).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape

from engine.formats.cda.attachments import Attachment, read_attachment
from engine.formats.cda.codes import Coded, read_code
from engine.formats.cda.document import Document
from engine.formats.cda.elements import V3, Element, child, children, own_text
from engine.formats.cda.narrative import narrative
from engine.formats.cda.parties import Identifier, read_address, read_identifier, read_name, read_telecom
from engine.formats.cda.sections import Section, sections
from engine.formats.cda.statements import statements
from engine.formats.cda.times import Interval, Moment, read_moment, read_timing
from engine.formats.cda.values import read_value

__all__ = ["render"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;color:#1b1f24;max-width:70rem;margin:0 auto;padding:0 1rem 3rem}
header{border:1px solid #9aa4af;border-left:.5rem solid #1f5f8b;padding:.6rem 1rem;margin:1rem 0}
h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.15rem;border-bottom:1px solid #c9d0d6;margin-top:2rem}
dl.about{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:.4rem 0}
dl.about dt{color:#4c5661}dl.about dd{margin:0}
table{border-collapse:collapse;margin:.5rem 0}
td,th{border:1px solid #c9d0d6;padding:.2rem .5rem;text-align:left;vertical-align:top}
.footnote{font-size:.9em;color:#4c5661}.not{font-weight:700;color:#a40000}
.null{color:#6b4b00;font-style:italic}details{margin:.5rem 0}summary{cursor:pointer;color:#1f5f8b}
:target{background:#fff3b0}.renderMultiMedia{color:#4c5661}img{max-width:100%}nav ul{columns:2}
pre{white-space:pre-wrap}@media print{nav,summary{display:none}}
"""
_SHOWN = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8"}
_NAMES = {
    "application/pdf": "pdf",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "text/rtf": "rtf",
}


def render(document: Document) -> bytes:
    """Write the page (UTF-8)."""
    found = list(sections(document))
    title = document.title or document.code.display or "Clinical document"
    names = [s.title or s.code.display or s.kind or "Section" for s in found]
    out = [
        '<!DOCTYPE html>\n<html lang="',
        escape(document.language or "en"),
        '">\n<head>\n<meta charset="utf-8">\n',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n',
        '<meta name="referrer" content="no-referrer">\n<meta name="viewport" content="width=device-width">\n',
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n",
        *_banner(document, title),
    ]
    if found:
        out.append("<nav><ul>\n")
        out += [f'<li><a href="#hub-{n}">{escape(name)}</a></li>\n' for n, name in enumerate(names, 1)]
        out.append("</ul></nav>\n")
    out.append("<main>\n")
    for n, (section, name) in enumerate(zip(found, names, strict=True), 1):
        level = min(2 + section.depth, 6)
        out.append(f'<section id="hub-{n}">\n<h{level}>{escape(name)}</h{level}>\n')
        out += _section(document, section)
        out.append("</section>\n")
    body = document.unstructured
    if body is not None:
        out.append("<section>\n<h2>Content</h2>\n")
        out += _content(body)
        out.append("</section>\n")
    out.append("</main>\n</body>\n</html>\n")
    return "".join(out).encode("utf-8", "xmlcharrefreplace")


def _banner(document: Document, title: str) -> Iterator[str]:
    root = document.root
    yield f"<header>\n<h1>{escape(title)}</h1>\n"
    for target in children(root, "recordTarget"):
        role = child(target, "patientRole")
        patient = child(role, "patient")
        born = read_moment(child(patient, "birthTime"))
        yield '<dl class="about">\n'
        yield from _row("Patient", *(n.full for e in children(patient, "name") if (n := read_name(e))))
        yield from _row("Born", _moment(born))
        yield from _row("Sex", _coded(read_code(child(patient, "administrativeGenderCode"))))
        yield from _row("Numbers", *(_identifier(read_identifier(e)) for e in children(role, "id")))
        for addr in children(role, "addr"):
            if place := read_address(addr):
                parts = (*place.lines, place.city, place.state, place.postal, place.country, place.text)
                yield from _row("Address", ", ".join(p for p in parts if p))
        yield from _row("Reached at", *(t.value for e in children(role, "telecom") if (t := read_telecom(e))))
        yield "</dl>\n"
    yield '<dl class="about">\n'
    yield from _row("Document", _coded(document.code), document.guide)
    yield from _row("Made", _moment(document.time))
    yield from _row("Number", _identifier(document.id), document.version and f"version {document.version}")
    yield from _row("Confidentiality", _coded(document.confidentiality))
    for label, path in (
        ("Author", ("assignedAuthor",)),
        ("Signed by", ("assignedEntity",)),
        ("Custodian", ("assignedCustodian", "representedCustodianOrganization")),
    ):
        tag = {"Author": "author", "Signed by": "legalAuthenticator", "Custodian": "custodian"}[label]
        for who in children(root, tag):
            yield from _row(label, _who(child(who, *path)), _moment(read_moment(child(who, "time"))))
    for related in document.related:
        word = {"RPLC": "Replaces", "APND": "Adds to", "XFRM": "Made from"}.get(related.type, related.type)
        yield from _row(word, *(_identifier(i) for i in related.ids))
    yield "</dl>\n</header>\n"


def _row(label: str, *values: str) -> Iterator[str]:
    said = [v for v in values if v]
    if said:
        yield f"<dt>{escape(label)}</dt><dd>{escape('; '.join(said))}</dd>\n"


def _who(element: Element | None) -> str:
    if element is None:
        return ""
    for path in (("assignedPerson", "name"), ("name",), ("representedOrganization", "name")):
        if name := read_name(child(element, *path)):
            if name.full:
                return name.full
    device = child(element, "assignedAuthoringDevice", "softwareName")
    return own_text(device)


def _identifier(identifier: Identifier | None) -> str:
    if identifier is None or identifier.null:
        return ""
    number = identifier.extension or identifier.root
    return f"{number} ({identifier.authority or identifier.root})" if identifier.extension else number


def _moment(moment: Moment | None) -> str:
    if moment is None:
        return ""
    return (
        f"not known ({moment.null})"
        if moment.null
        else (moment.local or moment.fhir or moment.text).replace("T", " ")
    )


def _coded(coded: Coded | None) -> str:
    if coded is None:
        return ""
    known = next(iter(coded.all()), coded)
    words = coded.display or known.display or coded.text
    code = f" ({known.code})" if known.code and words else known.code
    return words + code or (f"null: {coded.null}" if coded.null else "")


def _section(document: Document, section: Section) -> Iterator[str]:
    if section.null:
        yield f'<p class="null">No information ({escape(section.null)})</p>\n'
    text = narrative(section.text)
    yield text.div.replace(' xmlns="http://www.w3.org/1999/xhtml"', "", 1) or '<p class="null">No text</p>\n'
    for id_ in text.media:
        media = document.texts.element(id_)
        if media is not None:
            for value in media.iter(f"{{{V3}}}value"):
                if found := read_attachment(value):
                    yield from _content(found)
    rows = list(_rows(document, section))
    if rows:
        yield f"<details>\n<summary>{len(rows)} coded statements</summary>\n<table>\n"
        yield "<tr><th>What</th><th></th><th>Code</th><th>Value</th><th>When</th></tr>\n"
        yield from rows
        yield "</table>\n</details>\n"


def _rows(document: Document, section: Section) -> Iterator[str]:
    for entry in section.entries():
        for depth, one in statements(entry, section.kind):
            code = read_code(child(one.element, "code"), document.texts)
            material = child(one.element, "consumable", "manufacturedProduct", "manufacturedMaterial", "code")
            if (product := read_code(material, document.texts)) is not None:
                code = product
            value = read_value(child(one.element, "value"), document.texts)
            when = [t for e in children(one.element, "effectiveTime") for t in read_timing(e)]
            said = "NOT" if one.negated else ""
            null = f' <span class="null">{escape(one.null)}</span>' if one.null else ""
            pointed = code.text_id if code else ""
            link = f' <a href="#{escape(pointed)}">text</a>' if pointed else ""
            spans = "; ".join(_span(t) for t in when if isinstance(t, Interval))
            yield (
                f"<tr><td>{'· ' * min(depth, 10)}{escape(one.kind or one.name)}{null}</td>"
                f'<td class="not">{said}</td><td>{escape(_coded(code))}{link}</td>'
                f"<td>{escape(_value(value))}</td><td>{escape(spans)}</td></tr>\n"
            )


def _span(span: Interval) -> str:
    if span.point is not None:
        return _moment(span.point)
    return " – ".join((_moment(span.low), _moment(span.high))) if span.low or span.high else ""


def _value(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Coded):
        return _coded(value)
    null = getattr(value, "null", "")
    if null:
        return f"null: {null}"
    for name in ("text", "extension"):
        if said := getattr(value, name, ""):
            return f"{said} {getattr(value, 'unit', '')}".strip()
    low, high = getattr(value, "low", None), getattr(value, "high", None)
    if low is not None or high is not None:
        return " – ".join(f"{b.text} {b.unit}".strip() if b else "" for b in (low, high))
    truth = getattr(value, "value", None)
    return str(truth).lower() if isinstance(truth, bool) else ""


def _content(body: Attachment) -> Iterator[str]:
    if body.problem:
        yield f'<p class="null">The content cannot be read ({escape(body.problem)})</p>\n'
    if body.text:
        yield f"<pre>{escape(body.text)}</pre>\n"
    if body.url:
        yield f"<p>Kept at: {escape(body.url)}</p>\n"
    if body.data is None:
        return
    if body.media_type.startswith("text/plain"):
        yield f"<pre>{escape(body.data.decode('utf-8', 'replace'))}</pre>\n"
        return
    kind = body.media_type if body.media_type in _NAMES else "application/octet-stream"
    data = base64.b64encode(body.data).decode()
    magic = _SHOWN.get(body.media_type)
    if magic and body.data.startswith(magic):
        yield f'<p><img alt="{escape(body.title or "image")}" src="data:{kind};base64,{data}"></p>\n'
    name = f"content.{_NAMES.get(kind, 'bin')}"
    about = f"{len(body.data):,} bytes, {escape(body.media_type or 'type not said')}"
    yield f'<p><a download="{name}" href="data:{kind};base64,{data}">Save the content</a> ({about})</p>\n'
