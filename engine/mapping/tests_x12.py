"""Inline tests of maps that read X12: a few segments, a composite or a transaction set in, elements out.

In: the `in:` of a test, one segment a line, parted by `*`, components by `:`. For the map of a segment or
loop the lines are the segments of one loop; `2010BB/NM1*PR*...` stands in a loop of that name inside it,
`ST/BHT*...` beside. For a message map they are what stands between ST and SE, or a whole interchange. Out:
what the run made, for `tests_inline`.
"""

from __future__ import annotations

from typing import Any

from engine.formats.hl7v2.delims import Delims
from engine.formats.x12.segments import read_segments
from engine.formats.x12.tables import LoopRule, table
from engine.formats.x12.walk import Loop
from engine.kernel.errors import HubError
from engine.mapping.convert import unkeyed
from engine.mapping.from_x12 import NEVER, arrivals
from engine.mapping.model import MapDef, TestDef
from engine.mapping.project import SiteProgram
from engine.mapping.traced import Address, TStr
from engine.mapping.x12run import TracedX12Run, X12Run
from engine.mapping.x12scope import LoopScope
from engine.mapping.x12types import X12

__all__ = ["run_segments", "run_transaction"]

_NOBODY = f"00*{'':10}"
_ISA = f"ISA*{_NOBODY}*{_NOBODY}*ZZ*{'SENDER':15}*ZZ*{'HUB':15}*260101*0000*^*00501*000000001*0*T*:~"


class _Loop:
    """One loop of a test, as a run asks for it."""

    charset, raw = "utf-8", b""

    def __init__(self, lines: list[str], source: str) -> None:
        self.delims = Delims("*", ":", "^", NEVER, NEVER)
        self.repairs: list[Any] = []
        self.segments: list[Any] = []
        own = Loop(_rule("" if source in ("ST", "BPR", "BHT") else _id(source)), None)
        inner: dict[str, Loop] = {}
        counts: dict[str, int] = {}
        for line in lines:
            ids, _, text = (
                line.rpartition("/") if line[:1].isdigit() or line.startswith("ST/") else ("", "", line)
            )
            segment = read_segments((_ISA + text.rstrip("~") + "~").encode())[0][1]
            segment.n = counts[segment.name] = counts.get(segment.name, 0) + 1
            loop = own if ids in ("", "ST", own.id) else inner.setdefault(ids, Loop(_rule(ids), own))
            loop.segments.append(segment)
            self.segments.append(segment)
        own.loops = list(inner.values())
        own.rule.items = [loop.rule for loop in own.loops]
        self.scope = LoopScope(own, None)
        self.names = self.scope.names


def _id(source: str) -> str:
    return source if source[:1].isdigit() else "0000"


def _rule(name: str) -> LoopRule:
    return LoopRule(name, "S", 0, 1, None)


def run_segments(program: SiteProgram, m: MapDef, test: TestDef, trace: bool) -> tuple[Any, Any, Any]:
    """Run a map over the segments of a loop, or over a composite: (run, value or elements, labels)."""
    lines = [line.strip() for line in test.source.strip().splitlines() if line.strip()]
    composite = not X12.is_segment(m.source)
    loop = _Loop([] if composite else lines, m.source)
    x = (TracedX12Run if trace else X12Run)(
        loop, program.sender("urn:hub:sender:test"), program.tables, {}, unkeyed
    )
    if composite:
        text = "".join(lines)
        raw: str = TStr(text, (Address(m.source, 1, 1, 1),)) if trace else text
        return x, program.program.datatype(m.name)(raw.split(":"), x), {}
    segment = loop.scope.near(m.source)
    if segment is None:
        remedy = f"begin a line of in: with {m.source}*"
        raise HubError(f"the test has no {m.source} segment", where=str(test.place), remedy=remedy)
    o: dict[str, Any] = {}
    labels: dict[str, list[str]] = {}
    x.where = f"{segment.name}[{segment.n}]"
    program.program.segment(m.name)(segment, loop.scope, x, o, labels)
    if x.contained:
        o["contained"] = x.contained
    return x, o, labels


def run_transaction(program: SiteProgram, test: TestDef, trace: bool) -> tuple[Any, Any]:
    """Run a message map over a transaction set: (run, what was built)."""
    text = test.source.strip()
    message = program.maps.messages[test.map]
    if not text.startswith("ISA"):
        lines = [line.strip().rstrip("~") for line in text.splitlines() if line.strip()]
        kind = table(message.triggers[0][0])
        guide = kind.guides[0]
        lines = [f"GS*{kind.functional}*S*R*20260101*0000*1*X*{guide}", f"ST*{kind.set_id}*1*{guide}", *lines]
        text = _ISA + "~".join([*lines, f"SE*{len(lines)}*1", "GE*1*1", "IEA*1*000000001"]) + "~"
    for one in arrivals(text.encode()):
        x = (one.traced_run if trace else one.run)(
            one, program.sender(one.authority), program.tables, {}, unkeyed
        )
        return x, program.plan(test.map).build(one.scope, x, "test")
    raise HubError("the test has no transaction set", where=str(test.place))
