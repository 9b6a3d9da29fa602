"""From a draft to the content of a version: references put right, then merged with what is there.

In: a draft, the row it writes, what to write for the references it uses. Out: a `Version` in the plan, or the
row among the unchanged. References are rewritten in the JSON (`"reference":"` can stand there for nothing
else), because walking every draft costs more than everything else here together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from engine.fhir import definitions, jsonio
from engine.kernel.message import Draft, Flag, Work
from engine.store.aliases import another_placer
from engine.store.allergies import another_allergen
from engine.store.course import HOUR, LOCAL, Fact, course_of, fact_of, in_order
from engine.store.facts import settled, shortened
from engine.store.listed import without_duplicates
from engine.store.meant import linked
from engine.store.merge import choice_group, claims_of, dated, facts_of, merged, owned_by, times_of, unknown
from engine.store.pack import Body
from engine.store.references import renamed
from engine.store.state import Park, Row, State
from engine.store.study_uids import is_imaging, settle_study_uid
from engine.store.visits import Visit

__all__ = [
    "ONE_PLACER",
    "Plan",
    "Version",
    "add_late_course",
    "add_version",
    "check_placer",
    "is_older",
    "times_now",
]

ONE_PLACER = frozenset({"Appointment", "MedicationRequest"})
"""Types that are known by their filler's number too, and have one placer's number for good."""
_URN = b'"reference":"urn:uuid:'
_REFERENCE = re.compile(rb'"reference":"([A-Z][A-Za-z]+/[^"]+)"')
_LOGICAL = b'"identifier":{'  # a single identifier: nearly always that of a Reference


@dataclass(slots=True)
class Version:
    """A version to be written; `shape` is its body, references perhaps not yet rewritten, to fill columns
    from.
    """

    row: Row
    body: Body
    shape: dict[str, Any]
    before: Body | None
    patient: Row | None


@dataclass(slots=True)
class Plan:
    """Everything one work changes."""

    work: Work
    bound: dict[bytes, Row] = field(default_factory=dict)
    urns: dict[bytes, bytes] = field(default_factory=dict)  # id of a draft -> reference to write
    names: dict[bytes, bytes] = field(default_factory=dict)  # `Type/id` that is to be written otherwise
    versions: list[Version] = field(default_factory=list)
    unchanged: list[Row] = field(default_factory=list)
    superseded: list[Row] = field(default_factory=list)
    merges: list[tuple[Row, Row]] = field(default_factory=list)  # (retired, survivor)
    moved: list[tuple[Row, Row, Row]] = field(default_factory=list)  # (what, whose it was, whose it is)
    joined: list[tuple[Row, Row]] = field(default_factory=list)  # visits: (given up, what it became)
    parted: list[tuple[Row, Row]] = field(default_factory=list)  # (retired before, its survivor)
    numbers: dict[int, list[tuple[str, str]]] = field(default_factory=dict)  # of both, by the retired one
    heard: list[tuple[Row, dict[str, int]]] = field(default_factory=list)  # unchanged, but said again later
    pending: list[tuple[int, Row]] = field(default_factory=list)  # hash of a target that is not there yet
    flags: list[Flag] = field(default_factory=list)


def times_now(row: Row) -> dict[str, int]:
    """Return by what times of their own the senders have spoken of a resource."""
    if row.times is not None:
        return row.times
    return times_of(row.body.own) if row.body is not None else {}


def is_older(draft: Draft, row: Row, sender: str) -> bool:
    """Say whether the sender dates a draft before what it has already said of the resource."""
    told = draft.told
    if told is None or row.body is None:
        return False
    known = times_now(row).get(f"{told.kind} {sender}")
    return known is not None and told.last < known - (HOUR if told.kind.endswith(LOCAL) else 0)


def _may_be_older(draft: Draft, row: Row, sender: str) -> bool:
    """Say whether local times leave it open, for want of a zone, whether a draft is the older one."""
    told = draft.told
    if told is None or not told.kind.endswith(LOCAL):
        return False
    return told.last < times_now(row).get(f"{told.kind} {sender}", told.last)


def _times(draft: Draft, row: Row, sender: str) -> dict[str, int]:
    """Return the times of a resource once the draft has spoken of it."""
    times, told = times_now(row), draft.told
    if told is None:
        return times
    key = f"{told.kind} {sender}"
    return times if times.get(key, -1) >= told.first else {**times, key: told.first}


def _said_again(draft: Draft, row: Row, made: Plan) -> None:
    made.unchanged.append(row)
    times = _times(draft, row, made.work.sender)
    if times is not times_now(row):
        made.heard.append((row, times))


def add_version(
    draft: Draft,
    body: dict[str, Any],
    row: Row,
    patient: Row | None,
    made: Plan,
    state: State,
    older: bool = False,
) -> None:
    """Work out the version that `body` (the draft's, or part of it) makes of a resource.

    `older`: by its sender's own time; where it would change anything it is late.
    """
    before, sender = row.body, made.work.sender
    if draft.weak and before is not None:
        weak = set(draft.weak) - (_STATUS if draft.added and _in_error(before.value) else set())
        body = {name: value for name, value in body.items() if name not in weak}
    plain = jsonio.dumps(body)
    sent = _rewritten(plain, made)
    if _LOGICAL in sent:
        sent, waits, doubts = linked(sent, row, patient, state)
        made.pending += [(token, row) for token in waits]
        made.flags += [Flag(code, draft.name, text, work) for code, text, work in doubts]
        patient = patient or state.patient_of(jsonio.loads(sent))
    visit = None
    if draft.happened is not None and draft.type == "Encounter":
        visit = _visit(draft, sent, row, made)
        if older:
            _add_course(draft, row, made, visit)
            made.superseded.append(row)
            made.flags.append(_late(draft, row))
            return
    imaging = draft.type == "ServiceRequest" and is_imaging(body)
    if before is None and visit is None and not imaging and without_duplicates(body):
        own = dated(owned_by(sender, draft), _times(draft, row, sender))
        content = Body(sent, body if sent == plain else None, own)
        made.versions.append(Version(row, content, body, None, patient))
        return
    memo = (sender, draft.map, draft.write, sent)
    names = _moving(row, made) if made.moved else {}
    news = bool(names) or (visit is not None and visit.news)
    plainly = not (draft.cleared or draft.acts or draft.added or news)  # what was sent is all there is to it
    if before is not None and plainly and (sent == before.raw or before.same == memo):
        _said_again(draft, row, made)
        return
    value = body if sent == plain else jsonio.loads(sent)
    old, own = (
        (before.value, before.own) if before is not None else (_blank(draft, body), [sender, draft.map, {}])
    )
    if names:
        old = renamed(old, names)
    if draft.added:
        old = _standing(old, body)
    if made.names and any("@" in place for place in draft.cleared):
        draft = replace(draft, cleared=tuple(_renamed(place, made) for place in draft.cleared))
    check_placer(draft, body, old)
    if draft.type == "AllergyIntolerance" and another_allergen(draft, body, old, own):
        text = "the entry is known by its number and by another allergen: which one is meant?"
        raise Park(Flag("ambiguous-key", draft.name, text, work=True))
    new, own = merged(old, own, draft, value, sender, visit)
    new, own = settle_study_uid(draft, row, new, own, made, state)
    if "clinicalStatus" in new and "verificationStatus" in new and _in_error(new):
        del new["clinicalStatus"]  # FHIR ait-2, con-5: what never was is not active
    if draft.type == "Condition" and before is not None:
        made.flags += _denied_or_told(draft, body, new)
    if before is not None and _in_error(new) and not _in_error(body) and draft.type in _LISTED:
        text = "it was entered in error by an earlier message; this one tells it, and not that it stands"
        made.flags.append(Flag("still-in-error", draft.name, text, work=True))
    if before is not None and draft.acts:
        for element in unknown(draft, old, before.own, sender):
            text = f"an entry of {element} that it changes or takes out is not known here"
            made.flags.append(Flag("nothing-to-change", draft.name, text, work=True))
    if not plainly:
        _whole(draft, old, new)
        if draft.type == "Encounter" and "period.end" in draft.cleared and "end" in new.get("period", {}):
            text = "the time of discharge was deleted, and the visit has ended all the same: it stays"
            made.flags.append(Flag("delete-ignored", draft.name, text, work=True))
    raw = jsonio.dumps(new)
    if before is not None and before.raw == raw and not news:
        if plainly:
            before.same = memo
        _said_again(draft, row, made)
        return
    if older:
        made.superseded.append(row)
        made.flags.append(_late(draft, row))
        return
    if before is not None:
        made.flags += _doubts(draft, before.value, new, _may_be_older(draft, row, sender))
    own = dated(own, _times(draft, row, sender), visit.facts if visit is not None else _facts(before))
    made.versions.append(Version(row, Body(raw, new, own), new, before, patient))


def _moving(row: Row, made: Plan) -> dict[str, str]:
    """Return what to write instead of the patient whom a resource leaves."""
    return {f"Patient/{a.id}": f"Patient/{b.id}" for moved, a, b in made.moved if moved is row}


def _in_error(body: dict[str, Any]) -> bool:
    """Say whether a resource was entered in error."""
    verified = body.get("verificationStatus") or {}
    codes = [one.get("code") for one in verified.get("coding") or ()]
    return _ERROR in (body.get("status"), body.get("lifecycleStatus"), *codes)


def _refuted(body: dict[str, Any]) -> bool:
    verified = body.get("verificationStatus") or {}
    return any(one.get("code") == "refuted" for one in verified.get("coding") or ())


def _denied_or_told(draft: Draft, body: dict[str, Any], new: dict[str, Any]) -> list[Flag]:
    """Let a problem that is denied now be no active one any more, and one that is told again not stay denied:
    whoever asks for active problems must find neither the one nor miss the other."""
    if _refuted(body):
        for name in [n for n in new if n == "clinicalStatus" or n.startswith(("abatement", "_abatement"))]:
            if name not in body:
                del new[name]
        return []
    if not _refuted(new) or "clinicalStatus" not in body:
        return []
    del new["verificationStatus"]
    text = "it was denied by an earlier message, and is told as a problem now"
    return [Flag("told-again", draft.name, text, work=True)]


def _standing(old: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """Return a resource that is added again without the word that it was entered in error."""
    if not _in_error(old):
        return old
    gone = {name for name in ("status", "lifecycleStatus") if old.get(name) == _ERROR and "_" + name in body}
    if "status" not in old and "lifecycleStatus" not in old and "verificationStatus" not in body:
        gone.add("verificationStatus")
    return {name: value for name, value in old.items() if name not in gone}


def _blank(draft: Draft, body: dict[str, Any]) -> dict[str, Any]:
    """Return what a resource is before anything is written into it."""
    return {name: body[name] for name in ("resourceType",) if name in body}


def _facts(before: Body | None) -> list[Fact]:
    return facts_of(before.own) if before is not None else []


def _visit(draft: Draft, sent: bytes, row: Row, made: Plan) -> Visit:
    """Add what a draft tells of a visit to its course, and flag what it takes back in vain."""
    work, before = made.work, row.body
    fact = fact_of(draft, jsonio.loads(sent), work.position, work.sender)
    known = _facts(before)
    told = [one for one in known if one["n"] != work.position]
    if before is not None:
        told = settled(known, work.position, row.position, times_now(row), _named_by(work.sender, before))
    facts = in_order([*told, fact])
    course = course_of(facts)
    if work.position in course.idle:
        text = "it takes back what is not known of this visit: nothing was taken back"
        made.flags.append(Flag("nothing-to-change", draft.name, text, work=True))
    if work.position in course.repeats:
        text = "it takes a transfer back and names its place all the same: the place before holds"
        made.flags.append(Flag("cancel-unclear", draft.name, text, work=True))
    plain = {name: value for name, value in fact.items() if name != "n"}
    again = any(plain == {name: value for name, value in one.items() if name != "n"} for one in known)
    return Visit(shortened(facts), course, fact, news=not again and ("x" in fact or "b" in fact))


def _named_by(sender: str, body: Body) -> dict[str, Any]:
    """Return a visit with only those places that a sender named: others name them in their own ways."""
    places = body.value.get("location") or []
    claims = claims_of(body.own, "location", len(places))
    own = [place for place, mine in zip(places, claims, strict=True) if any(c[0] == sender for c in mine)]
    return {**body.value, "location": own}


def _add_course(draft: Draft, row: Row, made: Plan, visit: Visit) -> None:
    """Write into the course of a visit what comes too late to change anything else.

    The version keeps the position and the times of what was told before: nothing newer was said.
    """
    before = row.body
    assert before is not None
    only = replace(draft, cleared=(), weak=(), write="merge", labels={})
    new, own = merged(before.value, before.own, only, {}, made.work.sender, visit)
    raw = jsonio.dumps(new)
    if raw == before.raw and not visit.news:
        return
    body = Body(raw, new, dated(own, times_now(row), visit.facts))
    made.versions.append(Version(row, body, new, before, None))


def add_late_course(draft: Draft, row: Row, made: Plan) -> None:
    """Write into the course of a visit what an entry told that stands before the last one in the journal."""
    if draft.happened is not None and draft.type == "Encounter" and row.body is not None:
        _add_course(draft, row, made, _visit(draft, _rewritten(jsonio.dumps(draft.body), made), row, made))


def check_placer(draft: Draft, body: dict[str, Any], old: dict[str, Any]) -> None:
    """Park what is known by its filler's number and was placed under another number: perhaps another."""
    if draft.type in ONE_PLACER and another_placer(body, old):
        text = f"the filler's number is that of a {draft.type} with another placer number: are they one?"
        raise Park(Flag("ambiguous-key", draft.name, text, work=True))


def _whole(draft: Draft, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Park a work whose explicit deletes leave a resource without what FHIR demands of it."""
    for name in old:
        if name in new or "_" + name in new:
            continue
        element = definitions.element(draft.type, name)
        group = choice_group(name)
        if element is None or not element.min:
            continue
        if group is None or all(choice_group(other.lstrip("_")) != group for other in new):
            text = f"the message deletes {draft.type}.{name}, which cannot be absent"
            raise Park(Flag("delete-of-required", draft.name, text, work=True))


_ERROR = "entered-in-error"
_LISTED = frozenset({"AllergyIntolerance", "CarePlan", "Condition", "Goal"})
"""What stands on a list of its own, and is told again and again."""
_STATUS = {"status", "_status", "lifecycleStatus", "_lifecycleStatus"}
_SURE = frozenset({"final", "amended", "corrected", "appended"})
_UNSURE = frozenset({"registered", "partial", "preliminary"})


def _doubts(draft: Draft, old: dict[str, Any], new: dict[str, Any], unclear: bool) -> list[Flag]:
    """Flag what is written and should be seen by somebody."""
    found = []
    if unclear:
        text = (
            "its local time is a little before the sender's last; without a zone that may be an hour set back"
        )
        found.append(Flag("late-unclear", draft.name, text, work=True))
    if old.get("status") in _SURE and new.get("status") in _UNSURE:
        text = f"what was {old['status']} is {new['status']} again"
        found.append(Flag("no-longer-final", draft.name, text, work=True))
    if draft.type == "DiagnosticReport" and "result" not in draft.body:
        if old.get("result") and new.get("status") == "cancelled" != old.get("status"):
            text = "the report was cancelled without a word on its results: they stand as they are"
            found.append(Flag("results-of-cancelled", draft.name, text, work=True))
    return found


def _late(draft: Draft, row: Row) -> Flag:
    """Flag what the sender dates before what it said already; people look, except at a mere first word."""
    assert draft.told is not None
    text = f"by its own time ({draft.told.kind}) the sender said newer things before: not written"
    work = row.patient is not None and draft.body.get("status") not in ("preliminary", "registered")
    return Flag("late", draft.name, text, work)


def _rewritten(raw: bytes, made: Plan) -> bytes:
    parts = raw.split(_URN)
    if len(parts) > 1:
        names = made.urns
        out = [parts[0]]
        for part in parts[1:]:
            name = names.get(part[:36])
            out.append(_URN + part if name is None else b'"reference":"' + name + part[36:])
        raw = b"".join(out)
    if made.names:
        names = made.names
        raw = _REFERENCE.sub(lambda match: b'"reference":"' + names.get(match[1], match[1]) + b'"', raw)
    return raw


def _renamed(place: str, made: Plan) -> str:
    """Give the resource in `element@Type/id` the id that it has in the store."""
    element, at, name = place.partition("@")
    return element + at + made.names.get(name.encode(), name.encode()).decode()
