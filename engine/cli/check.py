"""`hub check`: one look at everything in a project that people write, before it meets a message.

In: the project's folder. Out: findings on stdout, `file:line: level rule: what, why, try`; exit 1 when one
is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson

from engine.formats.x12.partner_rules import load_partner
from engine.kernel.errors import HubError
from engine.kernel.yamlfile import Map, line_of, load
from engine.mapping.check import check_maps
from engine.mapping.checkread import named, open_what_can_be_read, unreadable
from engine.mapping.outbound.library import OutMaps
from engine.mapping.rules import Finding, finding, ordered

__all__ = ["check", "check_project"]


def check(root: Path, as_json: bool = False, everything: bool = False) -> int:
    """Print the findings of a project; returns the exit code."""
    found = check_project(root)
    errors = sum(f.level == "error" for f in found)
    if as_json:
        keys = ("rule", "level", "place", "what", "why")
        rows = [{**{k: getattr(f, k) for k in keys}, "try": f.try_} for f in found]
        print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return 1 if errors else 0
    shown = [f for f in found if everything or f.level != "info"]
    for f in shown:
        print(f)
    hidden = len(found) - len(shown)
    warnings = sum(f.level == "warning" for f in found)
    more = f"; {hidden} notes, see them with --all" if hidden else ""
    print(f"{errors} errors, {warnings} warnings{more}")
    return 1 if errors else 0


def check_project(root: Path, identity_base: str = "urn:hub") -> list[Finding]:
    """Check all below `root` that people write: config.yaml, channels, maps, sites, tables, partners."""
    from engine.channels.definition import load_channels
    from engine.kernel.config import load_config

    found: list[Finding] = []
    channels = []
    try:
        identity_base = load_config(root).identity_base
    except HubError as e:
        found.append(unreadable(e))
    try:
        channels = load_channels(root, sites={})
    except HubError as e:
        found.append(unreadable(e))
    maps, read_findings = open_what_can_be_read(root, identity_base)
    found += read_findings
    if maps is not None:
        found += check_maps(maps)
        for c in channels:
            if c.site and c.site not in maps.sites:
                found.append(named(c.at("sender"), f"sender: there is no site {c.site}", c.site, maps.sites))
            if c.map and c.map not in maps.messages:
                found.append(
                    named(c.at("steps"), f"map: there is no message map {c.map}", c.map, maps.messages)
                )
        outbound, wrong = OutMaps.read(root, maps.terminology)
        found += [unreadable(e) for e in (*wrong, *outbound.problems())]
    found += _channel_tests(root, {c.name for c in channels})
    for path in sorted((root / "partners").glob("*.yaml")):
        try:
            load_partner(path, root)
        except HubError as e:
            found.append(unreadable(e))
    return ordered(found)


def _channel_tests(root: Path, channels: set[str]) -> Iterator[Finding]:
    for path in sorted((root / "channels").glob("*.test.yaml")):
        shown = path.relative_to(root).as_posix()
        try:
            m = load(path, name=shown)
        except HubError as e:
            yield unreadable(e)
            continue
        name = str(m.get("channel", "")) if isinstance(m, Map) else ""
        if name not in channels:
            yield named(
                f"{shown}:{line_of(m, 1)}", f"there is no channel {name or '(none named)'}", name, channels
            )
        for test in (m.get("tests") or ()) if isinstance(m, Map) else ():
            file = test.get("send") if isinstance(test, Map) else None
            if file and not (root / str(file)).is_file():
                yield finding("M19", f"{shown}:{line_of(file)}", f"send: there is no file {file}")
