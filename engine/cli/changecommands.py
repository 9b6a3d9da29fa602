"""The commands `hub draft ...`, `hub impact` and `hub deploy ...`: changes from the command line.

In: words of the command line. Out: text or JSON on standard output; exit codes: 0 well, 1 something stands
against it or comes out otherwise. The work is in changework.py. Approving is for a person who is signed in at
the console: the command line cannot say who types.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.project import project_root

__all__ = ["deploy_app", "draft_app", "impact"]

draft_app = typer.Typer(no_args_is_help=True, help="Drafts of channels, maps and code tables.")
deploy_app = typer.Typer(no_args_is_help=True, help="Bring an approved draft live, or take a change back.")
Json = Annotated[bool, typer.Option("--json", help="for programs")]
Number = Annotated[int, typer.Argument(min=1, help="number of the draft")]


@draft_app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="those that are live or ended, too")] = False,
    json: Json = False,
) -> None:
    """List drafts, newest first."""
    from engine.cli.changework import list_drafts as run

    raise typer.Exit(run(project_root(own=True), everything, json))


@draft_app.command("new")
def new(title: Annotated[str, typer.Argument(help="what the change is for")], json: Json = False) -> None:
    """Begin a draft, and print its number."""
    from engine.cli.changework import new_draft as run

    raise typer.Exit(run(project_root(own=True), title, json))


@draft_app.command("show")
def show(number: Number, json: Json = False) -> None:
    """Print what a draft changes, line by line, how it stands to what is live, and who did what."""
    from engine.cli.changework import show_draft as run

    raise typer.Exit(run(project_root(own=True), number, json))


@draft_app.command("put")
def put(
    number: Number,
    path: Annotated[str, typer.Argument(help="file of the project, e.g. channels/lab_oru.yaml")],
    file: Annotated[Path | None, typer.Argument(help="its new text; - reads standard input")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="the file shall go away")] = False,
    json: Json = False,
) -> None:
    """Write a file of a draft. Nothing live changes."""
    from engine.cli.changework import put_file as run

    raise typer.Exit(run(project_root(own=True), number, path, file, remove, json))


@draft_app.command("check")
def check(number: Number, json: Json = False) -> None:
    """Run the linter and all tests on the project with a draft."""
    from engine.cli.changework import check_draft as run

    raise typer.Exit(run(project_root(own=True), number, json))


@draft_app.command("ask")
def ask(
    number: Number, text: Annotated[str, typer.Option(help="what the approver should know")] = ""
) -> None:
    """Ask for approval of a draft whose checks pass."""
    from engine.cli.changework import ask_for as run

    raise typer.Exit(run(project_root(own=True), number, text))


def impact(
    number: Annotated[int | None, typer.Argument(min=1, help="number of a draft")] = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="a folder of the project as it would be, instead of a draft")
    ] = None,
    since: Annotated[str, typer.Option(help="messages received since, e.g. 7d or 12h")] = "",
    last: Annotated[int, typer.Option(min=1, max=1_000_000, help="at most so many messages")] = 1000,
    show_phi: Annotated[
        bool, typer.Option("--show-phi", help="what elements held; patient data, and noted in the audit")
    ] = False,
    json: Json = False,
) -> None:
    """Say what a draft would have changed in the last messages, by the row that causes it."""
    from engine.cli.changework import impact_of_draft as run

    raise typer.Exit(run(project_root(own=True), number, folder, since, last, show_phi, json))


@deploy_app.command("plan")
def plan(number: Number, json: Json = False) -> None:
    """Say what bringing a draft live would do, and what stands against it."""
    from engine.cli.changework import plan_draft as run

    raise typer.Exit(run(project_root(own=True), number, json))


@deploy_app.command("apply")
def apply(number: Number, json: Json = False) -> None:
    """Bring an approved draft live, without a restart."""
    from engine.cli.changework import apply_draft as run

    raise typer.Exit(run(project_root(own=True), number, json))


@deploy_app.command("back")
def back(
    change: Annotated[int, typer.Argument(min=1, help="number of the change, see `hub deploy list`")],
    json: Json = False,
) -> None:
    """Take a change back: its files say again what they said before."""
    from engine.cli.changework import take_back as run

    raise typer.Exit(run(project_root(own=True), change, json))


@deploy_app.command("list")
def changes(json: Json = False) -> None:
    """List what went live and what was taken back, newest first."""
    from engine.cli.changework import list_changes as run

    raise typer.Exit(run(project_root(own=True), json))
