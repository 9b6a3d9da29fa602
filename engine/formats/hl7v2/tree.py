"""The parsed tree of a message as plain data, for `hub parse` and the console: addresses, names, offsets.

In: a parsed message. Out: a dict that JSON can hold. Names come from the dictionary of the message's version,
offsets are byte ranges in the input, the group of each segment from `groups`. This is for people; nothing on
the hot path.
"""

from __future__ import annotations

from typing import Any

from engine.formats.hl7v2.dictionary import FieldDef, Version, version
from engine.formats.hl7v2.groups import arrange_message
from engine.formats.hl7v2.leaves import segment_leaves
from engine.formats.hl7v2.parse import Message, Segment

__all__ = ["to_json"]

_LINE_ENDS = {"\r": "CR", "\n": "LF", "\r\n": "CRLF"}


def to_json(message: Message) -> dict[str, Any]:
    """Give the tree of a message."""
    places = {id(segment): group.path for group, segment in arrange_message(message).walk()}
    known = version(message.version)
    delims = message.delims
    return {
        "message_type": "^".join(part for part in (message.code, message.event, message.structure) if part),
        "version": message.version,
        "control_id": message.control_id,
        "charset": message.charset,
        "line_end": _LINE_ENDS.get(message.terminator, "CR"),
        "delimiters": dict(zip(delims._fields, delims, strict=True)),
        "bytes": len(message.raw),
        "repairs": [repair._asdict() for repair in message.repairs],
        "segments": [_segment(message, segment, known, places[id(segment)]) for segment in message.segments],
    }


def _segment(message: Message, segment: Segment, known: Version, group: str) -> dict[str, Any]:
    address = f"{segment.name}[{segment.n}]"
    fields: list[dict[str, Any]] = []
    current: dict[str, Any] = {}
    definition: FieldDef | None = None
    for leaf in segment_leaves(message, segment):
        if not current or current["field"] != leaf.field:
            definition = known.field(segment.name, leaf.field)
            datatype = _datatype(segment, leaf.field, definition)
            current = {
                "address": f"{address}-{leaf.field}",
                "field": leaf.field,
                "name": definition.name if definition else "",
                "datatype": datatype,
                "offset": list(message.span(segment, leaf.field)),
                "values": [],
            }
            fields.append(current)
        current["values"].append(
            {
                "address": leaf.address,
                "name": _part_name(
                    known, current["datatype"], leaf.comp, leaf.sub, leaf.address.count(".") > 1
                ),
                "value": leaf.value,
                "offset": list(message.span(segment, leaf.field, leaf.rep, leaf.comp, leaf.sub)),
            }
        )
    return {"segment": address, "group": group, "offset": list(message.span(segment)), "fields": fields}


def _datatype(segment: Segment, number: int, definition: FieldDef | None) -> str:
    if segment.name == "OBX" and number == 5 and segment.field(2):
        return segment.field(2)
    return definition.datatype if definition else ""


def _part_name(known: Version, datatype: str, comp: int, sub: int, has_subs: bool) -> str:
    components = known.components(datatype)
    if not 0 < comp <= len(components):
        return ""
    part = components[comp - 1]
    subs = known.components(part.datatype) if has_subs else []
    return f"{part.name}: {subs[sub - 1].name}" if 0 < sub <= len(subs) else part.name
