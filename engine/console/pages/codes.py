"""Codes: what no table knows, suggested, proposed, reviewed, approved; and what waited runs again.

In: the worklist, forms. Out: the list (what most messages wait for first), a page for each code with
suggestions and why, drafts, approvals that say beforehand what will run again. Nobody approves what he wrote
where the settings ask for two people.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict
from typing import Any

from engine.channels.codevalues import sample_values
from engine.channels.suggesting import Suggester
from engine.channels.todo.approving import Approval, approve_codes, release_codes
from engine.channels.todo.tasks import task_id
from engine.codes.systems import SHORT, full
from engine.console.answers import Answer, Goto, Page, Refused
from engine.console.codelines import Senders, code_rows, one_code
from engine.console.door import Door
from engine.console.visit import Visit
from engine.kernel.errors import HubError
from engine.store.gaps import Sighting
from engine.terminology.tables import EQUIVALENCES

__all__ = ["add"]

_PAGE = 50
TABS = (
    ("waiting", "To do"),
    ("draft", "Drafts"),
    ("reviewed", "Reviewed"),
    ("approved", "Approved"),
    ("all", "All"),
)
_ABOVE = 85


def add(door: Door) -> None:
    """Add the pages."""

    @door.get("/codes", needs="see.maps")
    def codes(visit: Visit) -> Page:
        """Show the codes that no table knows."""
        return Page("codes.html", _list(visit), "Codes")

    @door.post("/codes/suggest", needs="codes.propose")
    def suggest(visit: Visit) -> Answer:
        """Make drafts of the best suggestions for open codes."""
        senders = Senders(visit)
        chosen = _chosen(visit)
        senders.require("codes.propose", chosen)
        made = _draft(visit, [s for s in chosen or _open(visit, senders) if s.state == "open"][:500])
        visit.saw("codes:suggest", "codes", f"{made} drafts")
        return Goto("/codes?tab=draft", f"{made} drafts made. Look at them before you approve.")

    @door.post("/codes/approve", needs="codes.approve")
    def approve(visit: Visit) -> Answer:
        """Say what an approval will do, and do it once somebody is sure."""
        found = _chosen(visit)
        if not found:
            raise Refused(400, "Choose codes first.")
        Senders(visit).require("codes.approve", [*found, *visit.hub.worklist().twins(found)])
        asked = _asked(visit, found)
        for channel in visit.hub.channel_names() if asked["changes"] else ():  # the row is everybody's
            visit.require("codes.approve", channel)
        if visit.form.get("sure") != "yes":
            return Page("codes_approve.html", asked, "Approve")
        made = approve_codes(
            visit.hub.releasing(),
            visit.hub.worklist(),
            [s.id for s in found],
            _form(visit),
            visit.person.name,
            visit.form.get("comment", "").strip()[:500],
            change=visit.form.get("change") == "yes",
        )
        return _went(made, "/codes")

    @door.post("/codes/review", needs="codes.approve")
    def review(visit: Visit) -> Goto:
        """Agree to drafts."""
        found = _chosen(visit)
        Senders(visit).require("codes.approve", found)
        for s in found:
            visit.hub.worklist().review(s.id, visit.person.name, visit.form.get("comment", "")[:500])
            visit.saw("codes:review", f"gap/{s.id}")
        return Goto("/codes?tab=reviewed", f"{len(found)} reviewed.")

    @door.get("/codes/{number}", needs="see.maps")
    def code(visit: Visit) -> Page:
        """Show one code, with what it may mean."""
        return Page("codes_one.html", _one(visit), "Code")

    @door.post("/codes/{number}/propose", needs="codes.propose")
    def propose(visit: Visit) -> Goto:
        """Say what a code means."""
        s = _mine(visit, "codes.propose")
        system = visit.form.get("system", "").strip()
        made = visit.hub.worklist().propose(
            s.id,
            visit.person.name,
            visit.form.get("code", "").strip(),
            system=full(system) if system else "",
            equivalence=visit.form.get("equivalence", "equivalent"),
            table=visit.form.get("table", "").strip(),
            display=visit.form.get("display", "").strip(),
            comment=visit.form.get("comment", "").strip()[:500],
        )
        visit.saw("codes:propose", f"gap/{s.id}", f"{made.target_code or made.equivalence} in {made.table}")
        return Goto(f"/codes/{s.id}", "Draft written.")

    @door.post("/codes/{number}/withdraw", needs="codes.propose")
    def withdraw(visit: Visit) -> Goto:
        """Take a draft back."""
        s = _mine(visit, "codes.propose")
        visit.hub.worklist().withdraw(s.id, visit.person.name, visit.form.get("comment", "").strip()[:500])
        visit.saw("codes:withdraw", f"gap/{s.id}")
        return Goto(f"/codes/{s.id}", "The draft is taken back.")

    @door.post("/codes/{number}/release", needs="replay")
    def release(visit: Visit) -> Answer:
        """Release what waits for a code that its table has by now."""
        s = _mine(visit, "replay")
        made = release_codes(
            visit.hub.releasing(), visit.hub.worklist(), [s.id], _form(visit), visit.person.name
        )
        return _went(made, f"/codes/{s.id}")


def _list(visit: Visit) -> dict[str, Any]:
    senders = Senders(visit)
    every = [s for s in visit.hub.worklist().sightings(STATES) if senders.listed(s.sender)]
    sender, place = visit.query.get("sender", ""), visit.query.get("field", "")
    mine = [s for s in every if sender in ("", s.sender) and place in ("", s.field)]
    tabs = {key: [s for s in mine if _in_tab(s, key)] for key, _ in TABS}
    tab = visit.query.get("tab", "waiting") if visit.query.get("tab", "waiting") in tabs else "waiting"
    after = visit.query.get("after", "")
    start = next((n + 1 for n, s in enumerate(tabs[tab]) if str(s.id) == after), 0)
    page = tabs[tab][start : start + _PAGE]
    return {
        "tab": tab,
        "tabs": [{"key": key, "word": word, "count": len(tabs[key])} for key, word in TABS],
        "rows": code_rows(visit, page, senders),
        "sender": sender,
        "field": place,
        "senders": sorted({s.sender for s in every}),
        "fields": sorted({s.field for s in every}),
        "more": page[-1].id if start + _PAGE < len(tabs[tab]) else None,
        "messages": sum(s.parked + s.flagged for s in mine),
        "loaded": [r.system for r in visit.hub.codes().releases()],
        "two_people": visit.hub.config.terminology.two_people,
        "above": _ABOVE,
    }


STATES = ("open", "draft", "reviewed", "approved")


def _in_tab(s: Sighting, tab: str) -> bool:
    if tab == "waiting":
        return s.state != "approved" or s.parked + s.flagged > 0
    return tab in ("all", s.state)


def _one(visit: Visit) -> dict[str, Any]:
    senders = Senders(visit)
    s = one_code(visit, senders)
    (row,) = code_rows(visit, [s], senders)
    work = visit.hub.worklist()
    waiting = work.waiting([s.id])
    values: list[str] = []
    if not row.hidden and s.samples:
        values = sample_values(visit.hub.journal, s)
        visit.saw("codes:samples", f"gap/{s.id}", " ".join(str(e) for e, _ in s.samples))
    channels = visit.hub.store.waiting.channels([e for e, _ in s.samples])
    known = work.in_table(s)
    return {
        "row": row,
        "values": values,
        "samples": [{"entry": e, "where": where, "channel": channels.get(e, "")} for e, where in s.samples],
        "suggestions": [] if row.hidden else _suggested(visit, s),
        "waiting": {
            "run": len(waiting.entries),
            "parked": len(waiting.parked),
            "flagged": len(waiting.flagged),
        }
        | {"held_back": len(waiting.held_back)},
        "settled": asdict(known) if known is not None else None,
        "tasks": sorted(
            {task_id("code", channel, "unmapped-code", "", s.id) for channel in channels.values()}
        ),
        "equivalences": sorted(EQUIVALENCES),
        "tables": sorted(work.tables()),
        "systems": sorted(SHORT),
        "allowed": {
            "propose": senders.may("codes.propose", s.sender) and not row.hidden,
            "approve": senders.may("codes.approve", s.sender) and not row.hidden,
            "release": senders.may("replay", s.sender),
        },
        "two_people": visit.hub.config.terminology.two_people,
        "form": secrets.token_hex(12),
    }


def _suggested(visit: Visit, s: Sighting) -> list[dict[str, Any]]:
    return [
        {
            "system": one.concept.system,
            "code": one.concept.code,
            "display": one.concept.display,
            "score": round(one.score, 1),
            "reasons": list(one.reasons),
        }
        for one in _suggester(visit).for_gap(s, 8)
    ]


def _suggester(visit: Visit) -> Suggester:
    work = visit.hub.worklist()
    assert work.codes is not None
    return Suggester(visit.hub.config.root, work.terms(), work.codes)


def _draft(visit: Visit, found: list[Sighting]) -> int:
    """Make drafts of suggestions that are good enough; returns how many."""
    suggester, work, made = _suggester(visit), visit.hub.worklist(), 0
    for s in found:
        best = suggester.for_gap(s, 1) if s.table else []
        if best and best[0].score >= _ABOVE:
            why = f"suggested, {best[0].score:.0f} of 100: {'; '.join(best[0].reasons)}"
            concept = best[0].concept
            work.propose(s.id, visit.person.name, concept.code, system=concept.system, comment=why)
            made += 1
    return made


def _open(visit: Visit, senders: Senders) -> list[Sighting]:
    return [s for s in visit.hub.worklist().sightings(("open",)) if senders.may("codes.propose", s.sender)]


def _chosen(visit: Visit) -> list[Sighting]:
    """Return the codes that a form names; those that are gone are an error."""
    numbers = [int(n) for n in visit.forms.get("number", []) if n.isdecimal() and len(n) < 10]
    return [visit.hub.worklist().one(n) for n in dict.fromkeys(numbers)]


def _mine(visit: Visit, permission: str) -> Sighting:
    senders = Senders(visit)
    s = one_code(visit, senders)
    senders.require(permission, [s])
    return s


def _asked(visit: Visit, found: list[Sighting]) -> dict[str, Any]:
    """Return what an approval of these codes will do."""
    work = visit.hub.worklist()
    missing = [s.id for s in found if s.proposal is None]
    if missing:
        raise HubError(f"code {missing[0]} has no draft", remedy="propose what it means first")
    waiting = work.waiting([s.id for s in found])
    changes = []
    for s in found:
        hit = work.in_table(s)
        assert s.proposal is not None
        if hit is not None and (hit.system, hit.code) != (s.proposal.target_system, s.proposal.target_code):
            changes.append({"number": s.id, "now": hit.code or "nothing", "where": hit.where})
    return {
        "rows": code_rows(visit, found, Senders(visit)),
        "run": len(waiting.entries),
        "parked": len(waiting.parked),
        "flagged": len(waiting.flagged),
        "held_back": len(waiting.held_back),
        "changes": changes,
        "form": secrets.token_hex(12),
    }


def _form(visit: Visit) -> str:
    form = visit.form.get("form", "").strip()
    if not form or len(form) > 64:
        raise Refused(400, "The form is not complete.", "Load the page again.")
    return form


def _went(made: Approval, otherwise: str) -> Goto:
    if len(made.releases) == 1:
        return Goto(f"/work/releases/{made.releases[0].number}")
    notice = f"In force: {', '.join(made.tables)}. " if made.tables else ""
    if made.releases:
        return Goto("/work", f"{notice}Messages of {len(made.releases)} channels run again.")
    if made.unreadable:
        return Goto(otherwise, f"{notice}{made.unreadable} messages cannot run again: their bodies are gone.")
    return Goto(otherwise, f"{notice}No message waited.")
