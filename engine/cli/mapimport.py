"""`hub map import`: the edits of a workbook, row by row, into a site's file or the maps themselves.

In: a workbook that `hub map export` wrote and somebody edited. Out: what changed, cell by cell; then the
files. What the edits are and that they can be taken in is engine/channels/sheetedits.py's.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from engine.channels.sheetbook import read_book
from engine.channels.sheetedits import edits_of
from engine.cli.printing import print_json
from engine.kernel.config import load_config
from engine.kernel.errors import ConfigError
from engine.mapping.project import Maps

__all__ = ["map_import"]


def map_import(
    root: Path,
    file: Path,
    site: str = "",
    standard: bool = False,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Take in a workbook; returns 1 where nothing says where its edits should go, else 0."""
    try:
        data = file.read_bytes()
    except OSError as e:
        raise ConfigError("cannot be read", where=str(file), why=e.strerror or "") from None
    maps = Maps.open(root, load_config(root).identity_base)
    found = edits_of(root, maps, read_book(data, file.name), file.name, site, standard)
    edits = found.edits
    print_json([asdict(e) for e in edits]) if as_json else [print(e) for e in edits]
    if edits and not dry_run and not found.nowhere:
        written = _write(root, found.texts(root, maps))
        if not as_json:
            print(f"{len(edits)} edits in {', '.join(written)}")
    elif not as_json:
        where = "; say where they go: --to SITE or --standard" if found.nowhere else ""
        print(f"{len(edits)} edits{', nothing written' if edits else ''}{where}")
    return 1 if found.nowhere and not dry_run else 0


def _write(root: Path, texts: dict[str, str]) -> list[str]:
    """Write the files; returns their names."""
    for file, text in texts.items():
        whole = root / file
        beside = whole.with_suffix(".import")
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, "utf-8")
        beside.replace(whole)
    return sorted(texts)
