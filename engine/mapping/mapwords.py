"""The words of the language with what each is for, in a few words: what an editor shows beside them.

The full account is docs/analysts/maps.md; `tests/mapping/test_offers.py` holds this against what the readers
know.
"""

from __future__ import annotations

__all__ = [
    "CONDITION",
    "GLUES",
    "MAP_WORDS",
    "MESSAGE_WORDS",
    "MODES",
    "RESOURCE_WORDS",
    "ROW_WORDS",
    "SITE_WORDS",
]

MAP_WORDS = {
    "map": "the map's name, which is the file's",
    "from": "the segment or datatype it reads",
    "to": "the FHIR type it makes",
    "key": "the one identifier that says which resource this is",
    "rows": "element: where it comes from",
    "ignore": "fields that were looked at and are not mapped on purpose",
    "levels": "of a place: facility, building, floor, room, bed",
    "note": "for people",
    "tests": "a segment in, elements out",
}
MESSAGE_WORDS = {
    "map": "the map's name",
    "from": "the message structure",
    "to": "Bundle",
    "for": "the types it serves: ORU^R01",
    "resources": "what a message becomes",
    "write": "merge, snapshot or create",
    "mend": "named repairs of the structure",
    "refuse": "what parks a message",
    "ignore": "fields that are not mapped on purpose",
    "note": "for people",
    "tests": "a message in, elements out",
}
RESOURCE_WORDS = {
    "per": "once for every such group or segment",
    "rows": "the maps that fill it",
    "links": "element: which other resource",
    "when": "only if this holds",
    "write": "merge, snapshot, create, known or status",
}
SITE_WORDS = {
    "site": "the sender's name",
    "over": "the layer it lies on: standard, or another site",
    "match": "which messages are its: MSH-3, MSH-4",
    "timezone": "of times without an offset, e.g. America/Chicago",
    "charset": "of its messages, where MSH-18 is wrong or empty",
    "authority": "assigning authority of identifiers that name none",
    "systems": "its names of code systems and authorities -> URI",
    "segments": "its Z-segments: {ZLR: [accession ST]}",
    "change": "rows that differ from the layer below",
    "ignore": "fields that are not mapped on purpose, by map",
    "replaces": "hashes of the rows its changes were written for",
    "translated": "where a translated coding stands: first, second",
    "units": "its table of units",
    "tests": "a message of its in, elements out",
    "note": "for people",
}
ROW_WORDS = {
    "from": "where the value comes from",
    "value": "a constant, or text that is joined",
    "as": "a datatype map, where the usual one is not wanted",
    "code": "the table to translate through",
    "unmapped": "what becomes of a code the table does not know",
    "when": "only if this holds",
    "default": "where the source gave nothing",
    "join": "text glued together",
    "with": "the glue: space, comma, newline, key",
    "split": "text taken apart",
    "each": "once for every such segment",
    "known_by": "what tells the entries of a list apart",
    "action": "where it stands what happens to an entry",
    "by": "choose a case by a value",
    "make": "another resource, linked from here",
    "rows": "the rows of what is made",
    "failed": "used where the type cannot hold the value",
    "skip": "deliberately nothing, and why",
    "flag": "map it, and raise a note",
    "work": "map it, and put it on the work list",
    "assumed": "on whose word a constant stands",
}
CONDITION = {
    "valued": "something was sent",
    "not valued": "nothing was sent",
    "cleared": 'the sender wrote ""',
    "looks like number": "it can be read as a number",
    "looks like date": "it can be read as a date",
    "looks like node": "it is a place that holds others: 1.2.0.0",
    "set": "this element has become something",
    "not set": "this element has become nothing so far",
    "and": "both",
    "or": "either",
    "length()": "how many characters",
    "count()": "how many repetitions",
}
GLUES = {
    "space": "a space",
    "comma": "a comma and a space",
    "newline": "a new line",
    "key": "one key of parts",
}
MODES = {
    "merge": "what was sent replaces what there is",
    "snapshot": "what was not sent goes",
    "create": "only where there is none",
    "known": "only where there is one",
    "status": "as create; of one that is there, its status",
}
