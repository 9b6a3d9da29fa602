"""`hub terms gaps|suggest|propose|review|approve|withdraw|release|check|export|import`: the words of the
command line; `termswork.py` and `termsbook.py` do the work.

In: words of the command line. Out: text or JSON on standard output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.project import project_root

__all__ = ["add_gap_commands"]

Json = Annotated[bool, typer.Option("--json", help="for programs")]
Numbers = Annotated[list[int], typer.Argument(help="numbers of codes, as `hub terms gaps` shows them")]
Comment = Annotated[str, typer.Option(help="why; it stays with the code")]


def add_gap_commands(app: typer.Typer) -> None:
    """Add the commands to `hub terms`."""
    for name, command in (
        ("gaps", gaps),
        ("suggest", suggest),
        ("propose", propose),
        ("review", review),
        ("approve", approve),
        ("withdraw", withdraw),
        ("release", release),
        ("check", check),
        ("export", export),
        ("import", import_),
    ):
        app.command(name)(command)


def gaps(
    state: Annotated[str, typer.Option(help="open, draft, reviewed, approved or all")] = "",
    sender: Annotated[str, typer.Option(help="only of senders whose name holds this")] = "",
    field: Annotated[str, typer.Option(help="only of this field, e.g. OBX-3")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="at most so many")] = 50,
    show_phi: Annotated[bool, typer.Option("--show-phi", help="sample values too; that is recorded")] = False,
    json: Json = False,
) -> None:
    """List codes that no table knows: those that most messages wait for first."""
    from engine.cli.opened import who
    from engine.cli.printing import print_json
    from engine.cli.termswork import listed, print_gaps, work_on

    with work_on(project_root(own=True)) as (hub, work):
        found = listed(hub, work, who(), state=state, sender=sender, field=field, limit=limit, phi=show_phi)
    print_json(found) if json else print_gaps(found)


def suggest(
    numbers: Annotated[
        list[int] | None, typer.Argument(help="numbers of codes; nothing = all open ones")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="so many a code")] = 5,
    draft_above: Annotated[
        float, typer.Option(help="make the first a draft where it scores at least this; a person approves")
    ] = 0,
    json: Json = False,
) -> None:
    """Say what codes may mean, and why."""
    from engine.cli.opened import who
    from engine.cli.printing import print_json
    from engine.cli.termswork import as_json, print_suggested, suggested, work_on

    with work_on(project_root(own=True)) as (hub, work):
        found = suggested(hub, work, numbers or [], limit)
        drafted = 0
        for gap, suggestions in found:
            if draft_above and gap.table and suggestions and suggestions[0].score >= draft_above:
                first = suggestions[0]
                why = f"suggested, {first.score:.0f} of 100: {'; '.join(first.reasons)}"
                work.propose(gap.id, who(), first.concept.code, system=first.concept.system, comment=why)
                drafted += 1
    if json:
        return print_json(
            [
                {
                    "code": as_json(gap),
                    "suggestions": [
                        {
                            "system": s.concept.system,
                            "code": s.concept.code,
                            "display": s.concept.display,
                            "score": s.score,
                            "reasons": list(s.reasons),
                        }
                        for s in suggestions
                    ],
                }
                for gap, suggestions in found
            ]
        )
    print_suggested(found)
    if draft_above:
        print(f"{drafted} drafts made")


def propose(
    number: Annotated[int, typer.Argument(help="number of the code")],
    code: Annotated[str, typer.Argument(help="what it means on the other side; nothing with unmatched")] = "",
    system: Annotated[str, typer.Option(help="its system: URI or short name; nothing = as its table")] = "",
    equivalence: Annotated[
        str, typer.Option(help="equal, equivalent, wider (says less, still true), unmatched")
    ] = "equivalent",
    table: Annotated[str, typer.Option(help="the table; nothing = the one that the sender's maps ask")] = "",
    comment: Comment = "",
) -> None:
    """Say what a code means; somebody approves it later."""
    from engine.cli.opened import who
    from engine.cli.termswork import said, work_on
    from engine.codes.systems import full

    with work_on(project_root(own=True)) as (_, work):
        made = work.propose(
            number,
            who(),
            code,
            system=full(system) if system else "",
            equivalence=equivalence,
            table=table,
            comment=comment,
        )
    print(f"draft: {said(made)}")


def review(numbers: Numbers, comment: Comment = "") -> None:
    """Agree to drafts."""
    from engine.cli.opened import who
    from engine.cli.termswork import said, work_on

    with work_on(project_root(own=True)) as (_, work):
        for number in numbers:
            print(f"{number} reviewed: {said(work.review(number, who(), comment))}")


def withdraw(numbers: Numbers, comment: Comment = "") -> None:
    """Take drafts back."""
    from engine.cli.opened import who
    from engine.cli.termswork import work_on

    with work_on(project_root(own=True)) as (_, work):
        for number in numbers:
            work.withdraw(number, who(), comment)
            print(f"{number} is open again")


def approve(
    numbers: Annotated[list[int] | None, typer.Argument(help="numbers of codes that have a draft")] = None,
    drafts: Annotated[bool, typer.Option("--drafts", help="all drafts")] = False,
    reviewed: Annotated[bool, typer.Option("--reviewed", help="all that are reviewed")] = False,
    change: Annotated[
        bool, typer.Option("--change", help="also where the table says something else today")
    ] = False,
    comment: Comment = "",
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    json: Json = False,
) -> None:
    """Write drafts into their tables and run again exactly the messages that waited for them."""
    from engine.cli.opened import who
    from engine.cli.printing import print_json
    from engine.cli.termswork import approved_json, asked, caught_up, drafts_of, print_approved, work_on

    with work_on(project_root(own=True)) as (_, work):
        wanted = list(numbers or [])
        states = [name for name, given in (("draft", drafts), ("reviewed", reviewed)) if given]
        wanted += [n for n in drafts_of(work, states) if n not in wanted] if states else []
        if not wanted:
            raise typer.BadParameter("name codes, or say --drafts or --reviewed")
        if not yes:
            typer.echo(asked(work.waiting(wanted), len(wanted)), err=json)
            typer.confirm("approve", abort=True, err=json)
        done = work.approve(wanted, who(), comment, change=change)
        done = caught_up(work, done, wanted, who())
    print_json(approved_json(done)) if json else print_approved(done)


def release(
    numbers: Annotated[list[int] | None, typer.Argument(help="numbers of codes")] = None,
    settled: Annotated[bool, typer.Option("--settled", help="all that their tables have by now")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    json: Json = False,
) -> None:
    """Run again what still waits for codes that their tables have: written there by hand, for instance."""
    from engine.cli.opened import who
    from engine.cli.printing import print_json
    from engine.cli.termswork import approved_json, asked, print_approved, work_on

    with work_on(project_root(own=True)) as (_, work):
        wanted = list(numbers or []) + ([s.id for s in work.settled()] if settled else [])
        if not wanted:
            raise typer.BadParameter("name codes, or say --settled") if not settled else typer.Exit(0)
        if not yes:
            typer.echo(asked(work.waiting(wanted), len(wanted)), err=json)
            typer.confirm("run them again", abort=True, err=json)
        done = work.release(wanted, who())
    print_json(approved_json(done)) if json else print_approved(done)


def check(json: Json = False) -> None:
    """Find targets that the loaded releases do not have or have retired; exit 1 when there are any."""
    from engine.cli.printing import print_json
    from engine.cli.termswork import checked, print_checks, work_on

    with work_on(project_root(own=True)) as (hub, work):
        found = checked(hub, work)
    print_json(found) if json else print_checks(found)
    raise typer.Exit(1 if found else 0)


def export(
    file: Annotated[Path, typer.Argument(help=".csv, .xlsx, .json (ConceptMap), or .usagi.csv")],
    state: Annotated[str, typer.Option(help="open, draft, reviewed, approved or all")] = "all",
    sender: Annotated[str, typer.Option(help="only of senders whose name holds this")] = "",
) -> None:
    """Write the list for a spreadsheet, for Usagi, or as a FHIR ConceptMap."""
    from engine.cli.opened import who
    from engine.cli.termsbook import export_list
    from engine.cli.termswork import work_on

    with work_on(project_root(own=True)) as (hub, work):
        count = export_list(hub, work, file, who(), state, sender)
    print(f"{count} codes in {file}")


def import_(
    file: Annotated[Path, typer.Argument(help=".csv (a plain list or Usagi's), .xlsx, .json (ConceptMap)")],
    sender: Annotated[str, typer.Option(help="whose codes they are, where the file does not say")] = "",
    field: Annotated[
        str, typer.Option(help="which field they stand in, where the file does not say")
    ] = "OBX-3",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be done")] = False,
    json: Json = False,
) -> None:
    """Read what somebody mapped elsewhere, as drafts; nothing is approved by it."""
    from engine.cli.opened import who
    from engine.cli.printing import print_json
    from engine.cli.termsbook import import_list, print_imported
    from engine.cli.termswork import work_on

    with work_on(project_root(own=True)) as (hub, work):
        made = import_list(hub, work, file, who(), sender, field, dry_run)
    print_json(made) if json else print_imported(made, dry_run)
