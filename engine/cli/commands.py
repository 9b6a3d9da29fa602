"""The commands that come in groups: `hub key`, `hub msg`, `hub audit`. Their work is in files of this folder.

In: words of the command line. Out: text or JSON on standard output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.project import project_root
from engine.kernel.errors import HubError

__all__ = ["audit_app", "key_app", "msg_app"]

key_app = typer.Typer(no_args_is_help=True, help="Keys of programs, and the data key.")


@key_app.command("rotate")
def key_rotate() -> None:
    """Make a new data key current; what was sealed with older ones still opens."""
    from engine.cli.keep import rotate_now

    raise typer.Exit(rotate_now(project_root(own=True)))


@key_app.command("signing")
def key_signing(
    at_once: Annotated[
        bool, typer.Option("--at-once", help="sign with the new keys now and serve the old ones no more")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="only print the public halves")] = False,
    take: Annotated[
        bool, typer.Option("--take", help="put the keys of the other machines in the place of those here")
    ] = False,
) -> None:
    """Make or renew the keys by which FHIR servers know this hub; the web side serves their public halves."""
    from engine.cli.signing import signing_keys

    raise typer.Exit(signing_keys(project_root(own=True), at_once, show, take))


msg_app = typer.Typer(no_args_is_help=True, help="Messages: find them, look at one, run one again.")
Json = Annotated[bool, typer.Option("--json", help="for programs")]


@msg_app.command("find")
def msg_find(
    words: Annotated[
        list[str] | None,
        typer.Argument(help="e.g. DOE, 100234, 'OBX-3.1=K and parked, yesterday'; docs/analysts/finding.md"),
    ] = None,
    status: Annotated[str, typer.Option(help="waiting, done, parked, skipped or closed")] = "",
    channel: Annotated[str, typer.Option(help="of this channel")] = "",
    look: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="open so many messages for what no index answers")
    ] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="at most so many, newest first")] = 20,
    json: Json = False,
) -> None:
    """List messages, newest first; without words all of them. Shows no patient data."""
    from dataclasses import asdict

    from engine.cli.msg import search
    from engine.cli.opened import opened, who
    from engine.cli.printing import print_found, print_json, print_left

    with opened(project_root(own=True)) as hub:
        asked = words or []
        found, rest = search(hub, asked, who(), status=status, channel=channel, limit=limit, look=look)
    print_json([asdict(f) for f in found]) if json else print_found(found)
    print_left(rest)


@msg_app.command("show")
def msg_show(
    entry: Annotated[int, typer.Argument(help="number of the entry")],
    show_phi: Annotated[
        bool, typer.Option("--show-phi", help="print the message itself; that is recorded")
    ] = False,
    lineage: Annotated[
        bool, typer.Option("--lineage", help="where every element came from, and where every field went")
    ] = False,
    json: Json = False,
) -> None:
    """Show what is known of one message and what it became."""
    from engine.cli.msg import show
    from engine.cli.msglineage import print_lineage, show_lineage
    from engine.cli.opened import opened, who
    from engine.cli.printing import print_json, print_message

    with opened(project_root(own=True)) as hub:
        made = show(hub, entry, who(), phi=show_phi)
        if lineage:
            made["lineage"] = show_lineage(hub, entry, who(), made.get("revision", ""), phi=show_phi)
    if json:
        return print_json(made)
    print_message(made)
    if lineage:
        print_lineage(made["lineage"])


@msg_app.command("replay")
def msg_replay(
    entry: Annotated[int, typer.Argument(help="number of the entry")],
    why: Annotated[str, typer.Option(help="the reason; it stays with what the replay writes")],
    file: Annotated[Path | None, typer.Option(help="an edited message to run instead")] = None,
) -> None:
    """Run a message again with the maps of today, and what came later on the same resources behind it."""
    from engine.cli.follow import follow_entry
    from engine.cli.msg import replay
    from engine.cli.opened import opened, who
    from engine.cli.printing import print_became

    try:
        body = file.read_bytes() if file is not None else None
    except OSError as e:
        raise HubError("cannot read this file", where=str(file), why=e.strerror or "") from None
    with opened(project_root(own=True)) as hub:
        accepted = replay(hub, entry, who(), why, body)
        print(f"entry {entry} runs again as entry {accepted.id}")
        print_became(follow_entry(hub, accepted.id, 3), True)


audit_app = typer.Typer(no_args_is_help=True, help="Who saw or did what.")


@audit_app.command("verify")
def audit_verify(
    head: Annotated[str, typer.Option(help="compare with this head, ROW:HASH, as a notice said it")] = "",
    json: Json = False,
) -> None:
    """Recompute the chain of the audit table; exit 1 when a row was changed, moved or taken out."""
    from engine.cli.audit import as_json, verify
    from engine.cli.opened import opened
    from engine.cli.printing import print_json

    with opened(project_root(own=True)) as hub:
        found = verify(hub, head)
    print_json(as_json(found)) if json else print(found)
    raise typer.Exit(0 if found.whole else 1)


@audit_app.command("export")
def audit_export(
    out: Annotated[Path, typer.Option(help="file to write")],
    since: Annotated[str, typer.Option(help="from this time on, UTC, e.g. 2026-05-04")] = "",
    bundle: Annotated[
        bool, typer.Option("--bundle", help="one Bundle instead of newline-delimited JSON")
    ] = False,
) -> None:
    """Write audit rows as FHIR AuditEvents. The export is recorded, too."""
    from engine.cli.audit import export
    from engine.cli.opened import opened, who

    with opened(project_root(own=True)) as hub:
        count = export(hub, who(), out, since=since, as_bundle=bundle)
    print(f"{count} audit events written to {out}")


@audit_app.command("show")
def audit_show(
    since: Annotated[
        str, typer.Option(help="from this time on, UTC, e.g. 2026-05-04 or 2026-05-04T08:30")
    ] = "",
    user: Annotated[str, typer.Option(help="of this name, as the table shows it")] = "",
    patient: Annotated[str, typer.Option(help="a Patient's id, or a number or name that was asked for")] = "",
    action: Annotated[str, typer.Option(help="e.g. fhir:read, fhir (all of them), msg:replay")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="at most so many, the newest")] = 100,
    json: Json = False,
) -> None:
    """Print audit rows, oldest first. Looking is recorded, too."""
    from engine.cli.audit import print_rows, show
    from engine.cli.opened import opened, who
    from engine.cli.printing import print_json

    with opened(project_root(own=True)) as hub:
        rows = show(hub, who(), since=since, user=user, patient=patient, action=action, limit=limit)
    print_json(rows) if json else print_rows(rows)
