"""Which codes of a message no table knows: those that a map asked a table about in vain, and local codes in
the fields that carry clinical codes although no map names a table for them.

In: a message that was mapped, the gaps its run left. Out: `Gap` records with what stands beside each code:
unit, specimen, type of value, panel. What a text of a field means is worked out once and remembered, so a
message whose codes are all known costs a look-up a field. HL7 v2.8.2 §2A.13 (CWE).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from engine.formats.hl7v2.escapes import unescape
from engine.formats.hl7v2.parse import Message, Segment
from engine.kernel.message import Gap
from engine.mapping.locate import locate
from engine.mapping.model import First, Locate, MapDef, Row
from engine.mapping.project import SiteProgram
from engine.mapping.reach import of_named_only

__all__ = ["CODED", "Sightings", "tables_of"]

CODED: dict[str, tuple[int, ...]] = {
    "AL1": (3,),
    "DG1": (3,),
    "IAM": (3,),
    "OBR": (4,),
    "OBX": (3,),
    "PR1": (3,),
    "PRB": (3,),
    "RXA": (5,),
    "RXD": (2,),
    "RXE": (2,),
    "RXG": (4,),
    "RXO": (1,),
}
"""Fields that say what was found, ordered, given or done."""

_KEPT = 20_000  # texts remembered a field
_CODINGS = ((0, 2), (3, 5), (9, 11))  # where CWE has code and system: main, alternate, second alternate

_INSIDE = re.compile(r"[A-Z][A-Z0-9]+\.(\d+)(?:\.\d+)?")
_Found = tuple[str, str, str, str]  # code, system as sent, its URI, text


class Sightings:
    """The fields of one site that are looked at, and what their texts meant."""

    def __init__(self, program: SiteProgram, message: str = "") -> None:
        """`message`: the map that the channel names; without one, maps by the type of message are meant."""
        terms = program.maps.terminology
        self._standard = terms.systems()  # what the whole world calls it; a site's own names are local
        self._own = program.sender("").system
        asked = set()
        empty: dict[tuple[str, int], str] = {}
        elsewhere = of_named_only(program, message)
        for name, m in program.resolved.items():
            for segment, field, row in _coded(m) if name not in elsewhere else ():
                if row.unmapped in ("hold", "flag") or terms.tables[row.code].rows:
                    asked.add((segment, field))
                else:
                    empty[segment, field] = row.code
        watched = {(name, n): "" for name, numbers in CODED.items() for n in numbers} | empty
        # segment -> (field, its table, what its texts meant)
        self._watch: dict[str, tuple[tuple[int, str, dict[str, _Found | None]], ...]] = {}
        for (segment, field), table in sorted(watched.items()):
            if (segment, field) not in asked:
                self._watch[segment] = (*self._watch.get(segment, ()), (field, table, {}))

    def of(self, message: Message, asked: Iterable[Gap]) -> tuple[Gap, ...]:
        """Return the gaps of a message: those that its run left, and those of the fields without a table."""
        found = list(asked)
        watch = self._watch
        for s in message.segments:
            if s.name not in watch:
                continue
            texts = s.fields
            for n, table, known in watch[s.name]:
                if n < len(texts) and (raw := texts[n]):
                    local = known[raw] if raw in known else self._look(raw, known, message)
                    if local is not None:
                        found.append(Gap(f"{s.name}[{s.n}]-{n}", table, "keep", *local))
        return _dressed(found, message) if found else ()

    def _look(self, raw: str, known: dict[str, _Found | None], message: Message) -> _Found | None:
        """Say what a text of a field means: None where one of its codings is of a system everybody knows."""
        if len(known) >= _KEPT:
            known.clear()
        d = message.delims
        parts = [
            unescape(p.split(d.subcomponent)[0], d, message.charset).strip()
            for p in raw.split(d.repetition)[0].split(d.component)
        ]
        found: _Found | None = None
        for code_at, system_at in _CODINGS:
            code = parts[code_at] if code_at < len(parts) else ""
            name = parts[system_at] if system_at < len(parts) else ""
            if not code or code == '""':
                continue
            if name and self._standard(name):
                found = None
                break
            if found is None:
                text = parts[code_at + 1] if code_at + 1 < len(parts) else ""
                found = (code, name, self._own(name) if name else "", text)
        known[raw] = found
        return found


def _coded(m: MapDef) -> Iterator[tuple[str, int, Row]]:
    """Give (segment, field, row) of every row of a map that asks a code table about a field."""

    def walk(rows: Iterable[Row]) -> Iterator[Row]:
        for r in rows:
            yield r
            yield from walk(r.children)
            yield from walk(r.make_rows)
            yield from walk(r.default)
            yield from walk(r.failed)
            for case in r.cases:
                yield from walk(case.rows)

    for row in walk(m.rows):
        if row.code and row.code not in ("systems", "authorities"):
            for source in row.source.options if isinstance(row.source, First) else (row.source,):
                at = locate(source.text) if isinstance(source, Locate) else None
                if at is not None and at.field and len(at.name) == 3:
                    yield at.name, at.field, row


def tables_of(program: SiteProgram) -> str:
    """Name the code tables that the sender's own layers ask, with the versions of their content:
    `acme_lab_to_loinc@3f2a91bc`, blanks between."""
    terms = program.maps.terminology
    layers = {s.name for s in program.layers}
    names = {
        row.code for m in program.resolved.values() for _, _, row in _coded(m) if row.place.layer in layers
    }
    return " ".join(f"{name}@{terms.tables[name].version}" for name in sorted(names) if name in terms.tables)


def _dressed(gaps: list[Gap], message: Message) -> tuple[Gap, ...]:
    """Put beside each code what the message says about it; each code of a field once."""
    places = {f"{s.name}[{s.n}]": at for at, s in enumerate(message.segments)}
    once: dict[tuple[str, str, str, str], Gap] = {}
    for gap in gaps:
        if " " in gap.where and (found := places.get(gap.where.partition(" ")[0])) is not None:
            gap = _placed(gap, message.segments[found], message)
        key = (gap.field, gap.table, gap.system, gap.code)
        if key not in once:
            at = places.get(gap.where.partition("]")[0] + "]")
            once[key] = gap if at is None else _beside(gap, message, at)
    return tuple(once.values())


def _placed(gap: Gap, s: Segment, message: Message) -> Gap:
    """Say which field of its segment a code stands in that a datatype map asked about (`OBX[1] CWE.1`)."""
    spot = _INSIDE.fullmatch(gap.where.partition(" ")[2])
    if spot is None:
        return gap
    at, d = int(spot[1]) - 1, message.delims
    for n, raw in enumerate(s.fields[1:], 1):
        for repetition in raw.split(d.repetition) if raw else ():
            parts = repetition.split(d.component)
            if at < len(parts) and unescape(parts[at], d, message.charset).strip() == gap.code:
                return gap._replace(where=f"{s.name}[{s.n}]-{n}" + (f".{at + 1}" if at else ""))
    return gap


def _beside(gap: Gap, message: Message, at: int) -> Gap:
    segments = message.segments
    own = segments[at]
    specimen = panel = ""
    if own.name in ("OBX", "OBR"):
        for s in reversed(segments[:at] if own.name == "OBX" else segments[: at + 1]):
            if s.name == "SPM" and not specimen:
                specimen = _words(s, 4, message)
            elif s.name == "OBR":
                panel = _words(s, 4, message) if own.name == "OBX" else ""
                specimen = specimen or _words(s, 15, message)
                break
        for s in segments[at + 1 :] if not specimen else ():
            if s.name == "SPM":
                specimen = _words(s, 4, message)
            if s.name in ("OBR", "SPM"):
                break
    if own.name != "OBX":
        return gap._replace(specimen=specimen)
    return gap._replace(
        unit=_words(own, 6, message, words=False),
        kind=_words(own, 2, message),
        specimen=specimen,
        panel=panel,
    )


def _words(s: Segment, number: int, message: Message, words: bool = True) -> str:
    """Return code and text of a coded field, or with `words` False its code alone."""
    fields = s.fields
    raw = fields[number] if number < len(fields) else ""
    d = message.delims
    parts = raw.split(d.repetition)[0].split(d.component)
    if (s.name, number) == ("OBR", 15):  # SPS: code and text stand inside its first component
        parts = parts[0].split(d.subcomponent)
    texts = [unescape(p.split(d.subcomponent)[0], d, message.charset).strip() for p in parts[:2]]
    return " ".join(dict.fromkeys(t for t in (texts if words else texts[:1]) if t and t != '""'))
