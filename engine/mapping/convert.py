"""One message or document -> drafts, the fast way or the traced way: the pure pipeline that channels and `hub
convert` share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from engine.fhir.ids import name_uuid
from engine.formats.cda.document import Document
from engine.formats.hl7v2.groups import Group, arrange
from engine.formats.hl7v2.parse import Message
from engine.formats.hl7v2.structures import structure_for, tree
from engine.kernel.errors import MapError
from engine.kernel.uncollected import uncollected
from engine.mapping import traced
from engine.mapping.arrived import Arrived
from engine.mapping.build import Built, MessagePlan
from engine.mapping.fhir.rules import FhirRules
from engine.mapping.fhir.run import rules_in
from engine.mapping.from_cda import Later
from engine.mapping.lineage import Report, ignored_by, report
from engine.mapping.pieces import Piece, pieces
from engine.mapping.project import Maps, SiteProgram
from engine.mapping.run import Identify, Run, TracedRun
from engine.mapping.seen import Seen, watch
from engine.mapping.treearrived import cda_arrived
from engine.mapping.treerun import TracedTreeRun

__all__ = [
    "Conversion",
    "authority_of",
    "headers",
    "headers_of",
    "map_arrived",
    "map_message",
    "name_systems",
    "trace_arrived",
    "trace_message",
    "trace_pieces",
    "unkeyed",
]


_MOST_FIELDS = 100


@dataclass(slots=True)
class Conversion:
    """What `trace_message` gives: plain drafts, the report, and the revision that made them."""

    built: Built
    report: Report
    site: str
    revision: str
    systems: dict[str, str]  # coding systems as the sender named them -> the URIs they became
    seen: Seen | None = None  # of a watched run: what happened to every row


def unkeyed(kind: str, system: str, value: str) -> str:
    """Name a resource by its identity without a data key: for bundles that leave the hub at once."""
    return name_uuid(kind, system, value)


def headers(message: Message) -> dict[str, str]:
    """Return the MSH fields that sites match on, e.g. {"MSH-3": "ACMELIS"}."""
    msh = message.segment("MSH")
    return headers_of(msh.fields if msh is not None else [], message.delims.component)


def headers_of(fields: Sequence[str], component: str) -> dict[str, str]:
    """The same of the raw fields of MSH (`fields[3]` is MSH-3)."""
    return dict(_headers(tuple([fields[i] if len(fields) > i else "" for i in _MATCHED]), component))


_MATCHED = (3, 4, 5, 6, 11, 12)


@lru_cache(maxsize=1024)
def _headers(raws: tuple[str, ...], separator: str) -> dict[str, str]:
    """The same few senders say the same in every message."""
    out = {}
    for i, raw in zip(_MATCHED, raws, strict=True):
        out[f"MSH-{i}.1"] = raw.split(separator)[0]
        out[f"MSH-{i}"] = raw if i > 6 else out[f"MSH-{i}.1"]
    return out


def authority_of(h: dict[str, str]) -> str:
    """Return the name space private to a sender that says no assigning authority."""
    return f"urn:hub:sender:{h.get('MSH-3.1', '')}|{h.get('MSH-4.1', '')}"


def _tree(message: Message, program: SiteProgram, general: bool = False, map_: str = "") -> tuple[Any, Any]:
    plan = program.plan(map_) if map_ else program.plan_for(message.code, message.event)
    if plan is None and general and "ANY" in program.maps.messages:
        return program.plan("ANY"), Group("", "", list(message.segments))
    if plan is None:
        raise MapError(
            f"no map for {message.code}^{message.event}",
            where="MSH-9",
            remedy="write a message map under mappings/hl7v2/messages, with `for:` naming it",
        )
    structure = structure_for(message)
    if structure is None or structure.name != plan.message.structure:
        structure = tree(plan.message.structure) or structure
    return plan, arrange(message, structure)


def map_message(
    message: Message,
    program: SiteProgram,
    identify: Identify,
    entry_key: str,
    run: type[Run] = Run,
    map_: str = "",
) -> Built:
    """Map one message with the fast program; `map_` names a message map, else its type chooses one.

    Raises MapError where no map serves its type.
    """
    plan, tree_ = _tree(message, program, map_=map_)
    h = headers(message)
    x = run(message, program.sender(authority_of(h)), program.tables, {}, identify)
    x.cache, x.met = program.memory(message.delims)
    built: Built = plan.build(tree_, x, entry_key)
    program.quantities.add(built)
    return built


@uncollected()
def map_arrived(
    arrived: Arrived,
    program: SiteProgram,
    identify: Identify,
    entry_key: str,
    run: type[Run] | None = None,
    map_: str = "",
) -> Built:
    """Map a document or transaction set with the fast program, as `map_message` does a message."""
    plan = _plan(arrived, program, map_)
    x = (run or arrived.run)(arrived, program.sender(arrived.authority), program.tables, {}, identify)
    built = _built(arrived, plan, x, entry_key)
    program.quantities.add(built)
    return built


def _built(arrived: Arrived, plan: MessagePlan | FhirRules, x: Any, entry_key: str) -> Built:
    """Make the drafts: by the lines of a message map, or by the rules of what is FHIR already."""
    if isinstance(plan, FhirRules):
        made: Built = x.build(plan, entry_key)
        return made
    return plan.build(arrived.scope, x, entry_key)


@uncollected()
def trace_arrived(
    arrived: Arrived,
    maps: Maps,
    site: str,
    entry_key: str,
    identify: Identify = unkeyed,
    map_: str = "",
    run: type[TracedRun] | None = None,
) -> Conversion:
    """Map a document or transaction set with the traced twin and report on every place in it."""
    kind = run or arrived.traced_run
    program = maps.program(site, trace=True, watch=kind.watching)
    plan = _plan(arrived, program, map_)
    x = kind(arrived, program.sender(arrived.authority), program.tables, {}, identify)
    seen = watch(x, program.program.rows)
    built = _built(arrived, plan, x, entry_key)
    message = plan if isinstance(plan, FhirRules) else plan.message
    found = arrived.report(built, x, program.program.rows, program.resolved, message)
    for d in built.drafts:
        d.body = traced.plain(d.body)
        d.keys = tuple((str(s), str(v)) for s, v in d.keys)
    program.quantities.add(built)
    return Conversion(built, found, site, program.revision, x.systems, seen)


def trace_pieces(
    document: Document, maps: Maps, site: str, entry_key: str, identify: Identify = unkeyed
) -> tuple[TracedTreeRun, str, Iterator[Piece]]:
    """Map a long CDA document as `trace_arrived` does, piece by piece: (run, revision, pieces)."""
    later: Later = []
    arrived = cda_arrived(document, later)
    program = maps.program(site or maps.site_for(arrived.headers).name, trace=True)
    plan = _plan(arrived, program, "")
    assert not isinstance(plan, FhirRules)
    x = TracedTreeRun(arrived, program.sender(arrived.authority), program.tables, {}, identify)
    return x, program.revision, pieces(arrived, later, plan, x, entry_key, program.resolved)


def _plan(arrived: Arrived, program: SiteProgram, map_: str) -> MessagePlan | FhirRules:
    if arrived.format == "fhir":
        return rules_in(program.maps.messages, map_)
    if map_:
        return program.plan(map_)
    for kind in arrived.kinds:
        plan = program.plan_for(kind, "")
        if plan is not None:
            return plan
    raise MapError(
        f"no map for {arrived.format} {arrived.kinds[0]}",
        where=arrived.format,
        remedy=f"write a message map under mappings/{arrived.format}, with `for:` naming it",
    )


def name_systems(done: Conversion, base: str) -> None:
    """Keep in the MessageHeader of a bundle how the sender named the coding systems that became URIs.

    A receiver can then see what `HL70364` or `L` was taken for; the names stand nowhere else in FHIR. `base`:
    what the hub's own URLs begin with.
    """
    names = [
        {
            "url": f"{base}/id/coding-system-meant",
            "extension": [{"url": "name", "valueString": name}, {"url": "system", "valueUri": uri}],
        }
        for name, uri in done.systems.items()
        if name != uri
    ]
    header = next((d for d in done.built.drafts if d.type == "MessageHeader"), None)
    if header is not None and names:
        header.body.setdefault("extension", []).extend(names)


def trace_message(
    message: Message,
    maps: Maps,
    site: str,
    entry_key: str,
    identify: Identify = unkeyed,
    general: bool = False,
    map_: str = "",
    run: type[TracedRun] = TracedRun,
) -> Conversion:
    """Map one message with the traced twin and report on every leaf; `map_` names a message map, else its
    type chooses one; `general` falls back on the map ANY, flagged."""
    program = maps.program(site, trace=True, watch=run.watching)
    plan, tree_ = _tree(message, program, general, map_)
    h = headers(message)
    x = run(message, program.sender(authority_of(h)), program.tables, {}, identify)
    seen = watch(x, program.program.rows)
    if plan.message.name == "ANY":
        x.flag(
            "no-map",
            "MSH[1]-9",
            f"no map for {message.code}^{message.event}: only what most messages share was converted",
        )
    built = plan.build(tree_, x, entry_key)
    names = [name for line in plan.message.resources for name in line.rows if name in program.resolved]
    ignored = ignored_by(program.resolved, names, plan.message.ignore)
    for name in names:
        if (m := program.resolved[name]).to in x.left_out:
            why = f"the store keeps no {m.to}: the journal has the message itself"
            for n in range(1, _MOST_FIELDS):
                ignored.setdefault((m.source, n, 0), why)
    found = report(message, built, x, program.program.rows, ignored, program.resolved, plan.message)
    for d in built.drafts:
        d.body = traced.plain(d.body)
        d.keys = tuple((str(s), str(v)) for s, v in d.keys)
    program.quantities.add(built)
    return Conversion(built, found, site, program.revision, x.systems, seen)
