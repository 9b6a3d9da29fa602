"""One look at everything in a project that people write, before it meets a message: the linter and the tests.

In: the project's folder, or that of a draft. Out: findings, and results of the tests in maps, sites and
channels. The commands `hub check` and `hub test` print them; a draft with new errors cannot be approved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.channels.critical.rules import rules_of
from engine.channels.definition import load_channels
from engine.channels.test_files import run_channel_tests
from engine.formats.x12.partner_rules import load_partner
from engine.kernel.config import load_config
from engine.kernel.errors import HubError, MapError
from engine.kernel.yamlfile import Map, line_of, load
from engine.mapping.check import check_maps
from engine.mapping.checkread import named, near, open_what_can_be_read, unreadable
from engine.mapping.languages import LANGUAGES
from engine.mapping.outbound.library import OutMaps
from engine.mapping.project import Maps
from engine.mapping.rules import Finding, finding, ordered
from engine.mapping.tests_inline import run_all

__all__ = ["Tested", "check_project", "project_tests"]


@dataclass(frozen=True, slots=True)
class Tested:
    """One test run; it passed when `differences` is empty. `accepted` names a file that was written anew."""

    of: str
    name: str
    place: str
    differences: tuple[str, ...]
    accepted: str = ""


def check_project(root: Path, identity_base: str = "urn:hub") -> list[Finding]:
    """Check all below `root` that people write: config.yaml, channels, maps, sites, tables, partners."""
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
            known = {name for one in maps.opened for name in one.messages}
            for name in c.maps:
                if name not in known:
                    text = f"map: there is no message map {name}"
                    found.append(named(c.at("steps"), text, name, known))
        outbound, wrong = OutMaps.read(root, maps.terminology)
        found += [unreadable(e) for e in (*wrong, *outbound.problems())]
    try:
        rules_of(root)
    except HubError as e:
        found.append(unreadable(e))
    found += _channel_tests(root, {c.name for c in channels})
    for path in sorted((root / "partners").glob("*.yaml")):
        try:
            load_partner(path, root)
        except HubError as e:
            found.append(unreadable(e))
    return ordered(found)


def project_tests(root: Path, identity_base: str, name: str = "", accept: bool = False) -> Iterator[Tested]:
    """Run the tests of a channel, a map or a site, or all of them. Raises MapError, ConfigError."""
    maps = Maps.open(root, identity_base)
    channels = load_channels(root)
    every = [maps.of(format) for format in LANGUAGES]
    known = {n for m in every for n in (*m.maps, *m.messages, *m.sites)} | {c.name for c in channels}
    if name and name not in known:
        likely = near(name, known)
        raise MapError(f"nothing is called {name}", remedy=f"did you mean {likely}?" if likely else "")
    for r in (r for m in every for r in run_all(m, name)):
        of = r.map if r.site == "standard" else f"{r.map} as {r.site}"
        yield Tested(of, r.name, str(r.place), r.differences)
    for c in run_channel_tests(root, maps, channels, name, accept):
        yield Tested(c.channel, c.name, c.place, c.differences, c.accepted)


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
