"""`hub profile`: what each sender really sends, its signed contract, drift since then, coverage.

In: a sender's name, `channel/sender` or its id. Out: text or plain records. Counts are those that the web
side keeps; what it has not read yet is read first, for a while. Codes are values: they are shown with
`--show-phi` only, and that is in the audit table before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from engine.channels.definition import load_channels
from engine.channels.opening import open_staff
from engine.channels.profiling.contract import as_profile, drift_of, freeze, snapshot
from engine.channels.profiling.covering import Coverage
from engine.channels.profiling.drift import Drift
from engine.channels.profiling.heat import heat, totals
from engine.channels.profiling.reading import Reading
from engine.channels.profiling.views import quirk_rows, segment_rows, type_rows
from engine.channels.profiling.watch import cover_sender
from engine.channels.renewal import write_whole
from engine.channels.whereused import where_used
from engine.cli.opened import Opened, opened, who
from engine.cli.printing import print_json
from engine.journal.database import exists
from engine.kernel.clock import iso
from engine.kernel.config import load_config
from engine.kernel.errors import HubError
from engine.mapping.project import Maps
from engine.staff.senders import SenderLine, Senders
from engine.store.audit import Access

__all__ = [
    "coverage_of",
    "drift_since",
    "freeze_sender",
    "list_senders",
    "show_sender",
    "where_is",
    "write_profile",
]

_PATIENCE = 20.0  # seconds a command counts what is new before it shows what there is


@contextmanager
def _senders(root: Path) -> Iterator[tuple[Opened, Senders]]:
    with opened(root) as hub:
        staff = open_staff(hub.config, hub.keyring)
        try:
            _catch_up(hub, staff.senders)
            yield hub, staff.senders
        finally:
            staff.close()


def _catch_up(hub: Opened, senders: Senders) -> None:
    """Count what is new, for a while."""
    end = time.monotonic() + _PATIENCE
    reading = Reading(hub.journal, senders)
    while reading.step():
        if time.monotonic() > end:
            left = hub.journal.count_after(senders.reached())
            print(f"{left} messages are not counted yet; the hub goes on with them")
            return


def _one(senders: Senders, named: str) -> SenderLine:
    """Return the sender that is meant. Raises HubError."""
    every = senders.lines(limit=5000)
    found = [line for line in every if named in (line.id, line.sender, f"{line.channel}/{line.sender}")]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{line.channel}/{line.sender}" for line in (found or every)[:10])
    raise HubError(
        f"{'several senders have' if found else 'no sender has'} this name",
        where=named,
        remedy=f"write one of: {known}" if known else "it is known when its first messages have come",
    )


def list_senders(root: Path, as_json: bool) -> int:
    """List every sender, those with drift first."""
    with _senders(root) as (_, senders):
        lines = senders.lines(limit=5000)
    if as_json:
        print_json([asdict(line) for line in lines])
        return 0
    if not lines:
        print("nobody has sent anything yet")
        return 0
    sender = Column("sender", overflow="fold")
    table = Table("channel", sender, "messages", "looked at", "last", "drift", "signed", box=None)
    for line in lines:
        signed = f"{iso(line.signed)[:10]} {line.signed_by}" if line.signed else "-"
        cells = (f"{line.messages}", f"{line.looked}", f"{iso(line.last)[:19]}Z", f"{line.drift}", signed)
        table.add_row(line.channel, line.sender, *cells)
    Console(highlight=False, soft_wrap=True).print(table)
    return 0


def show_sender(root: Path, named: str, phi: bool, as_json: bool) -> int:
    """Show what one sender sends."""
    with _senders(root) as (hub, senders):
        line = _one(senders, named)
        if phi:
            hub.store.audit.record(Access(who(), "senders:codes", f"sender/{line.id}"))
        seen = snapshot(senders, line.id)
    types = type_rows(seen.sender, seen.types)
    quirks = quirk_rows(seen.sender)
    made = {n: segment_rows(t, values=phi) for n, t in seen.types.items() if t.looked}
    if as_json:
        print_json(
            {
                **asdict(line),
                "types": [asdict(t) for t in types],
                "segments": {n: [asdict(s) for s in rows] for n, rows in made.items()},
                "quirks": [asdict(q) for q in quirks],
                "zones": seen.sender.zones,
                "versions": seen.sender.versions,
                "formats": seen.sender.formats,
            }
        )
        return 0
    print(f"{line.sender} on {line.channel}: {line.messages} messages, {line.looked} looked at")
    for t in types:
        print(f"\n{t.name}: {t.count} messages, the last {iso(t.last)[:19]}Z")
        for segment in made.get(t.name, []):
            print(f"  {segment.name}  {segment.usage}, at most {segment.most} in a message")
            for f in segment.fields:
                kinds = ", ".join(kind for kind, _ in f.kinds[:2])
                codes = f"  {f.coded} codes" if f.coded else ""
                length = f"{f.shortest}-{f.longest}"
                print(f"    {f.place:<9} {f.share:>5.0%}  {length:>9}  {f.name[:34]:<34} {kinds}{codes}")
                for c in f.codes[:40]:
                    print(f"      {c.count:>7}  {'^'.join((c.code, c.text, c.system)).rstrip('^')}")
    for q in quirks:
        print(f"{'quirk:':<8}{q.place:<9}{q.text} ({q.count} messages, e.g. entry {q.last_entry})")
    return 0


def freeze_sender(root: Path, named: str, note: str) -> int:
    """Sign what is seen as the contract."""
    with _senders(root) as (hub, senders):
        line = _one(senders, named)
        hub.store.audit.record(Access(who(), "senders:sign", f"sender/{line.id}", note))
        version = freeze(senders, line.id, who(), note)
    print(f"{line.sender} on {line.channel}: contract {version} is signed, from {line.looked} messages")
    return 0


def drift_since(root: Path, named: str, phi: bool, as_json: bool) -> int:
    """Show what is different since the contract was signed; returns 1 where something is."""
    with _senders(root) as (hub, senders):
        line = _one(senders, named)
        if line.signed is None:
            raise HubError(
                "nobody has signed a contract for this sender",
                where=f"{line.channel}/{line.sender}",
                remedy="look at it (hub profile SENDER), then sign it: hub profile SENDER --freeze",
            )
        if phi:
            hub.store.audit.record(Access(who(), "senders:codes", f"sender/{line.id}"))
        found = drift_of(senders, line.id)
    if as_json:
        print_json([asdict(d) if phi else {**asdict(d), "values": []} for d in found])
    else:
        print(f"{line.sender}: {len(found)} differences since {iso(line.signed)[:10]} ({line.signed_by})")
        for d in found:
            print(_drift_text(d, phi))
    return 1 if found else 0


def _drift_text(d: Drift, phi: bool) -> str:
    types = f" in {', '.join(d.types)}" if d.types else ""
    when = f"  {'last' if 'stopped' in d.kind else 'since'} {iso(d.when)[:16]}Z" if d.when else ""
    entry = f", entry {d.entry}" if d.entry else ""
    values = f": {', '.join(d.values)}" if phi and d.values else ""
    return f"  {d.text}{types}{values}{when}{entry}"


def coverage_of(root: Path, named: str, as_json: bool) -> int:
    """Trace a sample of one sender now and show what its maps do with each place."""
    with _senders(root) as (hub, senders):
        line = _one(senders, named)
        maps = Maps.open(root, hub.config.identity_base)
        channel = next((c for c in load_channels(root) if c.name == line.channel), None)
        if channel is None:
            raise HubError(f"the channel {line.channel} is gone", remedy="bring its file back")
        hub.store.audit.record(Access(who(), "senders:coverage", f"sender/{line.id}"))
        cover_sender(hub.journal, senders, maps, channel, line)
        kept = senders.coverage(line.id)
        seen = snapshot(senders, line.id)
    if kept is None:
        raise HubError("there is nothing to trace", where=f"{line.channel}/{line.sender}")
    rows: list[Any] = heat(seen.types, Coverage.of_json(kept[2]))
    if as_json:
        print_json([asdict(row) for row in rows])
        return 0
    for row in rows:
        elements = ", ".join(row.elements[:2])
        print(f"{row.place:<9} {row.share:>5.0%}  {row.state:<13} {row.name[:34]:<34} {elements}")
    print(", ".join(f"{count} {state}" for state, count in totals(rows) if count))
    return 0


def write_profile(root: Path, named: str, out: Path) -> int:
    """Write what is seen as a conformance profile; its codes may be patient data, so it is audited."""
    with _senders(root) as (hub, senders):
        line = _one(senders, named)
        hub.store.audit.record(Access(who(), "senders:profile", f"sender/{line.id}"))
        text = as_profile(snapshot(senders, line.id), out.stem)
    write_whole(out, text.encode())
    print(f"{out}: read it, move it to mappings/profiles, name it in the channel (profile: {out.stem})")
    return 0


def where_is(root: Path, what: str, as_json: bool) -> int:
    """Say where something is used; returns 1 where it is not."""
    config = load_config(root)
    maps, channels = Maps.open(root, config.identity_base), load_channels(root)
    if exists(config.journal_url):
        with _senders(root) as (hub, senders):
            hub.store.audit.record(Access(who(), "senders:where", "senders", what))
            found = where_used(what, maps, channels, senders)
    else:
        found = where_used(what, maps, channels)
    if as_json:
        print_json([asdict(use) for use in found])
    else:
        for use in found:
            print(f"{use.kind:<12} {use.name:<40} {use.text}{f'  ({use.where})' if use.where else ''}")
        many = f"{len(found)} place{'s' if len(found) != 1 else ''}"
        print(many if found else f"nothing uses {what}")
    return 0 if found else 1
