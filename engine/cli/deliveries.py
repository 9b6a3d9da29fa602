"""`hub deliveries`: what waits for which destination, one delivery and its tries; again, skip, stop, open.

In: words of the command line. Out: text or JSON. What was sent and answered is printed only when it is asked
for, after its row in the audit table is on disk; so is every act.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from engine.cli.project import project_root
from engine.kernel.clock import iso
from engine.kernel.errors import ConfigError, HubError

__all__ = ["deliveries_app"]

deliveries_app = typer.Typer(no_args_is_help=True, help="What goes out: queues, evidence, sending again.")
Json = Annotated[bool, typer.Option("--json", help="for programs")]
Why = Annotated[str, typer.Option(help="the reason, kept in the audit")]
Numbers = Annotated[list[int], typer.Argument(help="numbers of deliveries")]


@deliveries_app.command("list")
def listed(
    to: Annotated[str, typer.Option(help="one destination: its deliveries")] = "",
    status: Annotated[str, typer.Option(help="pending, sent, refused, parked or skipped")] = "pending",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    json: Json = False,
) -> None:
    """List destinations and what waits for them, or the deliveries of one."""
    from engine.cli.opened import opened
    from engine.cli.printing import print_json
    from engine.store.deliveries import STATUSES

    if status not in STATUSES:
        raise ConfigError(f"--status {status}", remedy=f"use {', '.join(STATUSES)}")
    with opened(project_root(own=True)) as hub:
        store = hub.store.deliveries
        rows: list[dict[str, Any]] = (
            [asdict(d) for d in store.listed(to, status, None, limit)]
            if to
            else [p._asdict() for p in store.places()]
        )
    if json:
        return print_json(rows)
    for row in rows:
        if to:
            print(f"{row['id']}  entry {row['entry']}  {row['status']}  {row['tries']} tries  {row['why']}")
        else:
            held = row["refused"] + row["parked"]
            why = f": {row['why']}" if row["why"] else ""
            print(f"{row['name']:<30} {row['state']:<8} {row['pending']} waiting, {held} for a person{why}")
    if not rows:
        print("none")


@deliveries_app.command("show")
def show(
    number: Annotated[int, typer.Argument(help="number of the delivery")],
    show_phi: Annotated[bool, typer.Option("--show-phi", help="print what was sent; recorded")] = False,
    json: Json = False,
) -> None:
    """Show one delivery and every try."""
    from engine.cli.opened import opened, who
    from engine.cli.printing import print_json
    from engine.store.audit import Access

    with opened(project_root(own=True)) as hub:
        delivery = hub.store.deliveries.get(number)
        if delivery is None:
            raise HubError(
                f"there is no delivery {number}", remedy="hub deliveries list --to NAME shows them"
            )
        if show_phi:
            hub.store.audit.record(Access(who(), "evidence of a delivery", f"entry/{delivery.entry}"))
        tries = [
            t._asdict()
            | {"request": _text(t.request, show_phi), "answer": _text(t.answer, show_phi), "at": iso(t.at)}
            for t in hub.store.deliveries.tries(number)
        ]
    if json:
        return print_json(asdict(delivery) | {"evidence": tries})
    print(f"delivery {number} of entry {delivery.entry} to {delivery.destination}: {delivery.status}")
    for t in tries:
        print(f"  {t['at']}  {t['verdict']}  {t['ms']} ms, {t['times']} times  {t['why']}")
        for name in ("request", "answer"):
            if t[name]:
                print(f"    {name}: {t[name]}")


@deliveries_app.command("again")
def again(
    numbers: Numbers,
    why: Why = "",
    as_new: Annotated[bool, typer.Option("--as-new", help="with another key: it may be there twice")] = False,
) -> None:
    """Send deliveries again, under their keys or as new."""
    if as_new and not why:
        raise ConfigError("--as-new needs --why", remedy="the other side takes it for another message")
    _act("sent a delivery again as new" if as_new else "sent a delivery again", numbers, why, as_new)


@deliveries_app.command("skip")
def skip(
    why: Why,
    numbers: Annotated[list[int] | None, typer.Argument(help="numbers of deliveries")] = None,
    to: Annotated[str, typer.Option(help="all that waits for this destination")] = "",
) -> None:
    """Take deliveries out that shall not go."""
    if bool(numbers) == bool(to):
        raise ConfigError("skip takes numbers of deliveries, or --to and the name of a destination")
    if numbers:
        return _act("skipped a delivery", numbers, why, None)
    from engine.cli.opened import opened, who
    from engine.store.audit import Access

    with opened(project_root(own=True)) as hub:
        store = hub.store.deliveries
        if all(place.name != to for place in store.places()):
            raise HubError(
                f"nothing was ever delivered to {to}", remedy="hub deliveries list shows what there is"
            )
        hub.store.audit.record(Access(who(), "skipped all deliveries", f"destination/{to}", why))
        done = after = 0
        while found := store.held(to, after, 500, pending=True):
            after = found[-1].id
            done += len(store.skip([d.id for d in found], f"skipped by {who()}"))
    print(f"{done} deliveries to {to} will not go")


def _act(what: str, numbers: list[int], why: str, as_new: bool | None) -> None:
    from engine.cli.opened import opened, who
    from engine.store.audit import Access

    with opened(project_root(own=True)) as hub:
        store = hub.store.deliveries
        known = [d for n in numbers if (d := store.get(n)) is not None]
        for d in known:
            hub.store.audit.record(Access(who(), what, f"entry/{d.entry}", f"delivery {d.id}: {why}"))
        ids = [d.id for d in known]
        if as_new is None:
            done = store.skip(ids, f"skipped by {who()}")
        else:
            changed = store.send_again(ids, as_new)
            done = changed if as_new else ids
    print(f"{len(done)} of {len(numbers)} deliveries: {what}")


@deliveries_app.command("stop")
def stop(name: Annotated[str, typer.Argument(help="the destination")], why: Why) -> None:
    """Stop delivering to a destination; what comes waits."""
    _state(name, "stopped", why)


@deliveries_app.command("open")
def open_(name: Annotated[str, typer.Argument(help="the destination")]) -> None:
    """Deliver to a destination again."""
    _state(name, "open", "")


def _state(name: str, state: str, why: str) -> None:
    from engine.channels.definition import load_channels
    from engine.channels.delivering.places import destinations_of
    from engine.cli.opened import opened, who
    from engine.kernel.clock import now_ms
    from engine.store.audit import Access

    with opened(project_root(own=True)) as hub:
        known = {*destinations_of(hub.config, load_channels(hub.config.root))}
        known |= {place.name for place in hub.store.deliveries.places()}
        if name not in known:
            raise HubError(
                f"there is no destination {name}", remedy=f"there are: {', '.join(sorted(known)) or 'none'}"
            )
        hub.store.audit.record(Access(who(), f"destination {state}", f"destination/{name}", why))
        text = f"stopped by {who()}: {why}" if state == "stopped" else ""
        hub.store.deliveries.set_state(name, state, text, now_ms(), by_hand=True)
    print(f"{name}: {state}")


@deliveries_app.command("fill")
def fill(
    name: Annotated[str, typer.Argument(help="the destination")],
    after: Annotated[int, typer.Option(min=0, help="begin after this entry")] = 0,
) -> None:
    """Deliver messages that came before the destination was there; what was asked for already stays."""
    from engine.channels.definition import load_channels
    from engine.channels.delivering.filling import fill as fill_up
    from engine.cli.opened import opened, who
    from engine.store.audit import Access

    with opened(project_root(own=True)) as hub:
        channels = load_channels(hub.config.root)
        if not any(rule.to == name for c in channels for rule in c.deliver):
            raise HubError(
                f"no channel delivers to {name}", remedy="write it under deliver: of a channel first"
            )
        hub.store.audit.record(Access(who(), "filled a destination", f"destination/{name}", f"after {after}"))
        count = fill_up(name, channels, hub.journal, hub.store, hub.keyring.mac16, after)
    print(f"{count} deliveries to {name}, those that were there already included")


@deliveries_app.command("check")
def check(name: Annotated[str, typer.Argument(help="the destination")]) -> None:
    """Try the connection of a destination; nothing is delivered."""
    from engine.channels.definition import load_channels
    from engine.channels.delivering.places import around, destinations_of
    from engine.kernel.config import load_config

    config = load_config(project_root(own=True))
    known = destinations_of(config, load_channels(config.root))
    if name not in known:
        raise HubError(
            f"there is no destination {name}", remedy=f"there are: {', '.join(sorted(known)) or 'none'}"
        )
    destination = known[name].make(around(config))
    try:
        print(destination.check())
    finally:
        destination.close()


def _text(data: bytes, shown: bool) -> str:
    return data.decode("utf-8", "replace").replace("\r", "\n") if shown else ""
