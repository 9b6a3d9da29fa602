"""Critical results: what nobody has taken over yet, what was told of each, taking one over with one's name.

In: rows, notices and rules. Out: pages. Lists hold no patient data and show the channels that a person's
roles cover; whose result it is and its value are for who may see bodies, and that is in the audit.
"""

from __future__ import annotations

from typing import Any

from engine.channels.critical.rules import FILE, Rule, rules_of
from engine.channels.critical.telling import next_escalation, ways
from engine.channels.critical.wording import KINDS, what_of
from engine.console.answers import Answer, Goto, Page, Refused
from engine.console.criticalfacts import person_facts, result_facts
from engine.console.door import Door
from engine.console.visit import Visit
from engine.kernel.errors import ConfigError
from engine.staff.criticals import CriticalRow

__all__ = ["add"]

_PAGE = 50


def add(door: Door) -> None:
    """Add the pages."""
    door.get("/critical", needs="see.messages")(waiting)
    door.get("/critical/count", needs="see.messages", stirs=False)(count)
    door.get("/critical/past", needs="see.messages")(past)
    door.get("/critical/rules", needs="see.messages")(rules)
    door.post("/critical/settled", needs="critical.take")(settled)
    door.get("/critical/{number}", needs="see.messages")(one)
    door.post("/critical/{number}/take", needs="critical.take")(take)


def waiting(visit: Visit) -> Page:
    """Show what nobody has taken over, the oldest first."""
    staff = visit.hub.staff
    rows = [row for row in staff.criticals.open() if _shown(visit, row)]
    return Page(
        "critical.html",
        {
            "rows": [_line(row) for row in rows],
            "told": bool(ways(visit.hub.config)),
            "rules": (visit.hub.config.root / FILE).exists(),
            "unjudged": len([one for one in staff.criticals.unjudged() if _sees(visit, one.channel)]),
        },
        "Critical results",
    )


def count(visit: Visit) -> Page:
    """Count what nobody has taken over, for the navigation."""
    rows = [row for row in visit.hub.staff.criticals.open() if _shown(visit, row)]
    return Page("critical_count.html", {"count": len(rows)}, fragment="critical_count.html")


def past(visit: Visit) -> Page:
    """Show what was taken over, followed by a newer version, or too old to be told."""
    before = visit.query.get("before", "")
    found = visit.hub.staff.criticals.past(_number(before), _PAGE)
    return Page(
        "critical_past.html",
        {
            "rows": [_line(row) for row in found if _shown(visit, row)],
            "more": found[-1].id if len(found) == _PAGE else None,
        },
        "Critical results of the past",
    )


def rules(visit: Visit) -> Page:
    """Show what is critical here, who is told, and what could not be compared."""
    try:
        read, trouble = rules_of(visit.hub.config.root), ""
    except ConfigError as e:
        read, trouble = None, str(e)
    critical = visit.hub.config.critical
    return Page(
        "critical_rules.html",
        {
            "rules": [_rule(rule) for rule in read.rules] if read is not None else [],
            "trouble": trouble,
            "file": FILE,
            "ways": [{"way": way, "when": "at once"} for way in ways(visit.hub.config)]
            + [
                {"way": way, "when": f"after {critical.escalate_after}, and again after each such time"}
                for way in ways(visit.hub.config, escalation=True)
            ],
            "unjudged": [one for one in visit.hub.staff.criticals.unjudged() if _sees(visit, one.channel)],
        },
        "Rules of critical results",
    )


def one(visit: Visit) -> Answer:
    """Show one critical result: why, who was told, who took it over, what became of it."""
    row = _row(visit)
    staff, store = visit.hub.staff, visit.hub.store
    bodies = visit.may("see.bodies", row.channel)
    facts: dict[str, Any] = {
        "row": _line(row),
        "chain": [_line(other) for other in staff.criticals.of(row.subject)],
        "notices": staff.critical_notices.of(row.id),
        "bodies": bodies,
        "note": staff.criticals.note_of(row.id) if bodies else "",
        "result": None,
        "patient": None,
    }
    if bodies:
        facts["result"] = result_facts(store, row)
        facts["patient"] = person_facts(store, row)
        visit.saw("critical", f"critical/{row.id}", f"{row.subject} {row.patient} entry/{row.entry}")
    return Page("critical_one.html", facts, f"Critical result {row.id}")


def take(visit: Visit) -> Answer:
    """Take a result over, with one's name and whom it was read to."""
    row = _row(visit)
    visit.require("critical.take", row.channel)
    note = visit.form.get("note", "")
    done = visit.hub.staff.criticals.acknowledge(row.id, visit.person.name, note)
    visit.saw("critical:take", f"critical/{row.id}", f"{row.subject} {row.patient} {note}".strip())
    if done.acknowledged_by != visit.person.name:
        return Goto(f"/critical/{row.id}", f"{done.acknowledged_by} has taken it over already.")
    return Goto("/critical", "You have taken it over: nobody else is told of it.")


def settled(visit: Visit) -> Answer:
    """Note that somebody has dealt with what a rule could not compare."""
    form = visit.form
    rule, channel, why = form.get("rule", ""), form.get("channel", ""), form.get("why", "")
    visit.require("critical.take", channel or None)
    known = visit.hub.staff.criticals.unjudged()
    if not any((one.rule, one.channel, one.why) == (rule, channel, why) for one in known):
        raise Refused(404, "There is no such line.", "Somebody has dealt with it already.")
    visit.hub.staff.criticals.settle(rule, channel, why, visit.person.name)
    visit.saw("critical:settled", "critical/rules", f"{rule} {channel}")
    return Goto("/critical/rules", "It comes back with the next such result.")


def _row(visit: Visit) -> CriticalRow:
    number = _number(visit.path["number"])
    row = visit.hub.staff.criticals.get(number) if number is not None else None
    if row is None or not _shown(visit, row):
        raise Refused(404, "There is no such critical result.")
    return row


def _shown(visit: Visit, row: CriticalRow) -> bool:
    return _sees(visit, row.channel)


def _sees(visit: Visit, channel: str) -> bool:
    return visit.may("see.messages", channel) if channel else visit.person.everywhere("see.messages")


def _line(row: CriticalRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "what": what_of(row),
        "kind": row.kind,
        "kind_words": KINDS[row.kind],
        "rules": row.rules,
        "why": row.why,
        "say": row.say,
        "channel": row.channel,
        "entry": row.entry,
        "resource": row.subject,
        "version": row.version,
        "received": row.received,
        "raised": row.raised,
        "told": row.told,
        "late": row.late,
        "open": row.open,
        "escalations": row.escalations,
        "escalated": row.escalated,
        "next": next_escalation(row),
        "by": row.acknowledged_by,
        "acknowledged": row.acknowledged,
        "noted": row.noted,
        "followed_by": row.followed_by,
    }


def _rule(rule: Rule) -> dict[str, Any]:
    limits = [f"{one.side.replace('_', ' ')} {one.value} {one.unit}".strip() for one in rule.limits]
    flags = [code for _, code in sorted(rule.interpretations)]
    return {
        "name": rule.name,
        "codes": [f"{system}|{code}" for system, code in sorted(rule.codes)],
        "when": limits + ([f"interpretation {', '.join(flags)}"] if flags else []) or ["every result"],
        "channels": list(rule.channels),
        "age": rule.age is not None,
        "say": rule.say,
        "place": rule.place,
    }


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
