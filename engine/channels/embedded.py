"""A CDA document inside an HL7 v2 message (OBX-5 ED of MDM, ORU and others), worked on with its message.

In: the message, what its maps made, the maps of documents. Out: the drafts of the documents, about the
message's own patient, and flags. A document is taken only where its patient has an identifier of the
message's patient, system and value; one of another patient, one that cannot be read, held or invalid is
flagged and stays what the message made of it: an attachment. The message goes its way in any case. Follows
HL7 v2.5.1 ch. 2A.24 (ED) and 9.6 (MDM with content).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.channels.arriving import read_body, stored
from engine.channels.documents import superseding
from engine.fhir.validate import validate
from engine.formats.content import recognise
from engine.formats.hl7v2.escapes import unescape
from engine.formats.hl7v2.parse import Message
from engine.kernel.errors import HubError
from engine.kernel.message import Draft, Flag
from engine.mapping.convert import map_arrived
from engine.store.references import renamed

if TYPE_CHECKING:
    from engine.channels.definition import Channel
    from engine.channels.pipeline import Pipeline

__all__ = ["documents_in", "work_embedded"]

_CONTENT = frozenset({"T02", "T04", "T06", "T08", "T10"})
_GONE = frozenset({"D", "W", "X"})
_MOST = 64 << 20


def documents_in(message: Message) -> Iterator[tuple[str, bytes]]:
    """Give (location, bytes) of every CDA document in a message that tells it as valid."""
    if message.code == "MDM" and message.event not in _CONTENT:
        return
    d = message.delims
    for s in message.segments:
        f = s.fields
        if s.name != "OBX" or len(f) < 6 or f[2].strip() != "ED" or (len(f) > 11 and f[11].strip() in _GONE):
            continue
        for n, repetition in enumerate(f[5].split(d.repetition), 1):
            parts = repetition.split(d.component)
            if len(parts) < 5 or not parts[4] or len(parts[4]) > _MOST:
                continue
            data = _decoded(parts[3].strip().casefold(), unescape(parts[4], d, message.charset))
            if recognise(data) == "cda":
                yield f"OBX[{s.n}]-5" + (f"({n})" if n > 1 else ""), data


def _decoded(encoding: str, text: str) -> bytes:
    try:
        if encoding == "base64":
            return base64.b64decode("".join(text.split()))
        if encoding == "hex":
            return bytes.fromhex(text)
    except (binascii.Error, ValueError):
        return b""
    return text.encode("utf-8", "replace")


def work_embedded(
    pipeline: Pipeline, message: Message, drafts: list[Draft], channel: Channel, origin: str
) -> tuple[list[Draft], list[Flag]]:
    """Return what the documents of a message add to its drafts, and what a person must look at."""
    from engine.channels.otherwork import told_of

    out: dict[tuple[str, str], Draft] = {}
    flags: list[Flag] = []
    taken = {(d.type, d.id) for d in drafts}
    people = [d for d in drafts if d.type == "Patient"]
    for where, data in documents_in(message):
        try:
            read = read_body(data, "cda")
            maps = pipeline.maps.of("cda")
            program = maps.program(maps.site_for(read.arrived[0].headers).name)
            key = f"{origin}|{where}"
            built = map_arrived(read.arrived[0], program, pipeline.identify, key, stored(read.arrived[0].run))
        except HubError as e:
            text = f"the document in it is not worked on: {e.what}"
            flags.append(Flag("document-not-read", where, text, True))
            continue
        found, when = built.drafts, told_of(read, program.sender("").zone)
        built.release()
        problem = _problem(people, found) if built.held is None else built.held
        if problem is None:
            bad = next(((p, d) for d in found for p in validate(d.body, d.known)), None)
            if bad is not None and channel.on_error == "hold":
                problem = Flag("invalid", bad[0].path, f"{bad[0].text} ({bad[1].map})")
        if problem is not None:
            text = f"the document in it is not worked on: {problem.text}"
            flags.append(Flag(f"document-{problem.code}", where, text, True))
            continue
        flags += [Flag(f.code, f"{where} {f.where}", f.text, f.work) for f in built.flags]
        found += superseding(found, pipeline.identify)
        names = {f"Patient/{d.id}": f"Patient/{people[0].id}" for d in found if d.type == "Patient"}
        for d in found:
            if d.type != "Patient" and (d.type, d.id) not in taken:
                d.body = renamed(d.body, names)
                d.told = d.told or (when if d.name != "superseded" else None)
                if not d.keys and d.write == "merge":
                    d.write = "snapshot"
                out.setdefault((d.type, d.id), d)
    return list(out.values()), flags


def _problem(people: list[Draft], found: list[Draft]) -> Flag | None:
    """Say why a document is not about the message's patient, or not surely."""
    theirs = [d for d in found if d.type == "Patient"]
    if len(people) != 1 or len(theirs) != 1:
        text = "the message or the document names no patient, or several"
        return Flag("other-patient", "", text, True)
    if not _numbers(people[0]) & _numbers(theirs[0]):
        text = "its patient has no number of the message's patient"
        return Flag("other-patient", "", text, True)
    return None


def _numbers(patient: Draft) -> set[tuple[str, str]]:
    found = patient.body.get("identifier") or ()
    return {(str(i["system"]), str(i["value"])) for i in found if i.get("system") and i.get("value")}
