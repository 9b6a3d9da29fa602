"""What a message takes back, calls off, updates or leaves as it is: drafts of what must be known already.

In: a mapped message. Out: the same drafts, marked. HL7 v2.8.2 tables 0119 (order control), 0206 and
0323 (actions), 0287 (problem action), 0085 (result status), and the trigger events that cancel. What is
marked and finds nothing is written, and the store tells a person. Lists told one entry at a time are the
maps' (`action:`).
"""

from __future__ import annotations

from typing import NamedTuple

from engine.formats.hl7v2.parse import Message, Segment
from engine.kernel.message import Draft
from engine.mapping.build import Built
from engine.mapping.links import Node

__all__ = ["mark_changes"]


class Action(NamedTuple):
    """Where a segment says what happens to the thing it tells of."""

    field: int
    known: frozenset[str]  # codes that speak of something known
    types: tuple[str, ...]  # what it makes that the action is about; other resources it makes are context


ACTIONS = {
    "DG1": Action(21, frozenset({"D"}), ("Condition",)),
    "GOL": Action(1, frozenset({"DE", "D"}), ("Goal",)),
    "IAM": Action(6, frozenset({"D"}), ("AllergyIntolerance",)),
    "OBX": Action(11, frozenset({"D", "W"}), ("Observation",)),
    "PR1": Action(20, frozenset({"D"}), ("Procedure",)),
    "PRB": Action(1, frozenset({"DE", "D"}), ("Condition",)),
    "PTH": Action(1, frozenset({"DE", "D"}), ("CarePlan",)),
    "ROL": Action(2, frozenset({"DE", "D"}), ("CareTeam",)),
    "RXA": Action(21, frozenset({"D", "U"}), ("Immunization", "MedicationAdministration")),
}
UNCHANGED = frozenset({"UC", "UN", "X"})
"""Codes that tell of a thing to say which: what is known of it stays; an unlinked one stays too."""
UNLINKED = "UN"
ADDED = frozenset({"A", "AD"})
NO_CODE = frozenset({"OBX"})
"""Segments whose field is a status: `X` there says that a result could not be obtained."""
CALLED_OFF = frozenset({"CA", "DC", "OC"})
REQUESTS = frozenset({"MedicationRequest", "ServiceRequest"})
EVENTS = {
    **dict.fromkeys((f"S{n}" for n in (*range(13, 23), 26)), "Appointment"),
    **dict.fromkeys(("A11", "A27", "A38"), "Encounter"),
    "T11": "DocumentReference",
}
"""Events that change, call off or take back what must be known already."""
ENDED = frozenset({"entered-in-error", "revoked", "stopped"})
CANCELLED = frozenset({"Appointment", "Encounter", "MedicationDispense", "MedicationRequest"})
"""Types of which `cancelled` speaks of something known; a result that could not be obtained is news."""


def mark_changes(built: Built, message: Message) -> None:
    """Mark the drafts that speak of what must be known already; what is unchanged is not written over."""
    ended = EVENTS.get(message.event)
    for node in built.nodes:
        draft, segment = node.draft, node.segment
        if draft.write == "create":
            continue
        draft.changes = draft.changes or draft.type == ended or _is_ended(draft)
        if segment is None:
            continue
        if draft.type in ACTIONS["RXA"].types:
            segment = node.scope.near("RXA") or segment  # its first rows may be those of ORC
        action = ACTIONS.get(segment.name)
        if action is not None and draft.type in action.types:
            code = _field(segment, action.field)
            draft.changes = draft.changes or code in action.known
            if segment.name in NO_CODE:
                continue
            draft.added = code in ADDED
            if code in UNCHANGED:
                linked = code == UNLINKED and _unlink(node, built.nodes)
                draft.write = draft.write if linked else "create"
        if draft.type in REQUESTS:
            order = node.scope.near("ORC")
            if order and _field(order, 1) in CALLED_OFF:
                draft.changes = True


def _field(segment: Segment, number: int) -> str:
    return segment.fields[number].strip() if len(segment.fields) > number else ""


def _unlink(node: Node, nodes: list[Node]) -> bool:
    """Take out the references between what is unlinked and what it stands under (HL7 table 0287 `UN`).

    Returns whether it held one itself.
    """
    held = False
    above = [n for n in nodes if n is not node and n.scope is not node.scope and node.scope.within(n.scope)]
    above = [n for n in above if n.segment is not None and n.segment.name in ACTIONS]
    for one, other in [*((node, n) for n in above), *((n, node) for n in above)]:
        name = f"{other.draft.type}/{other.draft.id}"
        for element, entries in list(one.draft.body.items()):
            if not isinstance(entries, list) or {"reference": name} not in entries:
                continue
            kept = [n for n, entry in enumerate(entries) if entry != {"reference": name}]
            labels = one.draft.labels.get(element) or ("",) * len(entries)
            one.draft.labels[element] = tuple(labels[n] for n in kept)
            one.draft.body[element] = [entries[n] for n in kept]
            if not kept:
                del one.draft.body[element], one.draft.labels[element]
            one.draft.cleared = (*one.draft.cleared, f"{element}@{name}")
            one.draft.write, held = "merge", held or one is node  # unchanged itself, but for this
    return held


def _is_ended(draft: Draft) -> bool:
    """Say whether a draft tells of an end or an error."""
    status = draft.body.get("status")
    if status in ENDED or (status == "cancelled" and draft.type in CANCELLED):
        return True
    verified = draft.body.get("verificationStatus") or {}
    return any(one.get("code") == "entered-in-error" for one in verified.get("coding") or ())
