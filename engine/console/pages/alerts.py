"""Alerts: what is wrong now, who looks after it, of what nobody is told for a while, whether notices arrive.

In: alarms, silences and notices of the staff database. Out: pages; acknowledgements with a name, silences
with an end. No patient data anywhere; alarms of a channel only for people whose roles cover it.
"""

from __future__ import annotations

from engine.channels.alarms.causes import cause_of
from engine.channels.alarms.conditions import KINDS
from engine.channels.alarms.sending import send_one
from engine.channels.alarms.telling import ways
from engine.console.answers import Answer, Goto, Page, Refused
from engine.console.door import Door
from engine.console.pages.alert_rules import rules_facts
from engine.console.visit import Visit
from engine.kernel.errors import HubError
from engine.staff.alarms import AlarmRow
from engine.staff.notices import Notice

__all__ = ["add"]

_PAGE = 50
SPANS = ((60, "1 hour"), (240, "4 hours"), (720, "12 hours"), (1440, "1 day"), (10080, "7 days"))
"""Minutes a silence may last."""


def add(door: Door) -> None:
    """Add the pages."""
    door.get("/alerts", needs="see.status")(alerts)
    door.get("/alerts/count", needs="see.status", stirs=False)(count)
    door.get("/alerts/history", needs="see.status")(history)
    door.get("/alerts/notices", needs="see.status")(notices)
    door.get("/alerts/rules", needs="see.status")(rules)
    door.post("/alerts/silences", needs="alerts.edit")(silence)
    door.post("/alerts/silences/{number}/end", needs="alerts.edit")(end_silence)
    door.post("/alerts/notices/{number}/again", needs="alerts.edit")(again)
    door.post("/alerts/test", needs="alerts.edit")(test)
    door.get("/alerts/{number}", needs="see.status")(one)
    door.post("/alerts/{number}/acknowledge", needs="alerts.edit")(acknowledge)


def alerts(visit: Visit) -> Page:
    """Show what is wrong now."""
    staff = visit.hub.staff
    silences = staff.silences.now_silent()
    open_ = [a for a in staff.alarms.open() if _shown(visit, a)]
    return Page(
        "alerts.html",
        {
            "alarms": [
                _line(a) | {"silenced": any(s.covers(a.channel, a.kind) for s in silences)} for a in open_
            ],
            "silences": [s for s in silences if s.channel == "*" or visit.may("see.status", s.channel)],
            "troubled": [_notice(n) for n in staff.notices.troubled()],
            "channels": visit.person.channels("alerts.edit", visit.hub.channel_names()),
            "everywhere": visit.person.everywhere("alerts.edit"),
            "kinds": [{"kind": kind, "words": words} for kind, words in KINDS.items()],
            "spans": [{"minutes": minutes, "words": words} for minutes, words in SPANS],
            "told": bool(ways(visit.hub.config.alerts)),
        },
        "Alerts",
    )


def count(visit: Visit) -> Page:
    """Count the alarms that nobody looks after, for the navigation."""
    open_ = [a for a in visit.hub.staff.alarms.open() if _shown(visit, a) and a.acknowledged is None]
    facts = {"count": len(open_), "urgent": sum(a.urgent for a in open_)}
    return Page("alerts_count.html", facts, fragment="alerts_count.html")


def history(visit: Visit) -> Page:
    """Show alarms that are over."""
    found = visit.hub.staff.alarms.past(_number(visit.query.get("before", "")), _PAGE)
    return Page(
        "alerts_history.html",
        {
            "alarms": [_line(a) for a in found if _shown(visit, a)],
            "more": found[-1].id if len(found) == _PAGE else None,
        },
        "Alerts of the past",
    )


def notices(visit: Visit) -> Page:
    """Show what was sent to whom, what was answered, and every try that failed."""
    found = visit.hub.staff.notices.recent(_number(visit.query.get("before", "")), _PAGE)
    settings = visit.hub.config.alerts
    return Page(
        "alerts_notices.html",
        {
            "notices": [_notice(n) for n in found],
            "more": found[-1].id if len(found) == _PAGE else None,
            "ways": [*ways(settings), *(w for w in ways(settings, True) if w not in ways(settings))],
        },
        "Notices",
    )


def rules(visit: Visit) -> Page:
    """Show what is watched, and where that is written."""
    return Page("alerts_rules.html", rules_facts(visit), "Rules of alerts")


def one(visit: Visit) -> Answer:
    """Show one alarm, who was told, and where its cause is."""
    alarm = _alarm(visit)
    path, words = cause_of(alarm)
    return Page(
        "alert.html",
        {
            "alarm": _line(alarm),
            "cause": {"path": path, "words": words},
            "notices": [_notice(n) for n in visit.hub.staff.notices.of(alarm.id)],
        },
        f"Alert {alarm.id}",
    )


def acknowledge(visit: Visit) -> Answer:
    """Take care of an alarm, with one's name."""
    alarm = _alarm(visit)
    visit.require("alerts.edit", alarm.channel or None)
    if alarm.kind == "glass":
        visit.hub.staff.glass.acknowledge(alarm.value, visit.person.name)
    done = visit.hub.staff.alarms.acknowledge(alarm.id, visit.person.name)
    visit.saw("alert:acknowledge", f"alarm/{alarm.id}")
    if done.acknowledged_by != visit.person.name:
        return Goto(f"/alerts/{alarm.id}", f"{done.acknowledged_by} looks after it already.")
    return Goto("/alerts", "You look after it: nobody else is told that nobody does.")


def silence(visit: Visit) -> Answer:
    """Tell nobody of some alarms for a while."""
    channel, kind = visit.form.get("channel", ""), visit.form.get("kind", "")
    if channel != "*" and channel not in visit.hub.channel_names():
        raise Refused(400, "Choose a channel.")
    if kind not in ("", *KINDS):
        raise Refused(400, "Choose what is silenced.")
    if channel == "*" and not visit.person.everywhere("alerts.edit"):
        raise Refused(403, "Your roles do not cover every channel.")
    if channel != "*":
        visit.require("alerts.edit", channel)
    minutes = _number(visit.form.get("minutes", "")) or 0
    made = visit.hub.staff.silences.make(channel, kind, minutes, visit.form.get("why", ""), visit.person.name)
    visit.saw("alert:silence", f"silence/{made}", f"{channel} {kind} {minutes} minutes")
    return Goto("/alerts", "Nobody is told until it is over. The alarms are still shown here.")


def end_silence(visit: Visit) -> Answer:
    """Take a silence back."""
    number = _number(visit.path["number"]) or 0
    mine = next((s for s in visit.hub.staff.silences.now_silent() if s.id == number), None)
    if mine is None:
        raise Refused(404, "This silence is over.")
    if mine.channel == "*" and not visit.person.everywhere("alerts.edit"):
        raise Refused(403, "Your roles do not cover every channel.")
    if mine.channel != "*":
        visit.require("alerts.edit", mine.channel)
    visit.hub.staff.silences.end(number, visit.person.name)
    visit.saw("alert:silence-end", f"silence/{number}")
    return Goto("/alerts", "People are told again.")


def again(visit: Visit) -> Answer:
    """Try a notice again now."""
    number = _number(visit.path["number"]) or 0
    visit.hub.staff.notices.again(number)
    visit.saw("alert:notice-again", f"notice/{number}")
    return Goto("/alerts/notices", "It is tried again at once.")


def test(visit: Visit) -> Answer:
    """Send a test notice now and show what was answered."""
    hub = visit.hub
    settings = hub.config.alerts
    way = visit.form.get("way", "")
    if way not in {*ways(settings), *ways(settings, escalation=True)}:
        raise Refused(400, "Choose who is told.", "Ways are written in config.yaml under alerts:.")
    hub.staff.notices.make(None, "test", [way])
    mine = next((n for n in hub.staff.notices.recent(limit=5) if n.event == "test" and n.way == way), None)
    visit.saw("alert:test", "notice", way)
    if mine is None:
        raise Refused(409, "A test was sent this very moment.", "Try again in a second.")
    try:
        said = send_one(hub.config, hub.staff, hub.store.audit, mine)
    except HubError as e:
        hub.staff.notices.done(mine, False, str(e))
        hub.staff.notices.drop(mine.id)
        return Goto("/alerts/notices", f"{way} cannot be told: {e}")
    hub.staff.notices.done(mine, True, said)
    return Goto("/alerts/notices", f"{way} was told: {said}")


def _alarm(visit: Visit) -> AlarmRow:
    number = _number(visit.path["number"])
    alarm = visit.hub.staff.alarms.get(number) if number is not None else None
    if alarm is None or not _shown(visit, alarm):
        raise Refused(404, "There is no such alarm.")
    return alarm


def _shown(visit: Visit, alarm: AlarmRow) -> bool:
    return not alarm.channel or visit.may("see.status", alarm.channel)


def _line(alarm: AlarmRow) -> dict[str, object]:
    path, words = cause_of(alarm)
    return {
        "id": alarm.id,
        "channel": alarm.channel,
        "kind": alarm.kind,
        "what": alarm.what,
        "say": alarm.say,
        "urgent": alarm.urgent,
        "count": alarm.value,
        "most": alarm.most,
        "raised": alarm.raised,
        "cleared": alarm.cleared,
        "acknowledged": alarm.acknowledged,
        "by": alarm.acknowledged_by,
        "told": alarm.told,
        "escalated": alarm.escalated,
        "cause": path,
        "cause_words": words,
    }


def _notice(notice: Notice) -> dict[str, object]:
    return {
        "id": notice.id,
        "alarm": notice.alarm,
        "event": notice.event,
        "way": notice.way,
        "made": notice.made,
        "due": notice.due,
        "tries": notice.tries,
        "sent": notice.sent,
        "answer": notice.answer,
        "state": notice.state,
    }


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
