"""The narrative as what others point to: `#id` to the text that stands there, once for all of a document.

In: the root. Out: plain text of an id, or of an element that holds a `reference`. Deleted text is left out,
cells and lines stay apart. A reference that leads nowhere is told. Follows CDA R2 4.3.5 (narrative block,
ID/IDREF) and HL7 v3 Data Types R1 (ED.reference).
"""

from __future__ import annotations

from typing import NamedTuple

from engine.formats.cda.elements import V3, Element, attr, child, own_text

__all__ = ["Said", "Texts", "plain_text"]

_LINES = {"br", "paragraph", "item", "tr", "caption", "list", "table", "p", "li", "div", "title", "footnote"}
_CELLS = {"td", "th"}


class Said(NamedTuple):
    """What an element says in words; `id` is where in the narrative, `dangling` that it is not there."""

    text: str
    id: str = ""
    dangling: bool = False


def plain_text(element: Element) -> str:
    """Give the words of a narrative element: lines apart, cells apart, without what is marked as deleted."""
    out: list[str] = []
    stack: list[tuple[Element, bool]] = [(element, False)]
    while stack:
        at, leaving = stack.pop()
        name = str(at.tag).rpartition("}")[2]
        if leaving:
            if name in _LINES:
                out.append("\n")
            elif name in _CELLS:
                out.append("\t")
            if at is not element and at.tail:
                out.append(_blank(at.tail))
            continue
        if name in ("script", "style") or at.get("revised") == "delete":
            if at is not element and at.tail:
                out.append(_blank(at.tail))
            continue
        if name in _LINES and name != "br":
            out.append("\n")
        if at.text:
            out.append(_blank(at.text))
        stack.append((at, True))
        stack.extend((inner, False) for inner in at.iterchildren(reversed=True))
    lines = (
        " | ".join(c for cell in line.split("\t") if (c := " ".join(cell.split())))
        for line in "".join(out).split("\n")
    )
    return "\n".join(line for line in lines if line)


def _blank(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ")


class Texts:
    """The ids of one document's narrative; the index is made when the first of them is asked for."""

    def __init__(self, root: Element) -> None:
        self._root = root
        self._ids: dict[str, Element] | None = None

    def element(self, id_: str) -> Element | None:
        """Find the element of the narrative (or media beside it) that has this id; the first of several."""
        if self._ids is None:
            self._ids = {}
            for text in self._root.iter(f"{{{V3}}}text", f"{{{V3}}}observationMedia", f"{{{V3}}}title"):
                for at in text.iter():
                    for name in ("ID", "id"):
                        if said := (at.get(name) or "").strip():
                            self._ids.setdefault(said, at)
        return self._ids.get(id_)

    def read(self, element: Element) -> Said:
        """Give what an `originalText` or `text` says: its own words, else those it points to."""
        own = own_text(element)
        pointed = attr(child(element, "reference"), "value")
        if not pointed:
            return Said(own)
        id_ = pointed.removeprefix("#")
        target = self.element(id_) if pointed.startswith("#") or "/" not in pointed else None
        if target is None:
            return Said(own, id_ if pointed.startswith("#") else "", not own)
        return Said(own or plain_text(target), id_)
