"""The status page: how the hub is doing, in words and numbers that need no manual. No patient data.

In: settings, figures, health. Out: HTML from `templates/status.html`, and the same facts as JSON.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from engine import __version__
from engine.channels.causes import CAUSES, WORK
from engine.console.figures import Figures
from engine.console.health import Health
from engine.kernel.clock import iso, now_ms
from engine.kernel.config import Config

__all__ = ["ago", "facts", "number", "page"]


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
    made.filters["number"] = number
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


def number(value: int) -> str:
    """Write a number with narrow spaces between its thousands."""
    return f"{value:,}".replace(",", "\u202f")
