"""Resources that are known already, under another number than the one now sent.

In: a work whose keys are hashed, and the state of the transaction. Out: per draft the row it is known by. Two
ways lead there. After a merge (A40) whatever was keyed by one number of the patient is looked for under all
of them. A report or order keyed by one of its two numbers (placer, filler: HL7 v2.5.1 ch. 4.5.3.2, 4.5.3.3)
is looked for by the other: only with the same assigning authority, the same patient and the same code, never
by a bare number; where two answer, nothing is joined and a person is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from engine.kernel.message import Draft, Flag
from engine.store.keys import Keys
from engine.store.state import Park, Row, State

if TYPE_CHECKING:
    from engine.store.content import Plan

__all__ = ["Otherwise", "another_placer", "numbers_of", "other_keys", "prior_numbers", "prior_patient"]

PLACER, FILLER = "PLAC", "FILL"
NUMBER = 3
"""Where the maps put the order's number in a key: facility, patient, authority, number, ..."""


def numbers_of(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (number, authority as the sender names it) of a patient's identifiers."""
    return [
        (one["value"], (one.get("assigner") or {}).get("display") or "")
        for one in body.get("identifier") or ()
        if one.get("value")
    ]


def prior_numbers(draft: Draft) -> list[tuple[str, str]]:
    """Return (name space, number) of what MRG-1 lists; a bare number names nobody."""
    entries = draft.body.get("identifier") or []
    labels = draft.labels.get("identifier") or ("",) * len(entries)
    prior = [one for one, label in zip(entries, labels, strict=True) if label == "prior" and one.get("value")]
    return [(_authority(one), one["value"]) for one in prior if _authority(one)]


def prior_patient(draft: Draft, row: Row | None, kept: Row | None, state: State, made: Plan) -> Row | None:
    """Find the patient that a merge retires by all numbers of MRG-1, and give every one of them to it.

    They are one patient's list (HL7 v2.5.1 ch. 3.4.9.1): where they name two known patients, neither is
    retired before a person has looked.
    """
    numbers = prior_numbers(draft)
    if len(numbers) < 2:
        return row
    named: dict[int, Row] = {}
    free = []
    for system, number in numbers:
        found = state.having("Patient", system, number)
        if not found and system.startswith("urn:hub:authority:"):
            found = [r for r in state.having("Patient", "", number) if _has(r, system, number)]
        named |= {other.rid: other for other in found}
        if not any(other is kept for other in found):
            free.append(state.keys.identity("Patient", system, number))
    for known in (kept, row, state.by_rid.get(row.survivor) if row and row.survivor else None):
        if known is not None:
            named.pop(known.rid, None)
    if len(named) > 1 or (named and row is not None):
        text = "its numbers belong to more than one known patient"
        raise Park(Flag("merge-several", "MRG[1]-1", text, True))
    if named:
        (row,) = named.values()
    text = f"MRG-1 lists {len(numbers)} numbers: all are the retired patient's from now on"
    made.flags.append(Flag("merge-several-numbers", "MRG[1]-1", text, True))
    if row is not None:
        made.bound.update((key, row) for key in free if key not in state.by_key)
    return row


def _has(row: Row, system: str, number: str) -> bool:
    display = system.removeprefix("urn:hub:authority:")
    return row.body is not None and (number, display) in numbers_of(row.body.value)


def _typed(body: dict[str, Any], code: str) -> list[dict[str, Any]]:
    found = []
    for one in body.get("identifier") or ():
        kind = one.get("type")
        if (
            kind is not None
            and one.get("value")
            and any(c.get("code") == code for c in kind.get("coding", ()))
        ):
            found.append(one)
    return found


def another_placer(body: dict[str, Any], known: dict[str, Any]) -> bool:
    """Say whether an order that was found by its filler's number is known by another placer's number."""
    mine = {one["value"] for one in _typed(body, PLACER)}
    placed = {one["value"] for one in _typed(known, PLACER)}
    return bool(mine and placed) and mine.isdisjoint(placed)


def _authority(one: dict[str, Any]) -> str:
    """Return the name space of a number, as keys name it; "" where the sender gave none."""
    if one.get("system"):
        return str(one["system"])
    display = (one.get("assigner") or {}).get("display")
    return f"urn:hub:authority:{display}" if display else ""


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    authority = _authority(one)
    return bool(authority) and authority == _authority(other) and one["value"] == other["value"]


def _parts(text: str) -> list[str]:
    """Split a joined key at its separators, escaped ones apart."""
    if "\\" not in text:
        return text.split("|")
    parts, at = [""], 0
    while at < len(text):
        if text[at] == "|":
            parts.append("")
        else:
            step = 2 if text[at] == "\\" else 1
            parts[-1] += text[at : at + step]
            at += step - 1
        at += 1
    return parts


def _escaped(number: str) -> str:
    return number.replace("\\", "\\\\").replace("|", "\\|")


def _swapped(text: str, old: str, new: str) -> str | None:
    parts = _parts(text)
    if len(parts) <= NUMBER or parts[NUMBER] != old:
        return None
    parts[NUMBER] = new
    return "|".join(parts).rstrip("|")


def _as_other_number(text: str, pairs: list[tuple[str, str]]) -> Iterator[str]:
    """Yield a key as it reads under the other numbers of a merged patient."""
    parts = _parts(text)
    escaped = [(_escaped(number), _escaped(authority)) for number, authority in pairs]
    for at in range(len(parts)):
        here = (parts[at], parts[at + 1] if at + 1 < len(parts) else "")
        if at and here in escaped:
            for pair in escaped:
                if pair != here:
                    yield "|".join([*parts[:at], *pair, *parts[at + 2 :]]).rstrip("|")
            return


def other_keys(draft: Draft, keys: Keys) -> tuple[bytes, ...]:
    """Hash what else a report or an order may be known by: its placer's number, its filler's number."""
    return tuple(keys.identity(draft.type, *key) for _, key in _others(draft))


def _others(draft: Draft) -> list[tuple[dict[str, Any], tuple[str, str]]]:
    """Return (number, key) for the other number of a report or an order."""
    system, text = draft.keys[0]
    if draft.type == "DiagnosticReport":
        parts = _parts(text)
        number = parts[NUMBER] if len(parts) > NUMBER else ""
        if all(_escaped(one["value"]) != number for one in _typed(draft.body, FILLER)):
            return []
        found = []
        for one in _typed(draft.body, PLACER):
            other = _swapped(text, number, _escaped(one["value"]))
            if other is not None and other != text:
                found.append((one, (system, other)))
        return found
    if any(one["value"] == text and _system(one, system) for one in _typed(draft.body, PLACER)):
        return [(f, (_authority(f), f["value"])) for f in _typed(draft.body, FILLER) if _authority(f)]
    return []


def _system(one: dict[str, Any], system: str) -> bool:
    return _authority(one) in (system, "")


class Otherwise:
    """What the drafts of one work are known by already; `flags` says what a person should look at."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.flags: list[Flag] = []
        self.rows: dict[int, Row] = {}  # by place of the draft in the work
        self._swaps: dict[tuple[str, str], None] = {}  # (number sent, number it is known by)

    def order(self, place: int, draft: Draft, own: Row | None, patient: Row | None) -> None:
        """Look for a report or an order by its other number."""
        matches: dict[int, tuple[Row, str]] = {}
        others = _others(draft)
        for one, key in others:
            row = self.state.by_key.get(self.state.keys.identity(draft.type, *key))
            if row is not None and row is not own and self._stands_for(draft, row, one, patient):
                matches[row.rid] = (row, key[1])
        if own is None and not others and patient is not None:
            matches = self._by_token(draft, patient)
        if not matches:
            return
        if own is not None or len(matches) > 1:
            text = "known twice, by its placer's and by its filler's number: nothing was joined"
            self._twice(draft, own, text)
            return
        ((row, text),) = matches.values()
        self.rows[place] = row
        if draft.type == "DiagnosticReport":
            self._swaps[_parts(draft.keys[0][1])[NUMBER], _parts(text)[NUMBER]] = None
        self.flags.append(Flag("number-added", draft.name, "known by the other of its two numbers before"))

    def _stands_for(self, draft: Draft, row: Row, one: dict[str, Any], patient: Row | None) -> bool:
        """Say whether a row found by the other number is what the draft speaks of."""
        self.state.load_current([row])
        if row.body is None or row.type != draft.type or patient is None or row.patient != patient.rid:
            return False
        known = row.body.value
        if draft.type == "ServiceRequest":
            placed = _typed(known, PLACER)
            mine = _typed(draft.body, PLACER)
            clash = placed and not any(_same(p, m) for p in placed for m in mine)
            return not clash and _code(known) == _code(draft.body)
        if _typed(known, FILLER):
            return False  # the filler gave it a number of its own: another report of the same order
        if any(_same(one, other) for other in _typed(known, PLACER)):
            return True
        text = "a number without an assigning authority may name a report that is known: not joined"
        self.flags.append(Flag("duplicate-key", draft.name, text, True))
        return False

    def _by_token(self, draft: Draft, patient: Row) -> dict[int, tuple[Row, str]]:
        """Look by the one number sent among resources that were keyed by their other one."""
        system, text = draft.keys[0]
        found: dict[int, tuple[Row, str]] = {}
        order = draft.type == "ServiceRequest"
        for one in _typed(draft.body, FILLER if order else PLACER):
            if not _authority(one):
                continue
            for row in self.state.having(draft.type, one.get("system") or "", one["value"]):
                if row.patient != patient.rid or row.body is None:
                    continue
                known = row.body.value
                if not any(_same(one, other) for other in _typed(known, FILLER if order else PLACER)):
                    continue
                if order:
                    if _code(known) == _code(draft.body):
                        found[row.rid] = (row, text)
                    continue
                keyed = {i.get("value") for i in known.get("identifier", ()) if i.get("system") == system}
                for filler in _typed(known, FILLER):
                    other = _swapped(text, _escaped(one["value"]), _escaped(filler["value"]))
                    if other in keyed:
                        found[row.rid] = (row, str(other))
        return found

    def rest(self, drafts: list[tuple[int, Draft, Row | None, Row | None]]) -> None:
        """Look for the remaining drafts (place, draft, own row, patient) under all numbers that are one."""
        wanted: dict[int, dict[bytes, bool]] = {}
        for place, draft, own, patient in drafts:
            pairs = self.state.numbers.get(patient.rid) if patient is not None else None
            keys: dict[bytes, bool] = {}
            for system, text in draft.keys:
                texts = [text, *(_as_other_number(text, pairs) if pairs else ())]
                if own is None and draft.type != "DiagnosticReport":
                    texts += [s for t in texts for old, new in self._swaps if (s := _swapped(t, old, new))]
                keys |= dict.fromkeys(
                    (self.state.keys.identity(draft.type, system, t) for t in texts[1:]), True
                )
            if keys:
                wanted[place] = keys
        by_key = self.state.by_key
        self.state.load({key for keys in wanted.values() for key in keys if key not in by_key})
        for place, draft, own, _ in drafts:
            rows = {r.rid: r for k in wanted.get(place, ()) if (r := by_key.get(k)) is not None}
            rows = {rid: r for rid, r in rows.items() if r is not own and r.type == draft.type and r.exists}
            if not rows:
                continue
            if own is not None or len(rows) > 1:
                text = "known more than once, under numbers that are one patient's or one order's by now"
                self._twice(draft, own, text)
            if own is None:
                (self.rows[place],) = rows.values()
        self.state.load_current(self.rows.values())

    def _twice(self, draft: Draft, own: Row | None, text: str) -> None:
        """Flag that one thing is known twice; where it is not clear which one is meant, the work waits."""
        flag = Flag("duplicate-key", draft.name, text, True)
        if own is None:
            raise Park(flag)
        self.flags.append(flag)


def _code(body: dict[str, Any]) -> Any:
    code = body.get("code") or {}
    codings = code.get("coding") or ()
    return (codings[0].get("system"), codings[0].get("code")) if codings else code.get("text")
