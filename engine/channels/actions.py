"""What a message takes back, calls off or updates: drafts of things that must be known already.

In: a mapped message. Out: the same drafts, marked. HL7 v2.8.2 tables 0119 (order control), 0206 and
0323 (actions), 0287 (problem action), 0085 (result status), and the trigger events that cancel. What is
marked and finds nothing is written, and the store tells a person.
"""

from __future__ import annotations

from engine.formats.hl7v2.parse import Message
from engine.kernel.message import Draft
from engine.mapping.build import Built

__all__ = ["mark_changes"]

ACTIONS: dict[str, tuple[int, frozenset[str]]] = {
    "DG1": (21, frozenset({"D"})),
    "IAM": (6, frozenset({"D"})),
    "OBX": (11, frozenset({"D", "W"})),
    "PR1": (20, frozenset({"D"})),
    "PRB": (1, frozenset({"DE", "D"})),
    "RXA": (21, frozenset({"D", "U"})),
}
"""By segment: the field of the action, and the codes that speak of something known."""
TYPES = {
    "DG1": ("Condition",),
    "IAM": ("AllergyIntolerance",),
    "OBX": ("Observation",),
    "PR1": ("Procedure",),
    "PRB": ("Condition",),
    "RXA": ("Immunization", "MedicationAdministration"),
}
"""What such a segment makes that the action is about; other resources it makes are context."""
CALLED_OFF = frozenset({"CA", "DC", "OC"})
REQUESTS = frozenset({"MedicationRequest", "ServiceRequest"})
EVENTS = {
    **dict.fromkeys(("S15", "S17"), "Appointment"),
    **dict.fromkeys(("A11", "A27", "A38"), "Encounter"),
    "T11": "DocumentReference",
}
"""Events that call off or take back, and what."""
ENDED = frozenset({"entered-in-error", "revoked", "stopped"})
CANCELLED = frozenset({"Appointment", "Encounter", "MedicationDispense", "MedicationRequest"})
"""Types of which `cancelled` speaks of something known; a result that could not be obtained is news."""


def mark_changes(built: Built, message: Message) -> None:
    """Mark the drafts that speak of what must be known already."""
    ended = EVENTS.get(message.event)
    for node in built.nodes:
        draft, segment = node.draft, node.segment
        if draft.write == "create":
            continue
        draft.changes = draft.changes or draft.type == ended or _is_ended(draft)
        if draft.changes or segment is None:
            continue
        if draft.type in TYPES["RXA"]:
            segment = node.scope.near("RXA") or segment  # its first rows may be those of ORC
        field, codes = ACTIONS.get(segment.name, (0, frozenset()))
        if field and len(segment.fields) > field and segment.fields[field].strip() in codes:
            draft.changes = draft.type in TYPES.get(segment.name, ())
        if draft.type in REQUESTS:
            order = node.scope.near("ORC")
            if order and len(order.fields) > 1 and order.fields[1].strip() in CALLED_OFF:
                draft.changes = True


def _is_ended(draft: Draft) -> bool:
    """Say whether a draft tells of an end or an error."""
    status = draft.body.get("status")
    if status in ENDED or (status == "cancelled" and draft.type in CANCELLED):
        return True
    verified = draft.body.get("verificationStatus") or {}
    return any(one.get("code") == "entered-in-error" for one in verified.get("coding") or ())
