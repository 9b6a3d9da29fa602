"""What a message moves, joins or takes apart: visits and accounts that go to another patient, two visits that
are one, two people who are not.

In: a mapped message. Out: for the store, which drafts these are and who had them before. HL7 v2.5.1 ch.
3.3.37 (A37), 3.3.42 (A42), 3.3.44 (A44), 3.3.45 (A45).
"""

from __future__ import annotations

from engine.formats.hl7v2.delims import Delims
from engine.formats.hl7v2.parse import Message, Segment
from engine.kernel.message import Flag, Move
from engine.mapping.build import Built

__all__ = ["moves_of", "parts_of", "self_joined"]

MOVED = {"A44": "Account", "A45": "Encounter"}


def moves_of(built: Built, message: Message) -> tuple[Move, ...]:
    """Return what the event of a message moves."""
    if message.code != "ADT":
        return ()
    if message.event == "A42":
        return _joined(built)
    kind = MOVED.get(message.event)
    found = []
    for node in built.nodes if kind else ():
        if node.draft.type == kind:
            prior = node.scope.near("MRG")
            found.append(Move(node.draft.id, of=_numbers(prior or None, message.delims)))
    return tuple(found)


def _joined(built: Built) -> tuple[Move, ...]:
    """Pair, group by group, the visit that is given up with the one that it becomes."""
    found = []
    visits = [node for node in built.nodes if node.draft.type == "Encounter"]
    for gone in visits:
        if gone.draft.body.get("status") != "entered-in-error":
            continue
        into = [node for node in visits if node.scope is gone.scope and node.draft is not gone.draft]
        if len(into) == 1:
            found.append(Move(gone.draft.id, into[0].draft.id))
    return tuple(found)


def self_joined(built: Built, message: Message) -> Flag | None:
    """Park a message that joins a visit with itself."""
    if message.code == "ADT" and message.event == "A42":
        visits = [node for node in built.nodes if node.draft.type == "Encounter"]
        for node in visits:
            if any(n.draft is node.draft and n.name != node.name and n.scope is node.scope for n in visits):
                return Flag("merge-self", "MRG[1]-5", "the visit that is given up is the surviving one", True)
    return None


def parts_of(built: Built, message: Message) -> tuple[tuple[str, str], ...]:
    """Return the two people whom a message takes apart."""
    if message.code != "ADT" or message.event != "A37":
        return ()
    people = [draft.id for draft in built.drafts if draft.type == "Patient"]
    return ((people[0], people[1]),) if len(people) == 2 else ()


def _numbers(prior: Segment | None, delims: Delims) -> tuple[tuple[str, str], ...]:
    """Return (number, authority) of everything that MRG-1 lists."""
    fields = prior.fields if prior is not None else []
    found = []
    for one in fields[1].split(delims.repetition) if len(fields) > 1 else ():
        parts = [part.strip() for part in one.split(delims.component)]
        if parts[0] and parts[0] != '""':
            authority = parts[3].split(delims.subcomponent)[0] if len(parts) > 3 else ""
            found.append((parts[0], authority))
    return tuple(found)
