"""The commands `hub user` and the keys of programs below `hub key`. Their work is in `people.py`.

In: words of the command line. Out: text or JSON on standard output.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from engine.cli.commands import key_app
from engine.cli.project import project_root

__all__ = ["user_app"]

user_app = typer.Typer(
    no_args_is_help=True, help="People: who may sign in to the console, and what they may."
)
Json = Annotated[bool, typer.Option("--json", help="for programs")]
Roles = Annotated[
    list[str],
    typer.Option("--role", help="viewer, operator, analyst, approver, auditor or admin; analyst=lab_*,adt"),
]


@user_app.command("add")
def user_add(
    name: Annotated[str, typer.Argument(help="what the person types to sign in; the audit shows it")],
    role: Roles,
    display: Annotated[str, typer.Option(help="the person's name")] = "",
    email: Annotated[str, typer.Option(help="for notices")] = "",
    elsewhere: Annotated[
        bool, typer.Option("--elsewhere", help="signs in at the issuer of console: oidc:")
    ] = False,
) -> None:
    """Make an account, and print a link with which the person sets a password."""
    from engine.cli.people import add_user

    add_user(project_root(own=True), name, role, display, email, elsewhere)


@user_app.command("link")
def user_link(
    name: Annotated[str, typer.Argument(help="whose")] = "",
    first: Annotated[bool, typer.Option("--first", help="for the first account of the hub")] = False,
) -> None:
    """Print a link with which somebody sets a password, once."""
    from engine.cli.people import link_for

    link_for(project_root(own=True), name, first)


@user_app.command("role")
def user_role(name: Annotated[str, typer.Argument(help="whose")], role: Roles) -> None:
    """Give a person roles instead of those they had; their sessions end."""
    from engine.cli.people import set_roles

    set_roles(project_root(own=True), name, role)


@user_app.command("disable")
def user_disable(
    name: Annotated[str, typer.Argument(help="whom")],
    undo: Annotated[bool, typer.Option("--undo", help="let them in again")] = False,
    authenticator: Annotated[
        bool, typer.Option("--authenticator", help="only forget a lost authenticator")
    ] = False,
) -> None:
    """Shut somebody out at once. The account stays: its name is in the audit."""
    from engine.cli.people import disable_user

    disable_user(project_root(own=True), name, undo, authenticator)


@user_app.command("list")
def user_list_(json: Json = False) -> None:
    """List the accounts."""
    from engine.cli.people import user_list

    _table(user_list(project_root(own=True)), json)


@key_app.command("new")
def key_new(
    name: Annotated[str, typer.Argument(help="the program; the audit shows it")],
    scope: Annotated[list[str], typer.Option(help="system/*.rs, feed, dicomweb.read, dicomweb.store, ...")],
    channel: Annotated[list[str] | None, typer.Option(help="store images to these channels only")] = None,
    days: Annotated[int, typer.Option(min=0, help="how long; 0: until it is revoked")] = 365,
) -> None:
    """Make a key for a program, and print it once."""
    from engine.cli.people import new_key

    new_key(project_root(own=True), name, scope, channel or (), days or None)


@key_app.command("list")
def key_list_(json: Json = False) -> None:
    """List the keys of programs, without their secrets."""
    from engine.cli.people import key_list

    _table(key_list(project_root(own=True)), json)


@key_app.command("revoke")
def key_revoke(name: Annotated[str, typer.Argument(help="which")]) -> None:
    """Make a key worth nothing, at once."""
    from engine.cli.people import revoke_key

    revoke_key(project_root(own=True), name)


def _table(rows: list[dict[str, Any]], json: bool) -> None:
    from engine.cli.printing import print_json

    if json:
        return print_json(rows)
    if not rows:
        return print("none")
    widths = {name: max(len(name), *(len(str(row[name])) for row in rows)) for name in rows[0]}
    for row in [dict(zip(rows[0], rows[0], strict=True)), *rows]:
        print("  ".join(str(row[name]).ljust(width) for name, width in widths.items()).rstrip())
    return None
