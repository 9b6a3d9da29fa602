"""The `hub` command. Each verb's work is in a file of this folder and imported when the verb is called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from engine import __version__
from engine.kernel.errors import HubError

app = typer.Typer(name="hub", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="HL7 v2 / FHIR integration engine and interface hub.")


def project_root(start: Path | None = None) -> Path:
    """Find the project: the nearest folder upwards that holds config.yaml, else the one this code was installed from."""
    at = (start or Path.cwd()).resolve()
    for folder in (at, *at.parents):
        if (folder / "config.yaml").is_file():
            return folder
    home = Path(__file__).resolve().parents[2]
    if (home / "config.yaml").is_file():
        return home
    raise HubError("no config.yaml found", where=str(at), why="neither here nor in a folder above", remedy="start in the project's folder")


@app.command()
def convert(
    paths: Annotated[list[Path], typer.Argument(help="files or folders")],
    out: Annotated[Path, typer.Option(help="folder for the bundles and reports")],
    site: Annotated[str, typer.Option(help="use this site's maps whatever MSH-3/4 say")] = "",
) -> None:
    """Convert files to FHIR: DIR/<stem>.json and DIR/<stem>.report.json a message."""
    from engine.cli.convert import convert_paths, expand
    from engine.kernel.config import load_config

    root = project_root()
    base = load_config(root).identity_base
    if sys.stderr.isatty():
        from rich.progress import Progress

        with Progress(transient=True) as bar:
            task = bar.add_task("converting", total=len(expand(paths)))
            code = convert_paths(paths, out, root, base, site=site, progress=lambda: bar.advance(task))
    else:
        code = convert_paths(paths, out, root, base, site=site)
    raise typer.Exit(code)


@app.command()
def parse(
    paths: Annotated[list[Path], typer.Argument(help="files or folders")],
    emit: Annotated[Path | None, typer.Option(help="folder to write the messages back to")] = None,
) -> None:
    """Print the parsed tree of every message as JSON, with addresses, names and offsets."""
    from engine.cli.parse import parse_paths

    raise typer.Exit(parse_paths(paths, emit))


@app.command()
def serve(
    only: Annotated[str, typer.Option(help="start only these: listeners, workers, console (comma between)")] = "",
    listen: Annotated[str, typer.Option(help="address for all listeners and the web side instead of loopback, e.g. 0.0.0.0")] = "",
) -> None:
    """Start the hub: listeners, workers and the web side, until Ctrl-C."""
    from engine.cli.serve import serve as run

    raise typer.Exit(run(project_root(), only, listen or None))


@app.command()
def keep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be deleted")] = False,
) -> None:
    """Delete message bodies that keep: in config.yaml no longer covers, and say what that costs."""
    from engine.cli.keep import keep_now

    raise typer.Exit(keep_now(project_root(), dry_run))


key_app = typer.Typer(no_args_is_help=True, help="The data key.")
app.add_typer(key_app, name="key")


@key_app.command("rotate")
def key_rotate() -> None:
    """Make a new data key current; what was sealed with older ones still opens."""
    from engine.cli.keep import rotate_now

    raise typer.Exit(rotate_now(project_root()))


@app.command()
def version() -> None:
    """Print the version."""
    print(f"hub {__version__}")


def main() -> None:
    """Run the command; an error meant for a person is one line, not a trace."""
    try:
        app()
    except HubError as e:
        print(f"hub: {e}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
