"""What `hub terms gaps|suggest|propose|review|approve|withdraw|release|check` do, and how they say it.

In: the project opened, numbers of codes, words of the command line. Out: text or JSON. Codes and texts of
messages may be patient data: whoever lists them is in the audit table; values of results are shown with
`--show-phi` only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from engine.channels.codevalues import sample_values
from engine.channels.suggesting import Suggester
from engine.channels.worklist import Approved, Waiting, Worklist
from engine.cli.opened import Opened, opened
from engine.codes.together import codes_of
from engine.kernel.clock import iso
from engine.kernel.errors import HubError
from engine.store.audit import Access
from engine.store.gaps import Proposal, Sighting
from engine.terminology.suggest import Suggestion
from engine.terminology.translate import Terminology

__all__ = [
    "STATES",
    "approved_json",
    "as_json",
    "caught_up",
    "checked",
    "listed",
    "print_approved",
    "print_checks",
]
__all__ += ["print_gaps", "print_suggested", "sample_values", "suggested", "work_on"]

_IN_HAND = 1.0  # seconds a worker may have had a batch in hand when the table changed
STATES = ("open", "draft", "reviewed", "approved")


@contextmanager
def work_on(root: Path) -> Iterator[tuple[Opened, Worklist]]:
    """Open the project's worklist."""
    with opened(root) as hub:
        yield hub, Worklist(hub.config, hub.journal, hub.store, codes_of(hub.config))


def listed(
    hub: Opened,
    work: Worklist,
    who: str,
    *,
    state: str = "",
    sender: str = "",
    field: str = "",
    limit: int = 50,
    phi: bool = False,
) -> list[dict[str, Any]]:
    """Return codes, those that most waits for first; audited. `phi`: with sample values."""
    if state and state not in (*STATES, "all"):
        raise HubError(f"--state {state}", remedy=f"use one of {', '.join(STATES)}, all")
    states = STATES if state == "all" else (state,) if state else STATES[:3]
    found = [
        s
        for s in work.sightings(states)
        if (not sender or sender.casefold() in s.sender.casefold()) and (not field or s.field == field)
    ][:limit]
    what = "terms:values" if phi else "terms:gaps"
    hub.store.audit.record(Access(who, what, "codes", " ".join(str(s.id) for s in found)))
    made = []
    for one in found:
        line = as_json(one)
        if phi:
            line["values"] = sample_values(hub.journal, one)
        made.append(line)
    return made


def as_json(s: Sighting) -> dict[str, Any]:
    """Return a code for programs."""
    made = asdict(s)
    made["first"], made["last"] = iso(s.first), iso(s.last)
    made["samples"] = [{"entry": entry, "where": where} for entry, where in s.samples]
    made["proposals"] = [{**asdict(p), "at": iso(p.at)} for p in s.proposals]
    made["proposal"] = made["proposals"][-1] if s.proposal else None
    made["waiting"] = s.parked + s.flagged
    return made


def suggested(
    hub: Opened, work: Worklist, numbers: Sequence[int], limit: int = 5
) -> list[tuple[Sighting, list[Suggestion]]]:
    """Return suggestions for codes (none named: all open ones)."""
    if work.codes is None or not work.codes.releases():
        raise HubError(
            "no code system is loaded",
            remedy="hub terms load RELEASE.zip, or hub terms load --shipped for what ships with the hub",
        )
    gaps = [work.one(n) for n in numbers] if numbers else work.sightings(("open",))
    suggester = Suggester(hub.config.root, Terminology.open(hub.config.root / "terminology"), work.codes)
    return [(gap, suggester.for_gap(gap, limit)) for gap in gaps]


def checked(hub: Opened, work: Worklist) -> list[dict[str, Any]]:
    """Look at the tables and drafts: targets that the loaded releases do not have or no longer have active,
    and codes whose tables have them by now."""
    made: list[dict[str, Any]] = []
    codes = work.codes
    loaded = {r.system for r in codes.releases()} if codes is not None else set()
    terms = Terminology.open(hub.config.root / "terminology")

    def look(where: str, system: str, code: str) -> None:
        if codes is None or system not in loaded:
            return
        found = codes.lookup(system, code)
        if found is not None and found.active:
            return
        said = "is not in" if found is None else "is no longer active in"
        after = found.properties.get("MAP_TO", "") if found is not None else ""
        made.append({"where": where, "what": f"{code} {said} {system}", "instead": after.replace("\n", ", ")})

    for name, table in sorted(terms.tables.items()):
        for row in table.rows:
            if row.target_code and not row.pattern:
                look(f"terminology/maps/{name}.csv:{row.line}", row.target_system, row.target_code)
    for s in work.sightings(("draft", "reviewed")):
        if s.proposal is not None and s.proposal.target_code:
            look(f"code {s.id}", s.proposal.target_system, s.proposal.target_code)
    for s in work.settled():
        waits = s.parked + s.flagged
        what = (
            f"{s.code} of {s.sender} is in {s.table} by now; {waits} messages wait: hub terms release {s.id}"
        )
        made.append({"where": f"code {s.id}", "what": what, "instead": ""})
    return made


# -- printing ------------------------------------------------------------------------------------------------


def _out() -> Console:
    return Console(highlight=False, soft_wrap=True, emoji=False)


def _clean(text: object) -> str:
    return escape("".join(c if c.isprintable() else " " for c in str(text)))


def _messages(count: int, one: str = "", many: str = "") -> str:
    return f"{count} message {one}".rstrip() if count == 1 else f"{count} messages {many}".rstrip()


def print_gaps(found: Sequence[dict[str, Any]]) -> None:
    """Print codes as a list."""
    out = _out()
    if not found:
        out.print("no code waits")
    for s in found:
        waits = f"{s['parked']} parked, {s['flagged']} flagged" if s["waiting"] else "nothing waits"
        out.print(
            f"[bold]{s['id']:>5}[/]  {_clean(s['field'])} [bold]{_clean(s['code'])}[/] {_clean(s['text'])}  "
            f"[dim]{_clean(s['sender'])}[/]"
        )
        facts = [_messages(s["count"]), waits, f"{s['first'][:10]} to {s['last'][:10]}"]
        if s["system"]:
            facts.append(f"system {s['system']}")
        facts += [f"{n[:-1]} {', '.join(s[n][:3])}" for n in ("units", "specimens", "panels") if s[n]]
        facts.append(f"table {s['table']} ({s['rule']})" if s["table"] else "no table is asked")
        out.print(f"       [dim]{_clean('; '.join(facts))}[/]")
        if s.get("values"):
            out.print(f"       values: {_clean(' | '.join(s['values']))}")
        if s["proposal"]:
            p = s["proposal"]
            target = p["target_code"] or "nothing"
            out.print(
                f"       [yellow]{p['state']}[/]: {_clean(target)} {_clean(p['target_display'])} "
                f"({p['equivalence']}) by {_clean(p['who'])} {p['at'][:10]} {_clean(p['comment'])}"
            )


def print_suggested(found: Sequence[tuple[Sighting, list[Suggestion]]]) -> None:
    """Print suggestions with their reasons."""
    out = _out()
    for gap, suggestions in found:
        out.print(
            f"[bold]{gap.id:>5}[/]  {_clean(gap.field)} [bold]{_clean(gap.code)}[/] {_clean(gap.text)} "
            f"[dim]{_clean(' '.join(gap.units[:1]))}[/]"
        )
        for s in suggestions:
            out.print(f"       {s.score:>5.1f}  {_clean(s.concept.code):<10} {_clean(s.concept.display)}")
            out.print(f"              [dim]{_clean('; '.join(s.reasons))}[/]")
        if not suggestions:
            out.print("       nothing like it in the loaded releases", style="dim")


def approved_json(done: Approved) -> dict[str, Any]:
    """Return what an approval did, for programs."""
    return {
        "tables": done.tables,
        "replays": [{"entry": entry, "replay": replay} for entry, replay in sorted(done.replays.items())],
        "unreadable": list(done.unreadable),
        "go_on_waiting": list(done.held_back),
    }


def print_approved(done: Approved) -> None:
    """Print what an approval did."""
    out = _out()
    for name, version in done.tables.items():
        out.print(f"{name}.csv is written, version {version}")
    if done.replays:
        last = max(done.replays.values())
        out.print(
            f"{_messages(len(done.replays), 'runs', 'run')} again, up to entry {last}: hub msg show {last}"
        )
    if done.unreadable:
        out.print(
            f"{len(done.unreadable)} messages cannot be run again: their bodies are gone", style="yellow"
        )
    if done.held_back:
        out.print(f"{len(done.held_back)} messages go on waiting for other codes")


def caught_up(work: Worklist, done: Approved, numbers: Sequence[int], who: str) -> Approved:
    """Run again, too, what a worker had in hand with the old table while it was changed."""
    time.sleep(_IN_HAND)
    if not work.waiting(numbers).entries:
        return done
    more = work.release(numbers, who)
    return replace(done, replays=done.replays | more.replays, unreadable=(*done.unreadable, *more.unreadable))


def print_checks(found: Sequence[dict[str, Any]]) -> None:
    """Print what was found."""
    out = _out()
    for one in found:
        instead = f"; the release says instead: {one['instead']}" if one["instead"] else ""
        out.print(_clean(f"{one['where']}: {one['what']}{instead}"))
    if not found:
        out.print("all targets are active in the loaded releases")


def drafts_of(work: Worklist, states: Sequence[str]) -> list[int]:
    """Return the numbers of the codes in some states."""
    return [s.id for s in work.sightings(states)]


def said(p: Proposal) -> str:
    """Say a draft in a line."""
    return f"{p.target_code or 'nothing'} {p.target_display} ({p.equivalence}) in {p.table}"


def asked(waiting: Waiting, count: int) -> str:
    """Say what an approval is going to do."""
    return f"{count} code{'s' if count != 1 else ''}: {waiting}"
