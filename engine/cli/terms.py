"""`hub terms`: the releases of code systems that are loaded, and what they say; `termsload.py` does the work.

In: words of the command line. Out: text or JSON on standard output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.project import project_root
from engine.cli.terms_unit import add_unit_command
from engine.cli.termsgaps import add_gap_commands

__all__ = ["terms_app"]

terms_app = typer.Typer(
    no_args_is_help=True, help="Code systems: load their releases, ask them, see what is unmapped."
)
Json = Annotated[bool, typer.Option("--json", help="for programs")]
System = Annotated[str, typer.Argument(help="URI, or a short name: loinc, snomed, rxnorm, icd-10-cm, ...")]


@terms_app.command("load")
def terms_load(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="releases as their publishers ship them: zip, folder or file")
    ] = None,
    as_: Annotated[str, typer.Option("--as", help="kind of release, where its names do not say it")] = "",
    system: Annotated[str, typer.Option(help="code system of a list: URI or short name")] = "",
    release: Annotated[str, typer.Option(help="version, where the files do not say it")] = "",
    effective: Annotated[str, typer.Option(help="in effect from, YYYY-MM-DD")] = "",
    language: Annotated[
        str, typer.Option(help="SNOMED CT: en-US, en-GB or the id of a language reference set")
    ] = "",
    column: Annotated[
        list[str] | None, typer.Option(help="a list: code=HCPC, display=..., active=..., parent=...")
    ] = None,
    current: Annotated[
        bool | None, typer.Option("--current/--beside", help="make it current, or keep it beside that")
    ] = None,
    accept_smaller: Annotated[
        bool, typer.Option("--accept-smaller", help="also where a tenth of the codes would be gone")
    ] = False,
    shipped: Annotated[bool, typer.Option("--shipped", help="load what ships with the hub")] = False,
    json: Json = False,
) -> None:
    """Load releases of code systems; a damaged one changes nothing."""
    from engine.cli.termsload import asked_of, load_all, load_what_ships

    root = project_root(own=True)
    asked = asked_of(system, release, effective, language, column or [])
    jobs = [(path, as_, asked) for path in paths or []]
    if bool(jobs) == shipped:
        raise typer.BadParameter("name a release to load, or say --shipped")
    if shipped:
        load_what_ships(root, json)
    else:
        load_all(root, jobs, current, accept_smaller, json)


@terms_app.command("releases")
def terms_releases(
    system: Annotated[str, typer.Argument(help="only of this system")] = "", json: Json = False
) -> None:
    """List the loaded releases; `*` marks the current one of a system."""
    from engine.cli.termsload import print_releases

    print_releases(project_root(own=True), system, json)


@terms_app.command("lookup")
def terms_lookup(
    system: System,
    code: Annotated[str, typer.Argument(help="the code")],
    release: Annotated[str, typer.Option(help="in this version; nothing = the current one")] = "",
    to: Annotated[str, typer.Option(help="what the loaded crosswalks make of it in this system")] = "",
    json: Json = False,
) -> None:
    """Show what a release says of a code."""
    from engine.cli.termsload import show_code

    raise typer.Exit(show_code(project_root(own=True), system, code, release, to, json))


@terms_app.command("search")
def terms_search(
    system: System,
    words: Annotated[list[str], typer.Argument(help="beginnings of words of a name; all must fit")],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="at most so many")] = 20,
    json: Json = False,
) -> None:
    """Find codes by words of their names."""
    from engine.cli.termsload import print_search

    print_search(project_root(own=True), system, " ".join(words), limit, json)


@terms_app.command("current")
def terms_current(
    system: System, version: Annotated[str, typer.Argument(help="a loaded version")], json: Json = False
) -> None:
    """Make a loaded release the current one of its system."""
    from engine.cli.termsload import switch

    switch(project_root(own=True), system, version, json)


@terms_app.command("remove")
def terms_remove(
    system: System,
    version: Annotated[str, typer.Argument(help="a loaded version")],
    current: Annotated[bool, typer.Option("--current", help="even if it is the current one")] = False,
    json: Json = False,
) -> None:
    """Remove a loaded release."""
    from engine.cli.termsload import remove

    remove(project_root(own=True), system, version, current, json)


add_gap_commands(terms_app)
add_unit_command(terms_app)
