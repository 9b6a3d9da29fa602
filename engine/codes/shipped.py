"""The releases that ship with the hub: listed in a file, loaded once, never in place of a site's own.

In: the folder with `releases.yaml`, the file of the code store. Out: what is still to be loaded, and the
summaries of loads. Which rows of the list were loaded stands in `codes.shipped` beside the store, so that a
release somebody removed does not come back; where the store is gone, all are loaded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.codes.loaders.files import Tell
from engine.codes.loaders.summary import Asked, Summary
from engine.codes.systems import full
from engine.kernel.errors import ConfigError
from engine.kernel.yamlfile import load as load_yaml

__all__ = ["LISTING", "Shipped", "listed", "load_shipped", "waiting"]

LISTING = Path("terminology") / "releases" / "releases.yaml"
_KEYS = ("file", "loader", "version", "effective", "system")


@dataclass(frozen=True, slots=True)
class Shipped:
    """One row of the list; `key` tells it from the same release in another version."""

    key: str
    path: Path
    loader: str
    asked: Asked


def listed(root: Path) -> list[Shipped]:
    """Read the list below a project's root. Raises ConfigError."""
    listing = root / LISTING
    rows: Any = load_yaml(listing, name=LISTING.as_posix()) or []
    made: list[Shipped] = []
    for row in rows:
        if not isinstance(row, dict) or not set(row) <= set(_KEYS) or "file" not in row:
            raise ConfigError(
                "has a row that is no release", where=str(listing), remedy=f"keys are {', '.join(_KEYS)}"
            )
        said = {key: str(value) for key, value in row.items()}
        asked = Asked(full(said.get("system", "")), said.get("version", ""), said.get("effective", ""))
        key = f"{said['file']} {asked.version}".strip()
        made.append(Shipped(key, listing.parent / said["file"], said.get("loader", ""), asked))
    return made


def waiting(root: Path, store: Path) -> list[Shipped]:
    """Return the rows of the list that were never loaded into this store, small ones first.

    Raises ConfigError.
    """
    done: set[str] = set()
    if store.is_file() and (mark := _mark(store)).is_file():
        done = set(mark.read_text(encoding="utf-8").splitlines())
    return sorted((row for row in listed(root) if row.key not in done), key=lambda row: _size(row.path))


def load_shipped(rows: Sequence[Shipped], store: Path, tell: Tell | None = None) -> list[Summary]:
    """Load rows of the list, and remember each. Raises HubError at the first that fails."""
    from engine.codes.loading import load_release  # with all its readers: not for those who only look

    if not store.is_file():
        _mark(store).unlink(missing_ok=True)
    made = []
    for row in rows:
        made.append(load_release(store, row.path, row.asked, loader=row.loader, shipped=True, tell=tell))
        with _mark(store).open("a", encoding="utf-8") as mark:
            mark.write(f"{row.key}\n")
    return made


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _mark(store: Path) -> Path:
    return store.with_name("codes.shipped")
