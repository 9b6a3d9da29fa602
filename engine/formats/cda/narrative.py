"""The narrative of a section as clean XHTML, fit for `Narrative.div`, and safe to show.

In: a `text` element. Out: one `<div xmlns="http://www.w3.org/1999/xhtml">` of allowed elements with allowed
attributes, every id kept so that entries still point into it, every table, list, footnote and style in it;
or an empty string where there is nothing to read. Scripts, frames, forms, images from elsewhere, event
attributes and unsafe links cannot come out: nothing is copied but text, everything else is written anew from
the tables here. Follows CDA R2 4.3.5 (narrative block), FHIR R4 narrative rules (txt-1, txt-2).
"""

from __future__ import annotations

import re
from html import escape
from typing import NamedTuple

from engine.formats.cda.elements import Element

__all__ = ["Narrative", "narrative"]

_DEEPEST = 100  # open tags; what is nested deeper keeps its words
_DROPPED = {
    *(
        "script",
        "style",
        "iframe",
        "frame",
        "frameset",
        "object",
        "embed",
        "applet",
        "form",
        "input",
        "button",
    ),
    *(
        "select",
        "option",
        "textarea",
        "link",
        "meta",
        "base",
        "svg",
        "math",
        "audio",
        "video",
        "template",
        "noscript",
    ),
}
_SAME = {
    *("br", "sub", "sup", "caption", "table", "thead", "tbody", "tfoot", "tr", "th", "td", "colgroup", "col"),
    *(
        "p",
        "div",
        "span",
        "b",
        "i",
        "em",
        "strong",
        "small",
        "big",
        "tt",
        "pre",
        "code",
        "q",
        "cite",
        "blockquote",
    ),
    *(
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "abbr",
        "acronym",
        "dfn",
        "kbd",
    ),
    *("samp", "var"),
}
_NAMES = {
    "paragraph": "p",
    "content": "span",
    "item": "li",
    "footnote": "span",
    "footnoteref": "a",
    "linkhtml": "a",
    "a": "a",
    "rendermultimedia": "span",
    "title": "span",
    "u": "span",
    "s": "span",
    "font": "span",
    "center": "div",
}
_BLOCKS = {"paragraph", "list", "table", "p", "div", "ul", "ol", "dl", "pre", "blockquote", "center", "hr"}
_EMPTY = {"br", "hr", "col"}
_ALIGN = {
    "align": {"left", "center", "right", "justify", "char"},
    "valign": {"top", "middle", "bottom", "baseline"},
}
_NUMBERED = {"arabic", "littleroman", "bigroman", "littlealpha", "bigalpha"}
_STYLED = {"bold": "b", "italics": "i", "italic": "i", "emphasis": "em"}
_LINES = {"underline": "text-decoration: underline", "strikethrough": "text-decoration: line-through"}
_CLASS = re.compile(r"[^A-Za-z0-9_\-]")
_ID = re.compile(r"^[^\s<>\"'&]{1,255}$")
_LINK = re.compile(r"^(?:https?://|mailto:|tel:)[^\s<>\"'\\]+$", re.I)


class Narrative(NamedTuple):
    """The XHTML, the ids in it, the media it shows by reference, and what was left out, by name."""

    div: str
    ids: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


class _Writer:
    def __init__(self, prefix: str) -> None:
        self.out: list[str] = []
        self.open: list[str] = []
        self.ids: dict[str, None] = {}
        self.media: dict[str, None] = {}
        self.dropped: dict[str, None] = {}
        self.prefix = prefix
        self.words = False

    def text(self, text: str | None) -> None:
        if text:
            self.out.append(escape(text, quote=False))
            self.words = self.words or not text.isspace()

    def start(self, element: Element, name: str) -> list[str]:
        """Open what an element becomes; returns the end tags, innermost first."""
        if name in _DROPPED:
            self.dropped[name] = None
            return []
        tag = _NAMES.get(name) or (name if name in _SAME else "")
        if name == "list":
            tag = (
                "ol"
                if (element.get("listType") or "").strip() == "ordered" or self._numbered(element)
                else "ul"
            )
        elif name == "caption" and self._parent(element) not in ("table",):
            tag = "li" if self._parent(element) == "list" else "span"
        elif name == "img":
            self.dropped[name] = None
            self.text(element.get("alt"))
            return []
        if not tag:
            self.dropped[name] = None
        if not tag or len(self.open) >= _DEEPEST:
            return []
        if tag in ("p", "span") and any(str(c.tag).rpartition("}")[2].lower() in _BLOCKS for c in element):
            tag = "div"
        attributes, inner = self._attributes(element, name, tag)
        if tag in _EMPTY:
            self.out.append(f"<{tag}{attributes}/>")
            return []
        self.out.append(f"<{tag}{attributes}>")
        self.out += [f"<{i}>" for i in inner]
        if name == "rendermultimedia" and not len(element) and not (element.text or "").strip():
            self.text("[media]")
        elif name == "footnoteref" and not len(element) and not (element.text or "").strip():
            self.text("*")
        return [*reversed(inner), tag]

    @staticmethod
    def _parent(element: Element) -> str:
        parent = element.getparent()
        return str(parent.tag).rpartition("}")[2].lower() if parent is not None else ""

    @staticmethod
    def _numbered(element: Element) -> bool:
        return bool(_NUMBERED & {s.lower() for s in (element.get("styleCode") or "").split()})

    def _attributes(self, element: Element, name: str, tag: str) -> tuple[str, list[str]]:
        classes: list[str] = []
        inner: list[str] = []
        styles: list[str] = []
        made = ""
        for token in f"{element.get('styleCode') or ''} {element.get('class') or ''}".split()[:20]:
            word = token.lower()
            if word in _STYLED and tag in ("span", "p", "td", "th", "li", "div", "caption"):
                if _STYLED[word] not in inner and tag != "div":
                    inner.append(_STYLED[word])
                    continue
            if word in _LINES and _LINES[word] not in styles:
                styles.append(_LINES[word])
            if clean := _CLASS.sub("", token):
                classes.append(clean)
        if name in ("footnote", "footnoteref", "caption", "title") and tag != "caption":
            classes.append({"footnoteref": "footnoteRef"}.get(name, name))
        if name in ("u", "s"):
            styles.append(_LINES["underline" if name == "u" else "strikethrough"])
        revised = (element.get("revised") or "").strip().lower()
        if revised == "delete":  # must look deleted where no style sheet knows the class
            styles.append(_LINES["strikethrough"])
            classes.append("delete")
        elif revised == "insert":
            classes.append("insert")
        said = (element.get("ID") or element.get("id") or "").strip()
        if said and _ID.match(said) and said not in self.ids:
            self.ids[said] = None
            made += f' id="{escape(self.prefix + said)}"'
        if name == "rendermultimedia":
            classes.append("renderMultiMedia")
            shown = [r for r in (element.get("referencedObject") or "").split() if _ID.match(r)]
            self.media.update(dict.fromkeys(shown))
            if shown:
                made += f' title="{escape(" ".join(shown))}"'
        if classes:
            made += f' class="{" ".join(dict.fromkeys(classes))}"'
        if styles:
            made += f' style="{"; ".join(dict.fromkeys(styles))}"'
        if tag == "a":
            made += self._href(element, name)
        if tag in ("td", "th", "col", "colgroup"):
            made += self._cell(element)
        return made, inner

    def _href(self, element: Element, name: str) -> str:
        target = (element.get("IDREF" if name == "footnoteref" else "href") or "").strip()
        if name == "footnoteref" or target.startswith("#"):
            id_ = target.removeprefix("#")
            return f' href="#{escape(self.prefix + id_)}"' if _ID.match(id_) else ""
        if _LINK.match(target):
            return f' href="{escape(target)}"'
        if target:
            self.dropped["href"] = None
        return ""

    @staticmethod
    def _cell(element: Element) -> str:
        made = ""
        for attribute in ("colspan", "rowspan", "span"):
            value = (element.get(attribute) or "").strip()
            if value.isascii() and value.isdigit() and 1 < int(value[:5]) <= 1000:
                made += f' {attribute}="{int(value[:5])}"'
        for attribute, allowed in _ALIGN.items():
            value = (element.get(attribute) or "").strip().lower()
            if value in allowed:
                made += f' {attribute}="{value}"'
        return made


def narrative(text: Element | None, prefix: str = "") -> Narrative:
    """Write the narrative as XHTML; `prefix` goes before every id (and link to one), for pages of many."""
    if text is None:
        return Narrative("")
    writer = _Writer(prefix)
    writer.text(text.text)
    stack: list[tuple[Element, list[str] | None]] = [(e, None) for e in text.iterchildren(reversed=True)]
    while stack:
        element, ends = stack.pop()
        if ends is not None:
            for tag in ends:
                writer.out.append(f"</{tag}>")
            if ends:
                writer.open.pop()
            writer.text(element.tail)
            continue
        name = str(element.tag).rpartition("}")[2].lower()
        ends = writer.start(element, name)
        if name in _DROPPED:
            writer.text(element.tail)
            continue
        if ends:
            writer.open.append(ends[-1])
        writer.text(element.text)
        stack.append((element, ends))
        stack.extend((inner, None) for inner in element.iterchildren(reversed=True))
    if not writer.words and not writer.media:
        return Narrative("", dropped=tuple(writer.dropped))
    own = (text.get("ID") or "").strip()
    id_ = f' id="{escape(prefix + own)}"' if own and _ID.match(own) and own not in writer.ids else ""
    ids = (*((own,) if id_ else ()), *writer.ids)
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"{id_}>{"".join(writer.out)}</div>'
    return Narrative(div, ids, tuple(writer.media), tuple(writer.dropped))
