"""The commands `hub dicom ...`: other systems asked and sent to; what is held here; studies bound by hand.

In: words of the command line. Out: text or JSON on standard output; exit codes: 0 well, 1 something was not
taken or not found. The work is in dicomcalls.py (other systems) and dicomheld.py (this project).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.project import project_root

__all__ = ["dicom_app"]

dicom_app = typer.Typer(no_args_is_help=True, help="DICOM: ask and send to systems, studies held here.")
To = Annotated[
    str,
    typer.Option("--to", help="dicom://TITLE@HOST:PORT, or a peer's title; nothing = this project's node"),
]
Title = Annotated[str, typer.Option("--as", help="our AE title for this call")]
Json = Annotated[bool, typer.Option("--json", help="for programs")]
Why = Annotated[str, typer.Option(help="the reason, for the audit table")]


@dicom_app.command("echo")
def echo(to: To = "", title: Title = "HUBCLI") -> None:
    """Ask whether a system answers (C-ECHO)."""
    from engine.cli.dicomcalls import echo as run

    raise typer.Exit(run(project_root(), to, title))


@dicom_app.command("send")
def send(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files or folders of them")],
    to: To = "",
    title: Title = "HUBCLI",
) -> None:
    """Send objects (C-STORE), each as it is, and say what became of them."""
    from engine.cli.dicomcalls import send as run

    raise typer.Exit(run(project_root(), paths, to, title))


@dicom_app.command("find")
def find(
    keys: Annotated[
        list[str] | None, typer.Argument(help="KEYWORD=VALUE, e.g. PatientID=77 or StudyDate=20260101-")
    ] = None,
    to: To = "",
    level: Annotated[str, typer.Option(help="patient, study, series or image")] = "study",
    worklist: Annotated[bool, typer.Option("--worklist", help="ask for scheduled steps instead")] = False,
    title: Title = "HUBCLI",
    json: Json = False,
) -> None:
    """Ask a system what it holds, or for its worklist (C-FIND)."""
    from engine.cli.dicomcalls import find as run

    raise typer.Exit(run(project_root(), keys or [], to, level, worklist, title, json))


@dicom_app.command("studies")
def studies(
    keys: Annotated[list[str] | None, typer.Argument(help="KEYWORD=VALUE, as for find")] = None,
    reconcile: Annotated[
        bool, typer.Option("--reconcile", help="only those that belong to nobody for certain")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="at most so many")] = 50,
    json: Json = False,
) -> None:
    """List studies that are held here, and what they were found to belong to."""
    from engine.cli.dicomheld import studies as run

    raise typer.Exit(run(project_root(own=True), keys or [], reconcile, limit, json))


@dicom_app.command("bind")
def bind(
    study: Annotated[str, typer.Argument(help="Study Instance UID")],
    why: Why,
    patient: Annotated[str, typer.Option(help="id of the Patient, or system|number")] = "",
    order: Annotated[str, typer.Option(help="id of the ServiceRequest, or system|number")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="take a binding back")] = False,
) -> None:
    """Say whose a study is, and which order it answers; the core store is told again."""
    from engine.cli.dicomheld import bind as run

    raise typer.Exit(run(project_root(own=True), study, patient, order, why, undo))


@dicom_app.command("copy")
def copy(
    study: Annotated[str, typer.Argument(help="Study Instance UID")],
    out: Annotated[Path, typer.Option(help="folder for the objects")],
    why: Why,
    deidentify: Annotated[
        bool, typer.Option("--deidentify", help="without whose they are (PS3.15, basic profile)")
    ] = False,
    others: Annotated[
        bool, typer.Option("--others", help="what came under its UIDs with other bytes, instead")
    ] = False,
) -> None:
    """Write the objects of a study into a folder."""
    from engine.cli.dicomheld import copy as run

    raise typer.Exit(run(project_root(own=True), study, out, why, deidentify, others))


@dicom_app.command("queue")
def queue(
    again: Annotated[str, typer.Option(help="try everything of this destination again now")] = "",
    json: Json = False,
) -> None:
    """Show what waits to be forwarded, and what a destination refused."""
    from engine.cli.dicomheld import queue as run

    raise typer.Exit(run(project_root(own=True), again, json))
