"""What `hub check` says of a text that nobody has saved yet, for the line it stands on.

In: the live maps, what a draft changes, a file's path and its text as it is being typed. Out: findings with
line, column and what to try; those in other files (a site whose row is gone now) are named with theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.channels.definition import agree, read_channel
from engine.channels.trying import Changed, Desk, column_in
from engine.kernel.errors import HubError
from engine.kernel.yamlfile import loads
from engine.mapping.checkread import unreadable
from engine.mapping.project import Maps
from engine.mapping.rules import Finding
from engine.terminology.tables import read_system, read_table

__all__ = ["Spotted", "lint"]


@dataclass(frozen=True, slots=True)
class Spotted:
    """One finding, as an editor shows it. `file` is empty where it is in the text itself."""

    rule: str
    severity: str  # error | warning | info
    file: str
    line: int
    column: int
    text: str
    remedy: str


def lint(desk: Desk, live: Maps, changed: Changed) -> list[Spotted]:
    """Return the findings of the unsaved text, worst first."""
    if changed.unsaved is None:
        return []
    path, text = changed.unsaved
    return [_spotted(f, path, text) for f in _findings(desk, live, changed, path, text)]


def _findings(desk: Desk, live: Maps, changed: Changed, path: str, text: str) -> Sequence[Finding]:
    try:
        if path.startswith("channels/"):
            if path.endswith(".test.yaml"):
                loads(text, path)
                return []
            agree([read_channel(text, path, live.root, live.all_sites)], live)
            return []
        if path.startswith("terminology/maps/"):
            read_table(text.encode(), path)
            return []
        if path.startswith("terminology/systems/"):
            read_system(text.encode(), path, path.rsplit("/", 1)[-1].removesuffix(".csv"))
            return []
        maps = desk.maps(live, changed)
    except HubError as e:
        return [unreadable(e, path)]
    found = desk.checked(maps, path)
    known = {(f.rule, f.what) for f in desk.checked(live, path)}
    here = [f for f in found if f.place.rpartition(":")[0] == path]
    return [*here, *(f for f in found if f not in here and (f.rule, f.what) not in known)]


def _spotted(f: Finding, path: str, text: str) -> Spotted:
    file, _, line = f.place.rpartition(":")
    what = f"{f.what}: {f.why}" if f.why else f.what
    if file != path or not line.isdigit():
        elsewhere = "" if f.place == path else f.place
        return Spotted(f.rule, f.level, elsewhere, 1, 1, f"{elsewhere} {what}".strip(), f.try_)
    n = int(line)
    return Spotted(f.rule, f.level, "", n, column_in(text, n, f.what), what, f.try_)
