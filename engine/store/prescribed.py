"""A prescription that is told again under its number: the same one, or one that a person must look at.

In: the draft of a prescription as its prescriber sends it (`Draft.keeps`), the one on file. Out: nothing, or
`Park` with its cause. A number stands for one prescription of one drug (NCPDP SCRIPT,
PrescriberOrderNumber): another drug under it is an error of somebody, and what was cancelled is not in force
again because a message was sent twice. Drugs are compared by their codes and by their words.
"""

from __future__ import annotations

from typing import Any

from engine.fhir import jsonio
from engine.kernel.message import Draft, Flag, Work
from engine.store.columns import codings
from engine.store.content import is_older
from engine.store.state import Park, Row

__all__ = ["another_drug", "check_prescription"]

ENDED = frozenset({"cancelled", "entered-in-error", "stopped"})
QUOTED = "unknown"
"""The status of a prescription that only others have spoken of: its prescriber says what it is."""


def check_prescription(draft: Draft, row: Row, work: Work) -> list[Flag]:
    """Park a prescription whose number is that of another drug's or of one that was cancelled; flag one whose
    directions or amounts are others now.
    """
    if row.body is None or row.position >= work.position or is_older(draft, row, work.sender):
        return []
    old = row.body.value
    status = old.get("status")
    if "end" in draft.keeps and status in ENDED and draft.body.get("status") not in ENDED:
        text = f"the prescription with this number is {status}: a message sent again does not put it in force"
        raise Park(Flag("prescription-ended", draft.name, text, work=True))
    if "drug" not in draft.keeps or status == QUOTED:
        return []
    if another_drug(draft.body, old):
        text = "the prescription with this number is one of another drug: it stays as it is"
        raise Park(Flag("other-drug", draft.name, text, work=True))
    changed = sorted(name for name, value in _terms(draft.body).items() if _terms(old).get(name) != value)
    if not changed:
        return []
    text = (
        f"the prescription was sent with other terms before: {', '.join(changed)}; the newer ones are written"
    )
    return [Flag("prescription-changed", draft.name, text, work=True)]


def another_drug(told: dict[str, Any], known: dict[str, Any]) -> bool:
    """Say whether two prescriptions differ in the words or the codes of their drug, or in its strength."""
    one, other = _drug(told), _drug(known)
    words, others = _words(told, one), _words(known, other)
    if words and others and words != others:
        return True
    codes, known_codes = (set(codings(m.get("code") or {})) for m in (one, other))
    systems = {system for system, _ in codes} & {system for system, _ in known_codes}
    if systems and codes.isdisjoint(known_codes):
        return True
    if not systems and not (words and others):
        return _plain(one) != _plain(other)  # nothing in common to tell them by
    parts, known_parts = (m.get("ingredient") or [] for m in (one, other))
    return bool(parts and known_parts) and _plain({"of": parts}) != _plain({"of": known_parts})


def _terms(body: dict[str, Any]) -> dict[str, str]:
    """Return how to take it and how much to dispense, each as text, where it is said."""
    dispense = body.get("dispenseRequest") or {}
    said = {"dosageInstruction": body.get("dosageInstruction")}
    said |= {name: dispense.get(name) for name in ("numberOfRepeatsAllowed", "quantity")}
    return {name: _plain({"is": value}) for name, value in said.items() if value is not None}


def _drug(body: dict[str, Any]) -> dict[str, Any]:
    """Return the Medication inside a request; empty where it has none."""
    name = str((body.get("medicationReference") or {}).get("reference", ""))
    found = (one for one in body.get("contained") or () if f"#{one.get('id')}" == name)
    return next(found, {})


def _words(body: dict[str, Any], drug: dict[str, Any]) -> str:
    said = (drug.get("code") or {}).get("text") or (body.get("medicationReference") or {}).get("display")
    return _folded(str(said or ""))


def _plain(drug: dict[str, Any]) -> str:
    return _folded(jsonio.dumps({name: value for name, value in drug.items() if name != "id"}).decode())


def _folded(text: str) -> str:
    """Write words in one way: neither case nor blanks make another drug."""
    return " ".join(text.casefold().split())
