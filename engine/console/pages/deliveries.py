"""Deliveries: what waits for which destination, what was refused, every try with its evidence; send again.

In: the queues of the core store. Out: pages. Who may see lists sees numbers, times and reasons without
patient data, of channels their roles cover; what was sent and answered is for who may see bodies, and is in
the audit, as is every act.
"""

from __future__ import annotations

from typing import Any

from engine.channels.delivering.places import Destined, around, destinations_of
from engine.console.answers import Goto, Page, Refused
from engine.console.door import Door
from engine.console.visit import Visit
from engine.kernel.clock import now_ms
from engine.kernel.errors import HubError
from engine.store.deliveries import STATUSES, Delivery, Place
from engine.store.deliverydesk import MOST_ANEW

__all__ = ["add"]

_PAGE = 50
_STEP = 500  # deliveries that one transaction puts back
_COUNTED = 500  # deliveries of a state that are counted for who may not see all
_TEXT = 20_000  # characters of a request or an answer that are shown


def add(door: Door) -> None:
    """Add the pages."""
    door.get("/deliveries", needs="see.status")(overview)
    door.get("/deliveries/{name}", needs="see.messages")(queue)
    door.post("/deliveries/{name}/stop", needs="replay")(stop)
    door.post("/deliveries/{name}/open", needs="replay")(open_)
    door.post("/deliveries/{name}/check", needs="replay")(check)
    door.post("/deliveries/{name}/again", needs="replay")(all_again)
    door.get("/delivery/{number}", needs="see.messages", records=False)(one)
    door.post("/delivery/{number}/again", needs="replay")(again)
    door.post("/delivery/{number}/skip", needs="replay")(skip)


def overview(visit: Visit) -> Page:
    """Show every destination and what waits for it."""
    known = _known(visit)
    doing = {place.name: place for place in visit.hub.store.deliveries.places()}
    rows = []
    for name in sorted({*known, *doing}):
        place, made = doing.get(name), known.get(name)
        if not _concerns(visit, "see.status", made):
            continue
        place = _cut(visit, "see.status", place)
        rows.append(
            {
                "name": name,
                "kind": made.kind.word if made else "",
                "channels": sorted(made.rules) if made else [],
                "where": made.where if made else "",
                "state": place.state if place else "open",
                "since": place.since or None if place else None,
                "why": place.why if place else "",
                "pending": place.pending if place else 0,
                "oldest": place.oldest if place else None,
                "held": place.refused + place.parked if place else 0,
            }
        )
    rows.sort(key=lambda row: (row["state"] == "open", not row["held"], not row["pending"], row["name"]))
    return Page("deliveries.html", {"places": rows}, "Deliveries")


def queue(visit: Visit) -> Page:
    """List the deliveries of one destination in one state, newest first."""
    name, status = visit.path["name"], visit.query.get("status", "pending")
    if status not in STATUSES:
        raise Refused(400, f"{status!r} is no state of a delivery.", f"States are {', '.join(STATUSES)}.")
    made = _known(visit).get(name)
    store = visit.hub.store.deliveries
    place = next((p for p in store.places() if p.name == name), None)
    if made is None and place is None:
        raise Refused(404, "There is no such destination.")
    if not _concerns(visit, "see.messages", made):
        raise Refused(403, "Your roles cover no channel that delivers there.")
    before = _number(visit.query.get("before", "")) if "before" in visit.query else None
    found = store.listed(name, status, before, _PAGE + 1)
    shown = [_line(d) for d in found[:_PAGE] if visit.may("see.messages", d.channel or "")]
    return Page(
        "destination.html",
        {
            "name": name,
            "kind": made.kind.word if made else "",
            "where": made.where if made else "",
            "place": _cut(visit, "see.messages", place),
            "status": status,
            "statuses": STATUSES,
            "rows": shown,
            "more": found[_PAGE - 1].id if len(found) > _PAGE else None,
            "acts": visit.person.everywhere("replay"),
        },
        f"Deliveries to {name}",
    )


def one(visit: Visit) -> Page:
    """Show one delivery and its tries; what was sent and answered to who may see bodies."""
    delivery = _delivery(visit, "see.messages")
    bodies = visit.may("see.bodies", delivery.channel or "")
    tries = visit.hub.store.deliveries.tries(delivery.id)
    if bodies and tries:
        visit.saw("evidence of a delivery", f"entry/{delivery.entry}", f"delivery {delivery.id}")
    return Page(
        "delivery.html",
        {
            **_line(delivery),
            "bodies": bodies,
            "acts": visit.may("replay", delivery.channel or ""),
            "evidence": [
                {
                    "n": t.n,
                    "at": t.at,
                    "ms": t.ms,
                    "times": t.times,
                    "verdict": t.verdict,
                    "why": t.why,
                    "request": _text(t.request) if bodies else "",
                    "answer": _text(t.answer) if bodies else "",
                }
                for t in tries
            ],
        },
        f"Delivery of {delivery.entry} to {delivery.destination}",
    )


def again(visit: Visit) -> Goto:
    """Send one delivery again, under its key or as new."""
    delivery = _delivery(visit, "replay")
    as_new = visit.form.get("as_new") == "yes"
    why = visit.form.get("why", "").strip()
    if as_new and not why:
        raise Refused(400, "Say why it is sent as new.", "The other side will take it for another message.")
    words = "sent a delivery again as new" if as_new else "sent a delivery again"
    visit.saw(words, f"entry/{delivery.entry}", f"delivery {delivery.id} to {delivery.destination}: {why}")
    if not visit.hub.store.deliveries.send_again([delivery.id], as_new) and as_new:
        raise Refused(409, f"It was sent as new {MOST_ANEW} times.", "Ask what the other side does with it.")
    return Goto(f"/delivery/{delivery.id}", "It is sent again.")


def skip(visit: Visit) -> Goto:
    """Take one delivery out: it shall not go."""
    delivery = _delivery(visit, "replay")
    why = visit.form.get("why", "").strip()
    if not why:
        raise Refused(400, "Say why it shall not go.", "Whoever asks later reads it here.")
    visit.saw("skipped a delivery", f"entry/{delivery.entry}", f"delivery {delivery.id}: {why}")
    done = visit.hub.store.deliveries.skip([delivery.id], f"skipped by {visit.person.name}")
    return Goto(f"/delivery/{delivery.id}", "It will not go." if done else "It had gone already.")


def all_again(visit: Visit) -> Goto:
    """Send again what was refused or parked at one destination."""
    name = _everywhere(visit)
    store = visit.hub.store.deliveries
    place = next((p for p in store.places() if p.name == name), None)
    visit.saw(
        *("sent deliveries again", f"destination/{name}"),
        f"{place.refused + place.parked if place else 0} deliveries",
    )
    count = after = 0
    while found := store.held(name, after, _STEP):  # oldest first: what is put back goes out meanwhile
        after = found[-1].id
        count += len(store.send_again([d.id for d in found if visit.may("replay", d.channel or "")]))
    return Goto(f"/deliveries/{name}", f"{count} are sent again.")


def stop(visit: Visit) -> Goto:
    """Stop delivering to one destination; what comes waits."""
    name = _everywhere(visit)
    why = visit.form.get("why", "").strip()
    visit.saw("stopped a destination", f"destination/{name}", why)
    text = f"stopped by {visit.person.name}" + (f": {why}" if why else "")
    visit.hub.store.deliveries.set_state(name, "stopped", text, now_ms(), by_hand=True)
    return Goto(f"/deliveries/{name}", "Nothing goes there until somebody opens it again.")


def open_(visit: Visit) -> Goto:
    """Deliver to one destination again."""
    name = _everywhere(visit)
    visit.saw("opened a destination", f"destination/{name}")
    visit.hub.store.deliveries.set_state(name, "open", "", now_ms(), by_hand=True)
    return Goto(f"/deliveries/{name}", "What waits goes out now.")


def check(visit: Visit) -> Goto:
    """Try the connection of one destination; nothing is delivered."""
    name = _everywhere(visit)
    made = _known(visit).get(name)
    if made is None:
        raise Refused(404, "No channel and no setting names this destination any more.")
    visit.saw("tried a connection", f"destination/{name}")
    try:
        destination = made.make(around(visit.hub.config))
        try:
            said = destination.check()
        finally:
            destination.close()
    except HubError as e:
        raise Refused(409, f"It does not answer: {e.what}", e.remedy or e.why) from None
    return Goto(f"/deliveries/{name}", f"It answers: {said}")


def _concerns(visit: Visit, permission: str, made: Destined | None) -> bool:
    """Say whether a destination concerns the person; one that no channel names concerns who covers all."""
    if made is not None and made.rules:
        return any(visit.may(permission, channel) for channel in made.rules)
    return visit.person.everywhere(permission)


def _cut(visit: Visit, permission: str, place: Place | None) -> Place | None:
    """Count what waits by the channels that the person's roles cover, up to 500 of each."""
    if place is None or visit.person.everywhere(permission):
        return place
    own = {
        status: [
            d
            for d in visit.hub.store.deliveries.listed(place.name, status, None, _COUNTED)
            if visit.may(permission, d.channel or "")
        ]
        for status in ("pending", "refused", "parked")
    }
    return place._replace(
        pending=len(own["pending"]),
        oldest=min((d.at for d in own["pending"]), default=None),
        refused=len(own["refused"]),
        parked=len(own["parked"]),
    )


def _known(visit: Visit) -> dict[str, Destined]:
    return destinations_of(visit.hub.config, visit.hub.channels())


def _everywhere(visit: Visit) -> str:
    """Return the destination of the address, where the person may act on all channels that use it."""
    name = visit.path["name"]
    made = _known(visit).get(name)
    for channel in made.rules if made else ():
        visit.require("replay", channel)
    if made is None or not made.rules:  # what waits there is of channels that deliver there no more
        if made is None and all(place.name != name for place in visit.hub.store.deliveries.places()):
            raise Refused(404, "There is no such destination.")
        if not visit.person.everywhere("replay"):
            raise Refused(403, "Your roles do not cover every channel.")
    return name


def _delivery(visit: Visit, needs: str) -> Delivery:
    found = visit.hub.store.deliveries.get(_number(visit.path["number"]))
    if found is None:
        raise Refused(404, "There is no such delivery.")
    visit.require(needs, found.channel or "")  # of a channel nobody knows: who may act on all
    return found


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refused(404, "There is no such delivery.")
    return int(text)


def _line(d: Delivery) -> dict[str, Any]:
    return {
        "id": d.id,
        "entry": d.entry,
        "destination": d.destination,
        "channel": d.channel or "",
        "status": d.status,
        "tries": d.tries,
        "due": d.due or None,
        "at": d.at,
        "done": d.done,
        "why": d.why,
        "reference": d.reference,
        "anew": d.anew,
    }


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")[:_TEXT]
