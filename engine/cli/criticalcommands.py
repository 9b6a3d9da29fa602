"""The commands `hub critical`. Their work is in `critical.py`.

In: words of the command line. Out: text or JSON on standard output.
"""

from __future__ import annotations

from typing import Annotated

import typer

from engine.cli.project import project_root

__all__ = ["critical_app"]

critical_app = typer.Typer(
    no_args_is_help=True, help="Critical results: what waits for somebody, and who took it over."
)
Json = Annotated[bool, typer.Option("--json", help="for programs")]


@critical_app.command("list")
def critical_list(
    everything: Annotated[bool, typer.Option("--all", help="also what was taken over")] = False,
    as_json: Json = False,
) -> None:
    """List the critical results that nobody has taken over."""
    from engine.cli.critical import list_critical

    list_critical(project_root(own=True), everything, as_json)


@critical_app.command("ack")
def critical_ack(
    number: Annotated[int, typer.Argument(help="as `hub critical list` has it")],
    note: Annotated[str, typer.Option(help="whom it was read to; kept sealed")] = "",
) -> None:
    """Take a critical result over, with the name of who types: nobody else is told of it."""
    from engine.cli.critical import take_over

    take_over(project_root(own=True), number, note)


@critical_app.command("try")
def critical_try(
    most: Annotated[int, typer.Option(help="how many of the newest changes are looked at")] = 5000,
    as_json: Json = False,
) -> None:
    """Say what the rules would say of results that are stored already; nobody is told."""
    from engine.cli.critical import try_rules

    try_rules(project_root(own=True), most, as_json)
