"""The commands `hub map ...`: look at maps, compare them, take them into a workbook and back.

In: words of the command line. Out: text or JSON on standard output; exit codes: 0 well, 1 something
differs or cannot be taken in. The work is in maps.py, mapwhy.py, mapdiff.py, mapbook.py and mapimport.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.project import project_root

__all__ = ["map_app"]

map_app = typer.Typer(no_args_is_help=True, help="Maps: look at them, compare them, edit them in a workbook.")
As = Annotated[str, typer.Option("--as", help="as this site sees it")]
Json = Annotated[bool, typer.Option("--json", help="for programs")]


@map_app.command("show")
def map_show(name: str, site: As = "", json: Json = False) -> None:
    """Print a map as a sheet: element, source, how, when, and who set it where."""
    from engine.cli.maps import map_show as run

    raise typer.Exit(run(project_root(), name, site, json))


@map_app.command("why")
def map_why(
    what: Annotated[
        str,
        typer.Argument(help="an element, e.g. Patient.name.use, or a location, e.g. PID-18 or PID[1]-5[1].1"),
    ],
    file: Annotated[
        Path | None,
        typer.Option(help="a message: what became of the location in it, or what filled the element"),
    ] = None,
    site: As = "",
    json: Json = False,
) -> None:
    """Say which rows of which layer set an element or read a location, or why nothing comes of it."""
    from engine.cli.mapwhy import map_why as run

    raise typer.Exit(run(project_root(), what, file, site, json))


@map_app.command("diff")
def map_diff(
    old: Annotated[str, typer.Argument(help="a site, a project folder, or a git revision")],
    new: Annotated[str, typer.Argument(help="the same; nothing = this project as it is")] = "",
    name: Annotated[str, typer.Option("--map", help="only this map")] = "",
    site: As = "",
    json: Json = False,
) -> None:
    """Compare maps row by row. `hub map diff acme_lab`: what a site changes in the standard."""
    from engine.cli.mapdiff import map_diff as run

    raise typer.Exit(run(project_root(), old, new, name, site, json))


@map_app.command("export")
def map_export(
    names: Annotated[list[str] | None, typer.Argument(help="maps; nothing = all of them")] = None,
    out: Annotated[Path, typer.Option(help="a workbook (.xlsx), or .csv for one map")] = Path("maps.xlsx"),
    site: As = "",
) -> None:
    """Write maps, and the code tables they use, into a workbook: one sheet each, comments kept."""
    from engine.cli.mapbook import map_export as run

    raise typer.Exit(run(project_root(), names or [], out, site))


@map_app.command("import")
def map_import(
    file: Annotated[Path, typer.Argument(help="an edited workbook or CSV that `hub map export` wrote")],
    site: Annotated[str, typer.Option("--to", help="the site whose file takes the changes")] = "",
    standard: Annotated[bool, typer.Option("--standard", help="edit the standard maps themselves")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would change")] = False,
    json: Json = False,
) -> None:
    """Take the edits of a workbook into a site's file or the maps, row by row, comments kept."""
    from engine.cli.mapimport import map_import as run

    raise typer.Exit(run(project_root(own=True), file, site, standard, dry_run, json))


@map_app.command("python")
def map_python(
    name: str,
    site: As = "",
    traced: Annotated[
        bool, typer.Option("--traced", help="the twin that remembers where values came from")
    ] = False,
) -> None:
    """Print the Python that a map is compiled to."""
    from engine.cli.maps import map_python as run

    raise typer.Exit(run(project_root(), name, site, traced))
