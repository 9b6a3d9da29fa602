"""The status page: how the hub is doing, in words and numbers that need no manual. No patient data.

In: settings, figures, health. Out: HTML from `templates/status.html`, and the same facts as JSON.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from engine import __version__
from engine.console.figures import Figures
from engine.console.health import Health
from engine.kernel.clock import iso, now_ms
from engine.kernel.config import Config

__all__ = ["CAUSES", "WORK", "ago", "facts", "page"]

CAUSES = {
    "no-map": (
        "No map for this kind of message",
        "Write a message map that names it under for:, then replay.",
    ),
    "map-error": ("A map does not work", "The text names file and line. Mend the map, then replay."),
    "not-readable": ("Cannot be read as HL7", "Ask the sender; hub msg show ID names the place."),
    "garbage": ("Not HL7 at all", "Something else speaks to this port; look who, by hub msg show ID."),
    "refused": ("Refused, and the sender was told", "Put it right at the sender or in the channel's file."),
    "empty-package": (
        "No document of a package can be filed",
        "Its flags say why; have it sent again.",
    ),
    "too-long": (
        "A report of DICOM that is longer than the journal keeps of one",
        "hub dicom copy STUDY writes the object out, hub convert maps it.",
    ),
    "other-bytes": (
        "Other bytes came first under this SOP Instance UID",
        "hub dicom copy STUDY --others writes them out; ask the sender which object it means.",
    ),
    "invalid": (
        "Would not be valid FHIR",
        "The text names the element. Mend the map or the message, then replay.",
    ),
    "ambiguous-patient": (
        "Number of one person, name or birth date of another",
        "Compare both; somebody must decide.",
    ),
    "patient-mismatch": (
        "Same number, but another birth date or name",
        "Compare with the patient on file; somebody must decide who it is.",
    ),
    "order-of-another-patient": (
        "A step of imaging names one patient and the order of another",
        "Compare both; the number of the patient, or of the order, was picked wrongly at the modality.",
    ),
    "duplicate-key": (
        "Two different things under one number",
        "Ask the sender which one it means, or name the identifier that tells them apart in the site file.",
    ),
    "merge-conflict": (
        "A number merged into another patient before",
        "Ask registration which merge holds.",
    ),
    "merge-several": (
        "A merge that names several patients to stay or to go",
        "Ask registration for one merge a message.",
    ),
    "move-unclear": (
        "Records change hands, and the message does not say whose they were",
        "Registration says what belongs to whom, and sends the move again.",
    ),
    "unmerge-chain": (
        "Takes two apart of whom one was merged into a third",
        "Ask registration to take that merge back first.",
    ),
    "ambiguous-key": ("Keys of more than one resource", "Compare both; somebody must decide."),
    "no-patient-key": (
        "No number says which patient this is",
        "Name the one that counts in the sender's site file.",
    ),
    "ambiguous-patient-key": (
        "Several numbers, and none counts",
        "Name the one that counts in the site file.",
    ),
    "other-patient": ("A visit, order or result of another patient", "Compare both; somebody must decide."),
    "mixed-patients": ("One patient's resource would refer to another's", "Ask the sender what it means."),
    "several-patients": ("A document of several patients", "Ask the sender for one of each patient."),
    "level-elsewhere": ("A claim stands behind another patient", "Ask the sender for it in order."),
    "other-drug": (
        "A prescription's number with another drug",
        "Ask the prescriber; a new prescription has a new number.",
    ),
    "prescription-ended": (
        "A prescription that was cancelled is sent again",
        "Ask the prescriber; a new prescription has a new number.",
    ),
    "delete-of-result": ("Deletes a result that is not called wrong", "Ask the laboratory for a correction."),
    "delete-of-required": (
        "Deletes what must be there",
        "Ask the sender what it means; nothing was deleted.",
    ),
    "merge-self": ("Merges a patient into itself", "Ask registration."),
    "self-merge": ("Merges a patient into itself", "Ask registration."),
    "merge-chain": ("Merges into a patient already merged away", "Ask registration."),
    "number-taken": (
        "A change of number onto one that another patient has",
        "Ask registration: if they are one person, it sends a merge.",
    ),
    "merge-unclear": ("A merge that does not say who stays", "Ask registration."),
    "no-authority": (
        "A merge on a channel that may not merge",
        "Send it to the channel that has authority:.",
    ),
    "required-missing": ("Lacks what FHIR demands", "The text names the element."),
    "unmapped-code": (
        "A code that no table has",
        "hub terms gaps lists it; approving what it means runs the messages again.",
    ),
    "unreadable": ("Its body cannot be opened", "Restore a backup, or ask the sender for it again."),
    "replay-stopped": (
        "A replay that would park later messages",
        "The text names the entry: solve that first.",
    ),
    "replay-too-wide": (
        "A replay that would take too many later messages along",
        "The text says how many; replay a later message, or ask for help.",
    ),
    "killed-the-worker": (
        "The worker process died at this message, again and again",
        "Report it; the others go on. After an update, replay it.",
    ),
    "id-conflict": ("An id of another kind of resource", "Report it with the text."),
    "waits-behind": (
        "Waits behind another message of its patient",
        "Solve the earlier one first, then replay.",
    ),
    "cannot-store": ("The store could not write it", "Report it with the text; nothing of it was written."),
    "internal-error": ("A fault of the hub itself", "Report it with the text; the message is safe."),
    "cannot-work": ("Cannot be worked on as things are", "The text says what is missing."),
}

WORK = {
    "allergy-contradicted": "An allergy beside no known allergies",
    "allergy-without-allergen": "An allergy without what it is to",
    "charge-without-number": "A charge without a number of its own",
    "delete-beside-values": "A delete beside values in one field",
    "delete-ignored": "A delete that was not followed",
    "delete-of-key": "One of the numbers of an order was deleted",
    "duplicate-key": "Two different things under one number",
    "inactive-patient": "Written about a patient whose record was deleted",
    "invalid": "Written although it is not valid FHIR",
    "late-unclear": "Perhaps older than what it was written over",
    "later-unreadable": "A replay without later messages whose bodies are gone",
    "left-behind": "Made by a message before, and no longer",
    "merge-differs": "Merged patients whose names or birth dates differ",
    "merge-several-numbers": "A merge that names several numbers",
    "merge-unknown-number": "A merge of a number that nobody has",
    "no-longer-final": "A final result became preliminary",
    "no-visit-number": "An event of a visit that does not say which",
    "nothing-to-change": "Takes back or updates what was not found",
    "order-cancelled": "A result of an order that was cancelled",
    "package-patient": "A package that names another patient than its document",
    "prescription-changed": "A prescription sent again with other terms",
    "possible-duplicate": "Told twice, perhaps one thing",
    "results-of-cancelled": "A report was cancelled, its results stand",
    "same-control-id": "A control id with two contents",
    "unmapped-code": "A code that no table has",
}
"""What a work flag is about, in words; a map may raise others by `work:`."""


def facts(config: Config, figures: Figures | None, health: Health) -> dict[str, Any]:
    """Return what the page shows, as JSON holds it."""
    made: dict[str, Any] = {
        "hub": config.hub,
        "profile": config.profile,
        "environment": config.environment,
        "version": __version__,
        "at": iso(figures.at if figures else now_ms()),
        "status": "ok" if health.ok else "trouble",
        "reasons": list(health.reasons),
        "facts": health.facts,
    }
    if figures is None:
        return made
    causes: Counter[str] = Counter()
    for (_, cause), count in figures.parked.items():
        causes[cause] += count
    made["journal"] = {
        "entries": figures.head,
        "waiting": figures.waiting,
        "oldest_waiting": iso(figures.oldest) if figures.oldest is not None else None,
        "oldest_seconds": round(figures.oldest_seconds, 1),
    }
    made["feed"] = {"position": figures.position}
    made["channels"] = [
        {
            "name": c.name,
            "purpose": c.purpose,
            "address": c.address,
            "known": c.known,
            "last": iso(c.last) if c.last is not None else None,
            "received": c.received,
            "waiting": c.waiting,
            "parked": c.parked,
        }
        for c in figures.channels
    ]
    made["alerts"] = [
        {"channel": a.channel, "when": a.when, "say": a.say, "value": a.value, "since": iso(a.since)}
        for a in figures.alarms
    ]
    made["parked"] = [
        {"cause": cause, "count": count, "channels": sorted({n for n, c in figures.parked if c == cause})}
        for cause, count in causes.most_common()
    ]
    made["work"] = {
        "messages": figures.work_messages,
        "flags": [
            {
                "code": line.code,
                "count": line.count,
                "channels": sorted(line.channels),
                "newest": [{"entry": entry, "where": where} for entry, where in line.newest],
            }
            for line in figures.work
        ],
    }
    return made


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("engine.console"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["ago"] = ago
    made.filters["number"] = _number
    made.filters["clock"] = lambda ms: iso(ms)[:19].replace("T", " ") + " UTC"
    return made


def page(config: Config, figures: Figures | None, health: Health, web: str) -> str:
    """Return the page as HTML; `web` is the address it is shown under, e.g. http://127.0.0.1:8080."""
    told = facts(config, figures, health)
    parked = told.get("parked", [])
    work = told.get("work", {"messages": 0, "flags": []})
    problems = [
        {
            "title": CAUSES.get(p["cause"], (p["cause"] or "unknown", ""))[0],
            "help": CAUSES.get(p["cause"], ("", ""))[1],
            **p,
        }
        for p in parked
    ]
    sample = config.root / "sample_messages/lab/oru_potassium.hl7"
    lab = next((c for c in figures.channels if c.address and c.name == "lab_oru"), None) if figures else None
    if lab is None and figures is not None:
        lab = next((c for c in figures.channels if c.address), None)
    return (
        _templates()
        .get_template("status.html")
        .render(
            config=config,
            figures=figures,
            health=health,
            state=_state(figures, health),
            problems=problems,
            work=work,
            titles=WORK,
            parked=sum(p["count"] for p in problems),
            received=sum(c.received for c in figures.channels) if figures else 0,
            send=f"hub send sample_messages/lab/oru_potassium.hl7 --to {lab.address}"
            if lab and sample.exists()
            else "",
            web=web,
            token=str(config.token_file),
            version=__version__,
            now=figures.at if figures else now_ms(),
        )
    )


def _state(figures: Figures | None, health: Health) -> tuple[str, str]:
    """Return the state of the hub as (class, words)."""
    if not health.ok:
        return "bad", "Needs help"
    if figures is not None and figures.alarms:
        return "look", "Running, an alarm is on"
    if figures is not None and (figures.parked or figures.work):
        return "look", "Running, some messages need a person"
    if figures is not None and figures.waiting:
        return "ok", "Running, working"
    return "ok", "Running"


def ago(ms: int, now: int) -> str:
    """Say how long ago a time was, as people do."""
    seconds = max(0, now - ms) // 1000
    if seconds < 2:
        return "just now"
    for length, word in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= length:
            count = seconds // length
            return f"{count} {word}{'s' if count != 1 else ''} ago"
    return "just now"


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")
