"""References to what an element of a document became: written when all its resources are there.

In: the resources of a document with their elements, and the References that rows left open (`as: made_here`).
Out: the same bodies with the References in place; one that finds nothing goes, with what it leaves empty.
What an element became are the resources that stand on it, else those of the nearest elements inside it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from engine.formats.xml.nodes import Node as Element
from engine.mapping.links import Node
from engine.mapping.run import Run

__all__ = ["Made", "became", "nearest", "open_ones", "refer"]

Made = dict[Element, list[tuple[str, str]]]  # element -> (type, Reference) of what stands on it


def became(nodes: Iterable[Node], x: Run) -> Made:
    """Give what elements became: the resources of lines, and those that rows made."""
    made: Made = defaultdict(list)
    for n in nodes:
        if n.draft.type != "Provenance":  # it tells of what an element became, and is none of it
            made[n.segment].append((n.draft.type, x.reference(n.draft.type, n.draft.id)["reference"]))
    types = {x.reference(d.type, d.id)["reference"]: d.type for d in x.drafts}
    for (_, element), ref in x.made.items():
        if isinstance(element, Element) and ref.get("reference", "") in types:
            made[element].append((types[ref["reference"]], ref["reference"]))
    return made


def refer(nodes: list[Node], x: Run, made: Made | None = None) -> None:
    """Write the open References of a document, or of a piece of it; a Provenance of nothing goes."""
    waiting = getattr(x, "waiting", None)
    if not waiting:
        return
    if made is None:
        made = became(nodes, x)
    for draft in {d.id: d for d in (*(n.draft for n in nodes), *x.drafts)}.values():
        _fill(draft.body, made, waiting)
        for name, marks in draft.labels.items():
            entries = draft.body.get(name)
            if isinstance(entries, list) and len(entries) != len(marks):
                label = marks[0] if marks else ""
                draft.labels[name] = (*marks, *([label] * len(entries)))[: len(entries)]
        if draft.type == "Composition":
            _sections(draft.body, x)
    nodes[:] = [n for n in nodes if n.draft.type != "Provenance" or "target" in n.draft.body]


def _fill(value: dict[str, Any], made: Made, waiting: dict[int, Any]) -> None:
    for k, v in list(value.items()):
        if isinstance(v, dict):
            if _open(v):
                if v["n"] not in waiting:  # of the header of a long document: it waits for the last piece
                    continue
                found = _found(v, made, waiting)
                if found:
                    value[k] = found[0]
                else:
                    del value[k]
                continue
            _fill(v, made, waiting)
            if not v:
                del value[k]
        elif isinstance(v, list) and v and isinstance(v[0], dict | list):
            out: list[Any] = []
            seen: set[str] = set()
            for e in v:
                if isinstance(e, dict) and _open(e) and e["n"] not in waiting:
                    out.append(e)
                    continue
                if isinstance(e, dict) and _open(e):
                    for f in _found(e, made, waiting):
                        if f["reference"] not in seen:
                            seen.add(f["reference"])
                            out.append(f)
                    continue
                if isinstance(e, dict):
                    _fill(e, made, waiting)
                    if not e:
                        continue
                out.append(e)
            if out:
                value[k] = out
            else:
                del value[k]


def open_ones(value: Any) -> bool:
    """Say whether a body holds a Reference that waits."""
    if isinstance(value, dict):
        return _open(value) or any(map(open_ones, value.values()))
    return isinstance(value, list) and any(map(open_ones, value))


def _open(v: dict[str, Any]) -> bool:
    return "n" in v and v.get("reference") == ""


def _found(v: dict[str, Any], made: Made, waiting: dict[int, Any]) -> list[dict[str, Any]]:
    _, element, targets = waiting[v["n"]]
    rest = {k: w for k, w in v.items() if k not in ("n", "reference")}
    found = dict.fromkeys(ref for _, ref in nearest(element, made, targets))
    return [{"reference": ref, **rest} for ref in found]


def nearest(element: Element, made: Made, targets: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Give (type, Reference) of what an element became: what stands on it, else the nearest inside it."""
    wanted = frozenset(targets)
    anything = not wanted or "Resource" in wanted
    out: list[tuple[str, str]] = []
    stack = [element]
    while stack:
        at = stack.pop()
        here = [found for found in made.get(at, ()) if anything or found[0] in wanted]
        if here:
            out += here
        else:
            stack.extend(reversed(at.children))
    return out


def _sections(body: dict[str, Any], x: Run) -> None:
    """Leave out sections that hold neither text nor entries nor sections (FHIR R4 cmp-1), flagged."""
    kept = []
    for s in body.get("section", ()):
        _sections(s, x)
        if s.keys() & {"text", "entry", "section"}:
            kept.append(s)
        else:
            x.flag("empty-section", "", "a section holds neither text nor entries: it was left out")
    if kept:
        body["section"] = kept
    else:
        body.pop("section", None)
