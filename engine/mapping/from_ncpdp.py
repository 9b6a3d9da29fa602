"""A SCRIPT message as the named groups that maps are for: header, parties, medications, diagnoses.

In: a parsed `Script`. Out: a tree of `TreeScope` whose outermost group is `message`; who sent it, for sites
and journal; and which drafts speak of a prescription that must be known already. A group is named for its
element; it stands on the element that holds the facts (`HumanPatient` for `Patient`), and maps may name it by
what it is, too: `medication` (prescribed, dispensed, requested ...), `provider` (prescriber, supervisor ...).
Follows NCPDP SCRIPT 2017071 and 2023011.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.formats.ncpdp.elements import child, first_text
from engine.formats.ncpdp.message import OUTCOMES, Script
from engine.formats.ncpdp.prescription import fill_status
from engine.formats.xml.nodes import Node
from engine.kernel.message import Draft
from engine.mapping.script_values import PATIENT_OF
from engine.mapping.treescope import TreeScope

__all__ = ["arrange", "authority_of", "kinds_of", "mark_fills", "mark_known"]

_INSIDE = ("HumanPatient", "NonHumanPatient", "NonVeterinarian", "Veterinarian")
_ALIAS = {
    **dict.fromkeys(("Prescriber", "Supervisor", "FollowUpPrescriber"), "provider"),
    **dict.fromkeys(
        (
            *("MedicationPrescribed", "MedicationDispensed", "MedicationRequested"),
            *("MedicationReplaced", "MedicationResponse"),
        ),
        "medication",
    ),
}
_APART = frozenset({"AllergyOrAdverseEvent", "Observation"})
"""Elements whose children are the groups: allergies, measurements."""
KNOWN = {
    "prescription": frozenset({"identifier"}),
    "prescription_alone": frozenset({"identifier"}),
    "cancelled": frozenset({"identifier", "status", "statusReason"}),
    "cancelled_alone": frozenset({"identifier", "status"}),
}
"""Lines of the message maps whose resource must be known already, and what of it the message may change."""

TOLD = {"new": ("drug", "end"), **dict.fromkeys(("changed", "changedTo", "renewed", "renewedTo"), ("end",))}
"""Lines whose prescription its prescriber tells, and what of a known one waits for a person: an approved
change may name another drug under the number; what was cancelled comes to life again by none of them."""


class _Scope(TreeScope):
    """A group that maps may name in two ways."""

    __slots__ = ("alias",)

    def __init__(self, name: str, node: Node, parent: TreeScope | None = None, alias: str = "") -> None:
        super().__init__(name, node, parent)
        self.alias = alias

    @property
    def names(self) -> set[str]:
        """The names of all groups of the message, and what maps may call them."""
        found = (s for scopes in self.top._all.values() for s in scopes)
        return super().names | {s.alias for s in found if isinstance(s, _Scope) and s.alias}

    def near(self, name: str) -> Node | None:
        return self.node if name == self.alias else super().near(name)


def arrange(script: Script) -> TreeScope:
    """Give the groups of a message; all stand beside each other, only diagnoses inside their medication."""
    root = Node(script.root)
    root.kind = "message"
    top = _Scope("message", root)
    for part in root.children:
        if part.name == "Header":
            _group("Header", part, top)
        elif part.name == "Body":
            for transaction in part.children[:1]:
                _group(transaction.name, transaction, top)
                for node in transaction.children:
                    _inner(node, top)
    return top


def _inner(node: Node, top: TreeScope) -> None:
    name = node.name
    if name in _APART:
        for one in node.children:
            _group(one.name, one, top)
        return
    if name == "Response" or name in OUTCOMES:
        for choice in node.children if name == "Response" else (node,):
            for one in choice.children:
                if _ALIAS.get(one.name) == "medication":
                    _medication("MedicationResponse", one, top)
    inner = next((c for c in node.children if c.name in _INSIDE), node)
    if _ALIAS.get(name) == "medication":
        _medication(name, inner, top)
    else:
        _group(name, inner, top)


def _medication(name: str, node: Node, top: TreeScope) -> None:
    """Arrange a medication and its diagnoses; one inside an answer is what is answered."""
    scope = _group(name, node, top)
    for diagnosis in node.by("Diagnosis"):
        for one in diagnosis.children:
            if one.name in ("Primary", "Secondary"):
                _group("diagnosis", one, scope)


def _group(name: str, node: Node, parent: TreeScope) -> TreeScope:
    node.kind = name
    return _Scope(name, node, parent, _ALIAS.get(name, ""))


def kinds_of(script: Script) -> tuple[str, ...]:
    """Say which message maps may serve: the transaction with what it answers, else the transaction."""
    name = script.transaction
    choice = fill_status(script)[0] if name == "RxFill" else script.outcome
    return (f"{name} {choice}", name) if choice else (name,)


def authority_of(said: dict[str, str]) -> str:
    """Return the name space private to the sender of a message, by its `Script.headers`."""
    return f"urn:hub:sender:ncpdp|{said['From-Qualifier']}|{said['From']}"


def mark_known(drafts: Iterable[Draft]) -> None:
    """Mark what speaks of something known already: the store tells a person of what it does not find.

    What another one quotes of a prescription never changes it: only its numbers are added, and what the
    transaction is for (a cancellation: the status). A prescription that is not known is kept as quoted.
    """
    for draft in drafts:
        if draft.type == "Patient":
            _find_by_prescription(draft)
        allowed = KNOWN.get(draft.name)
        if allowed is not None:
            draft.changes, draft.write = True, "merge"
            draft.weak = tuple(k for k in draft.body if k != "resourceType" and k.lstrip("_") not in allowed)
        elif draft.name == "answered":
            draft.changes = True
        draft.keeps = TOLD.get(draft.name, ())


def mark_fills(script: Script, drafts: Iterable[Draft]) -> None:
    """Say what a fill sent again under another MessageID has in common with the first: a number of the
    prescription, the quantity, the date and the number of the fill. Without a date of the fill it is the day
    on which the message was sent, as refills without one are alike month by month.
    """
    drafts = list(drafts)
    about = [d for d in drafts if d.name in ("prescription", "prescription_alone")]
    numbers = [i for d in about for i in d.body.get("identifier") or () if "type" in i]
    count = first_text(child(script.body, "MedicationDispensed"), "FillNumber")
    for draft in drafts:
        if draft.name != "fill" or draft.body.get("status") != "completed":
            continue
        quantity = draft.body.get("quantity") or {}
        when = draft.body.get("whenPrepared") or script.sent[:10]
        said = [str(part) for part in (quantity.get("value", ""), quantity.get("code", ""), when, count)]
        draft.alike = tuple(
            (f"urn:hub:script:fill-of:{i['system']}", "|".join([i["value"], *said])) for i in numbers
        )


def _find_by_prescription(draft: Draft) -> None:
    """Make the numbers of prescriptions keys of their patient: they find the record, and stand not in it."""
    found = draft.body.get("identifier") or []
    marks = draft.labels.get("identifier") or ("",) * len(found)
    others = [i for i in found if str(i.get("system", "")).startswith(PATIENT_OF)]
    pairs = [(str(i["system"]), str(i["value"])) for i in others]
    draft.keys = (*draft.keys, *(p for p in pairs if p not in draft.keys))
    kept = [(i, m) for i, m in zip(found, marks, strict=True) if i not in others]
    if not kept:  # it has no number of its own
        return
    draft.body["identifier"] = [i for i, _ in kept]
    draft.labels["identifier"] = tuple(m for _, m in kept)
