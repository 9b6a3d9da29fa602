"""Where the project is: the folder of config.yaml a command works on, or the one that ships with the hub.

In: the folder a command was typed in. Out: the project's root. A clone is a project itself; an installed
wheel carries one below `engine/_project`, which `hub init` copies and which converting reads when there is no
other: maps and tables need no folder of one's own.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from engine.kernel.errors import ConfigError, HubError

__all__ = ["PARTS", "make_project", "project_above", "project_root", "shipped"]

PARTS = ("config.yaml", "channels", "mappings", "terminology", "sample_messages")
_ENGINE = Path(__file__).resolve().parents[1]


def shipped() -> Path:
    """Return the project that came with this code: in the wheel, else the clone."""
    for folder in (_ENGINE / "_project", _ENGINE.parent):
        if (folder / "config.yaml").is_file():
            return folder
    raise HubError(
        "no project ships with this installation", where=str(_ENGINE), remedy="install the package again"
    )


def project_above(start: Path | None = None) -> Path | None:
    """Return the nearest folder, from here upwards, that holds config.yaml."""
    at = (start or Path.cwd()).resolve()
    return next((folder for folder in (at, *at.parents) if (folder / "config.yaml").is_file()), None)


def project_root(start: Path | None = None, *, own: bool = False) -> Path:
    """Return the project to work on; `own`: only one at or above this folder will do, since it is written to.

    Raises HubError where there is none.
    """
    found = project_above(start)
    if found is not None:
        return found
    if not own:
        return shipped()
    raise HubError(
        "there is no project here",
        where=str((start or Path.cwd()).resolve()),
        why="no config.yaml in this folder or above",
        remedy="make one with `hub init`, or go to the folder that has it",
    )


def make_project(folder: Path) -> list[str]:
    """Write a new project into `folder` from what ships with the hub; returns the names written.

    Nothing that exists is touched: raises ConfigError when a part is there already.
    """
    source = shipped()
    for part in PARTS:
        if (folder / part).exists():
            raise ConfigError(
                f"{part} is there already",
                where=str(folder.resolve()),
                why="hub init never overwrites",
                remedy="use this project as it is (hub serve), or name an empty folder: hub init DIR",
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS[1:]:
            shutil.copytree(source / part, folder / part, copy_function=shutil.copyfile)
        shutil.copyfile(source / PARTS[0], folder / PARTS[0])  # last: with it the folder is a project
    except OSError as e:
        raise ConfigError(
            "the project cannot be written",
            where=str(folder.resolve()),
            why=e.strerror or "",
            remedy="make the folder writable, or name another: hub init DIR",
        ) from None
    return list(PARTS)
