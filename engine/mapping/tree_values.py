"""What rows cannot say of an element of a document, as named functions: `as: NAME` calls one.

Each takes an element (`Node`) and the run `x`, and returns the FHIR value of the row's target, or None;
`x.fail(code, text)` says that there was something which the type cannot hold. In the traced twin a value made
of several places says so with `x.from_(value, node, "@attribute", ...)`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from html import escape
from typing import Any

from lxml import etree

from engine.formats.cda import identity
from engine.formats.cda.attachments import read_attachment
from engine.formats.cda.elements import V3, local
from engine.formats.cda.identity import EntryIds
from engine.formats.cda.narrative import narrative
from engine.formats.cda.pressures import pressures
from engine.formats.cda.quantities import number
from engine.formats.cda.texts import Texts, plain_text
from engine.formats.cda.times import moment
from engine.formats.xml.nodes import Node
from engine.mapping.traced import absorb

__all__ = ["FUNCTIONS", "KEYS", "Function", "named", "named_key", "said_by_us", "uri_of"]

Function = Callable[[Node, Any], Any]

FUNCTIONS: dict[str, Function] = {}
"""The functions by the names that rows call them."""


KEYS: set[str] = set()
"""Those whose result only names something: what stands in the element is not mapped by it."""


def named(fn: Function) -> Function:
    """Register a function under its name."""
    FUNCTIONS[fn.__name__] = fn
    return fn


def named_key(fn: Function) -> Function:
    """Register a function whose result says nothing of what stands in the element: an identity of it, or a
    copy of it as it came."""
    KEYS.add(fn.__name__)
    return named(fn)


_OID = re.compile(r"[0-2](?:\.(?:0|[1-9]\d*))+", re.ASCII)
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_V2_TABLE = re.compile(r"2\.16\.840\.1\.113883\.12\.(\d{1,4})")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*", re.ASCII)
_MOST_INSIDE = 1 << 20
_MINUTES = {"min": Decimal(1), "h": Decimal(60), "d": Decimal(1440), "s": Decimal(1) / 60}


def uri_of(text: str) -> str:
    """Write an OID, UUID or URI as a URI; empty for anything else."""
    plain = text.removeprefix("urn:oid:")
    if table := _V2_TABLE.fullmatch(plain):
        return f"http://terminology.hl7.org/CodeSystem/v2-{int(table[1]):04d}"
    if _OID.fullmatch(plain):
        return f"urn:oid:{plain}"
    plain = text.removeprefix("urn:uuid:")
    if _UUID.fullmatch(plain):
        return f"urn:uuid:{plain.lower()}"
    return text if text.startswith(("http://", "https://", "urn:")) and " " not in text else ""


@named
def code_system(node: Node, x: Any) -> Any:
    """Give the URI of a coding's system: by its OID, else by the name that was written."""
    said, name = node.get("codeSystem"), node.get("codeSystemName")
    uri = (x.sender.system(said.removeprefix("urn:oid:")) or uri_of(said)) if said else ""
    if not uri and name:
        uri = x.sender.system(name)
    if not uri:
        if said:
            x.fail("no-system", x.from_(said, node, "@codeSystem"))
        return None
    return x.from_(uri, node, "@codeSystem", "@codeSystemName")


def _texts(x: Any) -> Texts:
    return x.message.document.texts  # type: ignore[no-any-return]


@named
def narrative_text(node: Node, x: Any) -> Any:
    """Give what a `text` or `originalText` says: its own words, else those of the narrative it points to."""
    said = _texts(x).read(node.element)
    if said.dangling:
        pointer = next(iter(node.by("reference")), node)
        x.fail("dangling-reference", x.from_(said.id, pointer, "@value"))
    if not said.text:
        return None
    return x.from_(said.text, node)


@named
def words_of(node: Node, x: Any) -> Any:
    """Give all words in an element, those of what is inside too."""
    return x.from_(node.words, node) or None


@named
def end_before_start(node: Node, x: Any) -> Any:
    """Say that the end of a span comes before its beginning: no Period can hold it (FHIR R4 per-1)."""
    x.fail("end-before-start", x.from_(node.get("value"), node, "@value"))


@named
def language(node: Node, x: Any) -> Any:
    """Give the code of a language as BCP 47 writes it; documents write en_US and eng too."""
    code = node.get("code").replace("_", "-")
    if code and not _LANGUAGE.fullmatch(code):
        x.fail("not-a-language", x.from_(code, node, "@code"))
        return "und"  # BCP 47: undetermined
    first, dash, rest = code.partition("-")
    if hit := x.tables["cda_Language"].translate(first.lower()):
        code = f"{hit.code}{dash}{rest}"
    return x.from_(code, node, "@code") if code else None


@named
def section_Narrative(node: Node, x: Any) -> Any:
    """Give the narrative of a section as safe XHTML, its ids kept; one without words says so."""
    if node.get("nullFlavor") and node.by("entry"):
        x.flag(
            "null-section",
            f" {node.place}",
            "a section says that it has no information, and has entries",
            True,
        )
    text = next(iter(node.by("text")), None)
    found = narrative(text.element if text is not None else None)
    if text is None or not found.div:
        title = next((t.words for t in node.by("title")), "")
        words = escape(f"{title}: no text was sent" if title else "No text was sent", quote=False)
        div = f'<div xmlns="http://www.w3.org/1999/xhtml">{words}</div>'
        return {"status": said_by_us("generated", node, x), "div": said_by_us(div, node, x)}
    if found.dropped:
        what = f"elements that no narrative may hold: {', '.join(found.dropped)}"
        x.flag("narrative-left-out", f" {text.place}", what)
    return {"status": x.from_("additional", text), "div": x.from_(found.div, text)}


def said_by_us(value: Any, node: Node, x: Any) -> Any:
    """Mark a value that no part of the element says."""
    return x.from_(value, node, "@")


@named
def ED_Attachment(node: Node, x: Any) -> Any:
    """Give an ED: base64 as it was sent, inflated where it was compressed; words as base64; else its URL."""
    found = read_attachment(node.element)
    if found is None:
        return None
    out: dict[str, Any] = {}
    if found.problem:
        x.fail(f"attachment-{found.problem}", x.from_(found.problem, node, "text()"))
    if found.media_type:
        out["contentType"] = x.from_(found.media_type, node, "@mediaType")
    if found.language:
        out["language"] = x.from_(found.language, node, "@language")
    if found.data is not None:
        out["data"] = x.from_(
            base64.b64encode(found.data).decode("ascii"), node, "text()", "@representation", "@compression"
        )
        out["size"] = said_by_us(len(found.data), node, x)
    elif found.text:
        out.setdefault("contentType", said_by_us("text/plain", node, x))
        words = found.text.encode("utf-8")
        out["data"] = x.from_(base64.b64encode(words).decode("ascii"), node, "text()")
    if found.url:
        reference = node.by("reference")[0]
        out["url"] = x.from_(found.url, reference, "@value")
    if found.title:
        out["title"] = x.from_(found.title, node.by("title")[0])
    return out or None


@named
def note_Attachment(node: Node, x: Any) -> Any:
    """Give the words of a note from the narrative: plain, or XHTML where there is a table or list."""
    pointed = node.by("reference")
    target = _texts(x).element(pointed[0].get("value").removeprefix("#")) if pointed else None
    at = node.element if target is None else target
    if any(local(e) in ("table", "list", "renderMultiMedia") for e in at.iter("{*}*")):
        whole = etree.Element(f"{{{V3}}}text")
        whole.append(deepcopy(at))
        kind, words = "application/xhtml+xml", narrative(whole).div
    else:
        kind, words = "text/plain", plain_text(at)
    if not words:
        return None
    data = base64.b64encode(words.encode()).decode("ascii")
    return {
        "contentType": kind,
        "data": x.from_(data, pointed[0] if pointed else node, "*"),
    }


@named
def times_of_Period(node: Node, x: Any) -> Any:
    """Give the earliest and the latest time of what an organizer holds, where it says none itself."""
    found = []
    for component in node.by("component"):
        for observation in component.by("observation"):
            for time in observation.by("effectiveTime"):
                for at in (time, *time.by("low"), *time.by("high")):
                    said = moment(at.get("value"))
                    if said.fhir:
                        found.append((said.local or said.fhir, said.fhir, at))
    if not found:
        return None
    ends = (min(found, key=lambda f: f[0]), max(found, key=lambda f: f[0]))
    return {
        name: x.from_(fhir, at, "@value") for name, (_, fhir, at) in zip(("start", "end"), ends, strict=True)
    }


def _above(node: Node, steps: int) -> Node:
    return node if not steps or node.parent is None else _above(node.parent, steps - 1)


@named
def time_of_pressures(node: Node, x: Any) -> Any:
    """Give the one time of a panel's two pressures, as both say it; `node` is the time of one of them."""
    one = None
    panel = _above(node, 3)
    pair = pressures(panel.element) or ()
    for observation in (o for c in panel.children for o in c.by("observation")):
        if observation.element in pair:
            for text in x.texts_of(observation, "effectiveTime/@value"):
                time = x.date_time(text)
                one = time if one is None else absorb(one, time)
    return one


@named_key
def document_Attachment(node: Node, x: Any) -> Any:
    """Give the document itself, byte for byte; of a large one its size and hash: the journal has it."""
    raw: bytes = x.message.document.raw
    out: dict[str, Any] = {"contentType": "text/xml", "size": len(raw)}
    if len(raw) <= _MOST_INSIDE:
        out["data"] = base64.b64encode(raw).decode("ascii")
    out["hash"] = base64.b64encode(hashlib.sha1(raw, usedforsecurity=False).digest()).decode("ascii")
    return {k: said_by_us(v, node, x) for k, v in out.items()}


@named_key
def entry_key(node: Node, x: Any) -> Any:
    """Give what tells a statement of a CDA document from all others; None where nothing does."""
    ids = getattr(x, "entry_ids", None)
    if ids is None:
        ids = x.entry_ids = EntryIds(node.top.element)
    key = identity.entry_key(node.element, ids)
    told = next((n for n in node.by("id") if n.get("root")), None)
    if told is None:
        return key or None
    return x.from_(key, told, "@root", "@extension") if key else None


@named
def offset_minutes(node: Node, x: Any) -> Any:
    """Give the offset of an EIVL_TS from its event in whole minutes, as FHIR wants it."""
    at = next((n for n in (node, *node.by("low"), *node.by("high")) if n.get("value")), None)
    if at is None:
        return None
    value, factor = number(at.get("value")), _MINUTES.get(at.get("unit"))
    minutes = abs(value * factor) if value is not None and factor is not None else None
    if minutes is None or minutes != int(minutes):
        x.fail("no-whole-minutes", f"{at.get('value')} {at.get('unit')}".strip())
        return None
    return x.from_(int(minutes), at, "@value", "@unit")


@named
def repeats_after_first(node: Node, x: Any) -> Any:
    """Give how often a supply may be repeated after the first time: CDA counts all, FHIR the refills."""
    said = node.get("value")
    if not said.isdecimal() or int(said) < 1:
        if said:
            x.fail("no-number-of-supplies", said)
        return None
    return x.from_(int(said) - 1, node, "@value")
