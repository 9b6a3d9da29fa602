"""What an analyst could write next: elements, fields with their names, tables, maps, words of the language.

In: the maps of a project and a text with a cursor in it. Out: `Offer`s for the word that has been begun, and
the column it begins at. Nothing is offered that `hub check` would call unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from engine.fhir import definitions
from engine.formats.hl7v2 import dictionary
from engine.mapping import types as T
from engine.mapping.cursor import Cursor, cursor_at
from engine.mapping.mapwords import (
    CONDITION,
    GLUES,
    MAP_WORDS,
    MESSAGE_WORDS,
    MODES,
    RESOURCE_WORDS,
    ROW_WORDS,
    SITE_WORDS,
)  # fmt: skip
from engine.mapping.names import components_of, element_paths, fields_of
from engine.mapping.project import Maps
from engine.mapping.read import UNMAPPED

__all__ = ["Offer", "offers"]

MOST = 200


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing that could stand here. `type`: property, variable, keyword, constant or text."""

    label: str
    detail: str = ""
    type: str = "keyword"


def offers(maps: Maps, path: str, text: str, line: int, column: int) -> tuple[int, list[Offer]]:
    """Return the column where the begun word starts, and what it could become."""
    at = cursor_at(text, line, column)
    if at.comment:
        return at.start, []
    found = _Scene(maps, path, text).offers(at)
    begun = at.word.lower()
    fitting = (o for o in found if begun in o.label.lower() or begun in o.detail.lower())
    ranked = sorted(fitting, key=lambda o: not o.label.lower().startswith(begun))
    return at.start, list(dict.fromkeys(ranked))[:MOST]


def _words(words: Mapping[str, str], at: Cursor) -> Iterator[Offer]:
    return (Offer(word, said) for word, said in words.items() if word not in at.said)


def _named(names: Iterable[str], detail: str = "") -> Iterator[Offer]:
    return (Offer(name, detail, "variable") for name in sorted(names))


class _Scene:
    """One file that is being written."""

    def __init__(self, maps: Maps, path: str, text: str) -> None:
        folder = path.split("/")[1] if path.startswith("mappings/") else ""
        formats = {"cda", "dicom", "ncpdp", "x12"}
        self.maps = maps.of(folder) if folder in formats else maps
        self.path, self.text = path, text
        self.site = path.startswith("mappings/sites/")
        self.message = not self.site and self._said("resources") is not None
        self.source, self.to = self._said("from") or "", self._said("to") or ""

    def _said(self, word: str) -> str | None:
        m = re.search(rf"^{word}:[ \t]*([^\s#]*)", self.text, re.M)
        return m[1] if m else None

    def offers(self, at: Cursor) -> Iterator[Offer]:
        if self.site:
            yield from self._in_site(at)
        elif self.message:
            yield from self._in_message(at)
        elif not at.path:
            yield from self._in_head(at)
        elif at.path[0] in ("rows", "levels"):
            yield from self._in_row(at, self.source, self.to, at.path[1:])

    # -- heads -----------------------------------------------------------------------------------------

    def _in_head(self, at: Cursor) -> Iterator[Offer]:
        if not at.key:
            yield from _words(MAP_WORDS, at)
        elif at.key == "from":
            yield from _named(dictionary.segment_names(), "segment")
            yield from _named(dictionary.datatype_names(), "datatype")
        elif at.key == "to":
            yield from _named(definitions.resource_types(), "resource")
            yield from _named(definitions.data_types(), "datatype")
        elif at.key in ("ignore", "key"):
            yield from self._fields(at.word, self.source)

    def _in_message(self, at: Cursor) -> Iterator[Offer]:
        if not at.path:
            if not at.key:
                yield from _words(MESSAGE_WORDS, at)
            elif at.key == "write":
                yield from _words(MODES, at)
            return
        if at.path[0] != "resources" or len(at.path) < 2:
            return
        names = re.findall(r"^  ([a-z]\w*):", self.text, re.M)
        if len(at.path) == 2 and not at.key:
            yield from _words(RESOURCE_WORDS, at)
        elif at.key == "rows":
            for m in self.maps.maps.values():
                yield Offer(m.name, f"{m.source} -> {m.to}", "variable")
        elif at.key == "write":
            yield from _words(MODES, at)
        elif at.key == "when":
            yield from self._condition(at, "")
        elif "links" in at.path and at.key:
            yield from _named([*names, "me"], "resource of this map")

    def _in_site(self, at: Cursor) -> Iterator[Offer]:
        if not at.path:
            if not at.key:
                yield from _words(SITE_WORDS, at)
            elif at.key == "over":
                yield from _named(["standard", *self.maps.sites], "layer")
            elif at.key == "timezone":
                from zoneinfo import available_timezones

                yield from _named(z for z in available_timezones() if "/" in z)
            elif at.key == "translated":
                yield from _named(["first", "second"])
        elif at.path == ("match",) and not at.key:
            yield from _named(f"MSH-{n}" for n in (3, 4, 5, 6, 11, 12))
        elif at.path[0] in ("change", "ignore", "replaces"):
            yield from self._in_change(at)

    def _in_change(self, at: Cursor) -> Iterator[Offer]:
        over = self._said("over") or "standard"
        below = self.maps.program(over if over in self.maps.sites else "standard").resolved
        if len(at.path) == 1:
            if not at.key:
                yield from (Offer(m.name, f"{m.source} -> {m.to}", "variable") for m in below.values())
            elif at.path[0] == "ignore" and at.key in below:
                yield from self._fields(at.word, below[at.key].source)
            return
        m = below.get(at.path[1])
        if m is None or at.path[0] != "change":
            return
        if len(at.path) == 2 and not at.key:
            for r in m.rows:
                yield Offer(r.name, f"row of {r.place.layer}, {r.place}", "property")
        yield from self._in_row(at, m.source, m.to, at.path[2:])

    # -- rows ------------------------------------------------------------------------------------------

    def _in_row(self, at: Cursor, source: str, to: str, path: tuple[str, ...]) -> Iterator[Offer]:
        kind, _ = _walk(to, path)
        if not at.key:
            if path:
                yield from _words(ROW_WORDS, at)
            for name, said in _elements(kind).items():
                yield Offer(name, said, "property")
            return
        key = at.key
        if key in ("from", "by", "known_by", "action", "join"):
            yield from self._fields(at.word, source)
        elif key == "when":
            yield from self._condition(at, source)
            yield from (Offer(n, said, "property") for n, said in _elements(kind).items() if "." not in n)
        elif key == "as":
            yield from (
                Offer(m.name, f"{m.source} -> {m.to}", "variable")
                for m in self.maps.maps.values()
                if not definitions.element(m.to, "id") or m.to not in definitions.resource_types()
            )
        elif key == "make":
            made = definitions.resource_types()
            yield from (
                Offer(m.name, f"{m.source} -> {m.to}", "variable")
                for m in self.maps.maps.values()
                if m.to in made
            )
            yield from _named(made, "resource, with rows:")
        elif key == "code":
            yield from _named(self.maps.terminology.tables, "table of terminology/maps")
            yield from (Offer(n, "of the sender's names", "variable") for n in ("systems", "authorities"))
        elif key == "unmapped":
            yield from _named(UNMAPPED)
        elif key == "with":
            yield from _words(GLUES, at)
        elif key == "each":
            yield from _named(dictionary.segment_names(), "segment")
        elif key not in ("split", "skip", "flag", "work", "assumed", "note"):
            _, target = _walk(to, path if key in ("value", "default") else (*path, key))
            yield from self._constants(at.word, target)
            yield from self._fields(at.word, source)

    def _constants(self, word: str, target: T.Target | None) -> Iterator[Offer]:
        """Give constants: codes that the element allows, or those of a code system once one is named."""
        system = re.match(r"=([\w-]+)#", word)
        if system is not None:
            known = self.maps.terminology.code_systems.get(system[1])
            for code, display in known.displays.items() if known is not None else ():
                yield Offer(f"={system[1]}#{code}", display, "constant")
            return
        if target is not None:
            for code in sorted(target.required_codes):
                yield Offer(f"={code}", "constant", "constant")
            if target.type in ("CodeableConcept", "Coding", "code") and not target.required_codes:
                for name, one in self.maps.terminology.code_systems.items():
                    yield Offer(f"={name}#", one.url, "constant")

    def _condition(self, at: Cursor, source: str) -> Iterator[Offer]:
        if re.search(r"[\w)]\s+$", at.value[: len(at.value) - len(at.word)] or "") or not at.word:
            yield from _words(CONDITION, at)
        yield from self._fields(at.word, source)
        yield from (Offer(w, said) for w, said in CONDITION.items() if at.word)

    def _fields(self, word: str, source: str) -> Iterator[Offer]:
        """Give locations: fields of the map's own segment, and of any segment that has been begun."""
        inner = re.fullmatch(r"([A-Z][A-Z0-9]{2})-(\d+)(?:\([^)]*\))?\.(?:(\d+)\.)?\d*", word)
        if inner is not None:
            kind = T.field_type(inner[1], int(inner[2]))
            kind = T.component_type(kind, int(inner[3])) if inner[3] else kind
            found = components_of(kind, word[: word.rindex(".") + 1])
        else:
            own = re.match(r"([A-Z][A-Z0-9]{2})-", word)
            found = fields_of(self.maps, own[1] if own else source)
        yield from (Offer(label, detail, "variable") for label, detail in found.items())
        if inner is None and "-" not in word and word[:1].isupper():
            yield from (Offer(f"{n}-", "segment", "variable") for n in sorted(dictionary.segment_names()))


def _elements(kind: str) -> dict[str, str]:
    return {"value": f"the {kind} itself"} if definitions.is_primitive(kind) else element_paths(kind)


def _walk(kind: str, path: tuple[str, ...]) -> tuple[str, T.Target | None]:
    """Return the type of the element that nested rows are about, and the element; words and cases between
    stay where they are."""
    target: T.Target | None = None
    for key in path:
        at, found = kind, None
        for name in re.sub(r"\([^)]*\)", "", key).split("."):
            if name.endswith("[x]"):
                found = None
                break
            found = T.child_of(at, name) if at in definitions.types() or "." in at else None
            if found is None:
                break
            at = found.type
        if found is not None:
            kind, target = at, found
    return kind, target
