"""Small maps, compiled and run both ways: what the tests of the mapping language share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from engine.formats.hl7v2.groups import Group
from engine.formats.hl7v2.parse import Message, parse
from engine.kernel.message import Draft, Flag
from engine.kernel.yamlfile import loads
from engine.mapping import types as T
from engine.mapping.build import Built
from engine.mapping.convert import authority_of, headers, map_message, unkeyed
from engine.mapping.model import MapDef, MessageDef
from engine.mapping.project import Maps
from engine.mapping.read import read_map
from engine.mapping.readmessage import read_message
from engine.mapping.run import Run, TracedRun
from engine.mapping.scope import scope_of
from engine.mapping.sites import Site, read_site
from engine.mapping.traced import plain

ROOT = Path(__file__).parents[2]
MSH = "MSH|^~\\&|APP|FAC|HUB|CDR|20260501120000-0500||ADT^A01^ADT_A01|M1|P|2.5.1"


@cache
def shipped() -> Maps:
    return Maps.open(ROOT)


def maps_of(*texts: str, sites: Iterable[str] = ()) -> Maps:
    """The shipped datatype maps and tables, with these maps (YAML) and no other segment or message map."""
    base = shipped()
    maps: dict[str, MapDef] = {n: m for n, m in base.maps.items() if "/datatypes/" in m.place.file}
    messages: dict[str, MessageDef] = {}
    for text in texts:
        data = loads(text, "small.yaml")
        if "resources" in data:
            message = read_message(data, "small.yaml", "standard")
            messages[message.name] = message
        else:
            m = read_map(data, "small.yaml", "standard", T.has_child)
            maps[m.name] = m
    read: dict[str, Site] = {}
    for text in sites:
        site = read_site(loads(text, "site.yaml"), "site.yaml")
        read[site.name] = site
    return Maps(ROOT, base.terminology, maps, messages, read, "urn:hub")


def rows(text: str, to: str = "Patient", source: str = "PID", **top: str) -> str:
    """A whole map around some rows."""
    head = "".join(f"{k}: {v}\n" for k, v in top.items())
    body = "\n".join("  " + line for line in text.strip("\n").splitlines())
    return f"map: {source}_{to}\nfrom: {source}\nto: {to}\n{head}rows:\n{body}\n"


@dataclass
class Out:
    """What a segment map gave, the same both ways."""

    body: dict[str, Any]
    flags: list[Flag]
    cleared: list[str]
    held: Flag | None
    drafts: list[Draft] = field(default_factory=list)
    labels: dict[str, list[str]] = field(default_factory=dict)
    keys: tuple[Any, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.body[name]

    def __contains__(self, name: str) -> bool:
        return name in self.body

    @property
    def codes(self) -> list[str]:
        return [f.code for f in self.flags]


def message_of(text: str) -> Message:
    lines = [line.strip() for line in text.strip().splitlines()]
    if not lines[0].startswith("MSH"):
        lines.insert(0, MSH)
    return parse("\r".join(lines).encode() + b"\r", charset="utf-8")


def run_segment(maps: Maps, name: str, text: str, site: str = "standard") -> Out:
    """Run a segment map over a few segments, fast and traced, and hold the two against each other."""
    message = message_of(text)
    results = []
    for kind in (Run, TracedRun):
        program = maps.program(site, trace=kind is TracedRun)
        sender = program.sender(authority_of(headers(message)))
        x = kind(message, sender, maps.terminology.tables, {}, unkeyed)
        m = program.resolved[name]
        scope = scope_of(Group("", "", list(message.segments)))
        segment = next(s for s in message.segments if s.name == m.source)
        o: dict[str, Any] = {}
        labels: dict[str, list[str]] = {}
        program.program.segment(name)(segment, scope, x, o, labels)
        if x.contained:
            o["contained"] = x.contained
        keys = program.program.key(name)(segment, scope, x, o, labels) if m.key else ()
        cleared = [str(c) for c in x.cleared]
        results.append(Out(plain(o), list(x.flags), cleared, x.held, x.drafts, labels, keys))
    fast, slow = results
    assert fast.body == slow.body
    assert fast.codes == slow.codes
    assert (fast.cleared, fast.labels) == (slow.cleared, slow.labels)
    assert [d.body for d in fast.drafts] == [plain(d.body) for d in slow.drafts]
    return fast


def small(
    text: str, segments: str, to: str = "Patient", source: str = "PID", site: str = "", **top: str
) -> Out:
    """Compile and run a map of some rows."""
    maps = maps_of(rows(text, to, source, **top), sites=[site] if site else [])
    return run_segment(maps, f"{source}_{to}", segments, next(iter(maps.sites), "standard"))


def build(maps: Maps, text: str, site: str = "standard", entry: str = "entry") -> Built:
    """Run a whole message, fast and traced, and hold the two against each other."""
    message = message_of(text)
    fast = map_message(message, maps.program(site), unkeyed, entry)
    slow = map_message(message, maps.program(site, trace=True), unkeyed, entry, TracedRun)
    assert [d.body for d in fast.drafts] == [plain(d.body) for d in slow.drafts]
    assert [(d.id, d.cleared, d.labels) for d in fast.drafts] == [
        (d.id, d.cleared, d.labels) for d in slow.drafts
    ]
    assert [f.code for f in fast.flags] == [f.code for f in slow.flags]
    return fast


def of_type(built: Built, kind: str) -> list[dict[str, Any]]:
    return [d.body for d in built.drafts if d.type == kind]
