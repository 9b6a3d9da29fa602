"""What a message is found by: the numbers, names and codes of HL7 v2 that people look for, and the places
that a channel's file names besides (`search: [PV1-3.4, ZPD-2]`).

In: a parsed message. Out: (kind, value) pairs, of which the store keeps keyed hashes only. Also what stands
at a place, by the rule that a search for `PLACE=value` compares with: the whole text, and where the place
names no component its first component too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from engine.formats.hl7v2.locations import parse_location, read
from engine.formats.hl7v2.parse import Delims, Message

__all__ = ["BY_PLACE", "MOST_PLACES", "declared_words", "named_place", "search_words", "values_at"]

WORDS: tuple[tuple[str, str, int, tuple[int, ...]], ...] = (
    ("patient", "PID", 3, (1,)),
    ("patient", "PID", 2, (1,)),
    ("patient", "PID", 4, (1,)),
    ("patient", "MRG", 1, (1,)),
    ("account", "PID", 18, (1,)),
    ("name", "PID", 5, (1, 2)),
    ("order", "ORC", 2, (1,)),
    ("order", "ORC", 3, (1,)),
    ("order", "OBR", 2, (1,)),
    ("order", "OBR", 3, (1,)),
    ("order", "OBR", 18, (1,)),  # the accession number of imaging (IHE RAD TF-2 4.4)
    ("order", "IPC", 1, (1,)),
    ("order", "SPM", 2, (1, 2)),
    ("visit", "PV1", 19, (1,)),
    ("control", "MSH", 10, (1,)),
    ("birth", "PID", 7, (1,)),
    ("code", "OBX", 3, (1, 4)),
    ("code", "OBR", 4, (1, 4)),
    ("code", "RXA", 5, (1,)),
    ("code", "RXE", 2, (1,)),
    ("code", "DG1", 3, (1,)),
)
_BY_SEGMENT: dict[str, list[tuple[str, int, tuple[int, ...]]]] = {}
for _kind, _segment, _field, _components in WORDS:
    _BY_SEGMENT.setdefault(_segment, []).append((_kind, _field, _components))

_LATER = {"OBR-18.1", "IPC-1.1", "SPM-2.1", "SPM-2.2"}  # messages of older hubs have no word for them
BY_PLACE = {
    place: kind
    for kind, segment, field, components in WORDS
    for component in components
    if (place := f"{segment}-{field}.{component}") not in _LATER
} | {"MSH-10": "control", "PID-7": "birth"}
"""Places whose values are among the words of a kind: what has `PID-3.1=X` is among what has the patient X."""
MOST_PLACES = 12
_MOST_VALUES, _LONGEST = 200, 250


def search_words(message: Message) -> tuple[tuple[str, str], ...]:
    """Return (kind, value) of what a person looks a message up by.

    Kinds: patient, account, name, birth, order, visit, control, code.
    """
    d = message.delims
    out: dict[tuple[str, str], None] = {}
    for s in message.segments:
        wanted = _BY_SEGMENT.get(s.name)
        if wanted is None:
            continue
        fields = s.fields
        for kind, number, components in wanted:
            raw = fields[number] if len(fields) > number else ""
            for text in _texts(raw, d, components) if raw else ():
                if kind == "name":
                    out.update(((kind, word), None) for word in text.casefold().split())
                elif kind != "birth":
                    out[kind, text] = None
                elif len(text) >= 8:
                    out[kind, text[:8]] = None
    return tuple(out)


def _texts(raw: str, d: Delims, components: tuple[int, ...]) -> Iterator[str]:
    """Give what the components of the repetitions of a raw field say."""
    for rep in raw.split(d.repetition):
        parts = rep.split(d.component)
        for component in components:
            if component <= len(parts):
                text = parts[component - 1].split(d.subcomponent, 1)[0].strip()
                if text and text != '""':
                    yield text


def declared_words(message: Message, places: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give (place, value) of what stands at places that a channel names."""
    for place in places:
        for n, value in enumerate(values_at(message, place)):
            if n >= _MOST_VALUES:
                break
            if len(value) <= _LONGEST:
                yield place, value


def values_at(message: Message, place: str) -> Iterator[str]:
    """Give every value that `PLACE=value` is compared with."""
    location = parse_location(place)
    whole = not location.component
    for found in read(message, location):
        text = found.value.strip()
        if text and text != '""':
            yield text
            first = text.split(message.delims.component, 1)[0].strip() if whole else text
            if first and first != text:
                yield first


@lru_cache(maxsize=1024)
def named_place(text: str) -> str:
    """Return a place of a message as it is always written. Raises FormatError for what is none."""
    location = parse_location(text)
    return str(location) if location.segment and location.field else ""
