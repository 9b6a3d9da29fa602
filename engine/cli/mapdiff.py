"""`hub map diff`: two states of the maps, row by row: a site against what it lies over, two folders, two
revisions.

In: names of sites, project folders or git revisions. Out: one line for each row that came, went or
changed, with the layer and `file:line` of both. Exit code 1 where something differs.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.cli.maps import open_program
from engine.cli.printing import print_json
from engine.kernel.config import load_config
from engine.kernel.errors import HubError, MapError
from engine.mapping.model import MapDef
from engine.mapping.project import Maps
from engine.mapping.sheetdiff import Change, changes

__all__ = ["Change", "changes", "map_diff"]


def map_diff(
    root: Path, old: str, new: str = "", name: str = "", site: str = "", as_json: bool = False
) -> int:
    """Print what differs; returns 1 if anything does."""
    sites = open_program(root, site).maps.sites
    left, right = (old, new) if new else (sites[old].over, old) if old in sites else (old, "")
    with _state(root, left, site) as a, _state(root, right, site) as b:
        if name and name not in a and name not in b:
            raise MapError(f"there is no map {name}")
        wanted = [name] if name else sorted(a.keys() | b.keys())
        found = [c for n in wanted for c in changes(a.get(n), b.get(n))]
    if as_json:
        keys = ("map", "element", "old", "new", "old_place", "new_place")
        print_json([{k: getattr(c, k) for k in keys} for c in found])
    else:
        for c in found:
            print(c)
        print(f"{len(found)} rows differ" if found else "no row differs")
    return 1 if found else 0


@contextmanager
def _state(root: Path, name: str, site: str) -> Iterator[dict[str, MapDef]]:
    """Give the resolved maps of a site, a folder, or a git revision; "" is this project as it is."""
    maps = open_program(root, site).maps
    if name in ("", "standard") or name in maps.sites:
        yield maps.program(name or site or "standard").resolved
    elif (folder := Path(name)).is_dir():
        yield _opened(folder, site)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            _checkout(root, name, Path(temporary))
            yield _opened(Path(temporary), site)


def _opened(folder: Path, site: str) -> dict[str, MapDef]:
    base = load_config(folder).identity_base if (folder / "config.yaml").is_file() else "urn:hub:own"
    return Maps.open(folder, base).program(site or "standard").resolved


def _checkout(root: Path, revision: str, to: Path) -> None:
    """Unpack the maps of a git revision. Raises HubError where there is no such revision."""
    command = ["git", "-C", str(root), "archive", revision, "mappings", "terminology"]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        done = None
    if done is None or done.returncode:
        raise HubError(
            f"{revision} is no site, no folder and no git revision here",
            where=str(root),
            remedy="name a site such as acme_lab, a project folder, or a revision such as HEAD~1",
        )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(to, filter="data")
