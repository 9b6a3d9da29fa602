"""The commands `hub backup` and `hub restore`. Their work is in `backup.py`.

In: words of the command line. Out: text on standard output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.project import project_root

__all__ = ["backup_app", "restore"]

backup_app = typer.Typer(help="Copy the whole hub beside itself while it runs, and verify the copies.")
Passphrase = Annotated[Path | None, typer.Option("--passphrase-file", help="file that holds the passphrase")]


@backup_app.callback(invoke_without_command=True)
def backup(
    context: typer.Context,
    to: Annotated[Path | None, typer.Option(help="folder; nothing = backups: of config.yaml")] = None,
    without: Annotated[list[str] | None, typer.Option(help="leave out: codes, objects")] = None,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="put the keys in too, sealed under a passphrase")
    ] = False,
    objects: Annotated[
        str, typer.Option(help="objects that a bucket keeps: name lists them, copy copies them too")
    ] = "name",
    told: Annotated[str, typer.Option(help="only note that somebody made a backup, and where")] = "",
    verify: Annotated[Path | None, typer.Option(help="only verify the backup in this folder")] = None,
) -> None:
    """Copy the whole hub beside itself while it runs, and verify the copies."""
    if context.invoked_subcommand is not None:
        return
    from engine.cli.backup import back_up_now, note, verify_now

    root = project_root(own=True)
    if verify is not None:
        raise typer.Exit(verify_now(root, verify))
    if told:
        raise typer.Exit(note(root, told))
    raise typer.Exit(back_up_now(root, to, without or [], with_keys, objects))


@backup_app.command("keys")
def keys(
    to: Annotated[Path, typer.Option(help="folder on another disk or machine than the backups")],
    passphrase_file: Passphrase = None,
    beside: Annotated[
        bool, typer.Option("--beside-backups", help="even where the backups are, which is weaker")
    ] = False,
) -> None:
    """Seal the data key and the tokens under a passphrase, for a place apart from the backups."""
    from engine.cli.backup import seal_now

    raise typer.Exit(seal_now(project_root(own=True), to, passphrase_file, beside))


@backup_app.command("open-keys")
def open_keys(
    file: Annotated[Path, typer.Argument(help="what hub backup keys wrote")],
    to: Annotated[Path, typer.Option(help="new file for the text of the data key")],
    passphrase_file: Passphrase = None,
) -> None:
    """Write the data key from sealed keys as a key file, for the site's own secret store."""
    from engine.cli.backup import open_sealed

    raise typer.Exit(open_sealed(file, to, passphrase_file))


def restore(
    archive: Annotated[Path, typer.Argument(help="folder that hub backup made")],
    to: Annotated[Path, typer.Option(help="folder of the project, empty or not there yet")],
    data: Annotated[Path | None, typer.Option(help="data folder instead of config.yaml's")] = None,
    objects: Annotated[Path | None, typer.Option(help="folder of objects instead of config.yaml's")] = None,
    database: Annotated[str, typer.Option(help="address of an empty database instead of config.yaml's")] = "",
    keys: Annotated[Path | None, typer.Option(help="what hub backup keys wrote")] = None,
    passphrase_file: Passphrase = None,
    verify: Annotated[bool, typer.Option(help="prove what was put back: rows, chain, samples")] = True,
) -> None:
    """Put a backup back into an empty project, prove it, and name what is missing."""
    from engine.cli.backup import restore_now

    raise typer.Exit(restore_now(archive, to, data, objects, database, keys, passphrase_file, verify))
