"""The commands `hub subscription`: the FHIR Subscriptions of programs, how they do, taking one away.

In: words of the command line. Out: text or JSON. Neither criteria nor headers are printed: they may name a
patient, and hold secrets.
"""

from __future__ import annotations

from typing import Annotated

import typer

from engine.cli.project import project_root

__all__ = ["subscription_app"]

subscription_app = typer.Typer(no_args_is_help=True, help="FHIR Subscriptions of programs.")


@subscription_app.command("list")
def subscription_list(as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False) -> None:
    """List every subscription: whose it is, how it does, what waits for it."""
    from engine.cli.people import office
    from engine.cli.printing import print_json
    from engine.kernel.clock import iso

    with office(project_root(own=True)) as at:
        waiting = at.staff.subscriptions.backlog()
        rows = [
            {
                "id": one.id,
                "owner": one.owner,
                "type": one.kind,
                "status": one.status,
                "error": one.error,
                "sent": one.sent,
                "last": iso(one.last) if one.last else None,
                "waiting": waiting.get(one.id, 0),
            }
            for one in at.staff.subscriptions.all()
        ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        last = f", last {str(row['last'])[:19]}" if row["last"] else ""
        print(f"{row['id']}  {row['owner']}  {row['type']}  {row['status']}")
        print(f"    {row['sent']} told{last}, {row['waiting']} waiting{_because(str(row['error']))}")
    if not rows:
        print("there are no subscriptions")


def _because(error: str) -> str:
    return f": {error}" if error else ""


@subscription_app.command("delete")
def subscription_delete(
    id_: Annotated[str, typer.Argument(metavar="ID", help="as `hub subscription list` has it")],
) -> None:
    """Take a subscription away, and what waits for it; its program is not told."""
    from engine.channels.opening import open_store
    from engine.cli.opened import who
    from engine.cli.people import office
    from engine.kernel.errors import HubError
    from engine.store.audit import Access

    with office(project_root(own=True)) as at:
        if not at.staff.subscriptions.delete(id_):
            raise HubError(f"there is no subscription {id_}", remedy="hub subscription list")
        store = open_store(at.config, at.staff.keyring)
        try:
            store.audit.record(Access(who(), "subscription:delete", f"Subscription/{id_}"))
        finally:
            store.close()
    print(f"{id_} is deleted")
