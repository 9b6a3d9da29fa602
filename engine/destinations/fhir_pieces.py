"""What of a parcel goes to a FHIR server, and in which transactions (FHIR R4 http.html#transaction).

In: a Bundle `collection` of resources with our ids, and which of them are only mentioned. Out: pieces, and
groups of them that fit a transaction: what is referred to stands before what refers to it, and what refers to
each other in a circle stays together, so that no reference ever points at what is not there yet. Numbers keep
every digit: they are read as Decimal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.fhir import definitions, jsonio
from engine.kernel.delivery import Parcel
from engine.kernel.errors import FormatError

__all__ = ["Piece", "groups", "pieces", "with_references"]

_NAME = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")


@dataclass(frozen=True, slots=True)
class Piece:
    """One resource. `name` is its `Type/id` in our store, `version` the one it has there."""

    name: str
    body: dict[str, Any]
    version: int
    mentioned: bool
    refers: frozenset[str]  # names of ours that it refers to, itself not

    @property
    def type(self) -> str:
        """Its resource type."""
        return self.name.partition("/")[0]

    @property
    def id(self) -> str:
        """Its id in our store."""
        return self.name.partition("/")[2]


def pieces(parcel: Parcel) -> list[Piece]:
    """Read a parcel's resources. Raises FormatError for what is no Bundle of resources with ids."""
    bundle = jsonio.loads(parcel.body)
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise FormatError("the body is not a Bundle")
    mentioned = set(parcel.mentioned)
    found: dict[str, Piece] = {}
    for i, entry in enumerate(bundle.get("entry") or ()):
        held = entry.get("resource") if isinstance(entry, dict) else None
        body: dict[str, Any] = held if isinstance(held, dict) else {}
        name = f"{body.get('resourceType')}/{body.get('id')}"
        if not _NAME.fullmatch(name) or name.partition("/")[0] not in definitions.resource_types():
            raise FormatError("no resource with a type and an id", where=f"Bundle.entry[{i}]")
        if name in found:
            raise FormatError("two entries are the same resource", where=f"Bundle.entry[{i}]")
        found[name] = _piece(name, body, name in mentioned)
    return list(found.values())


def _piece(name: str, body: dict[str, Any], mentioned: bool) -> Piece:
    meta = body.get("meta") or {}
    version = str(meta.get("versionId", ""))
    # whose version and time these are: the server has its own
    kept = {k: v for k, v in meta.items() if k not in ("versionId", "lastUpdated")}
    rest = {k: v for k, v in body.items() if k not in ("resourceType", "id", "meta")}
    plain = {
        "resourceType": body["resourceType"],
        "id": body["id"],
        **({"meta": kept} if kept else {}),
        **rest,
    }
    refers: set[str] = set()

    def note(name: str) -> str:
        refers.add(name)
        return name

    with_references(plain, note)
    number = int(version) if version.isascii() and version.isdigit() else 0
    return Piece(name, plain, number, mentioned, frozenset(refers - {name}))


def with_references(value: Any, to: Callable[[str], str | dict[str, Any]]) -> Any:
    """Return a copy in which every reference to a `Type/id` is what `to` makes of it: an address, or the
    members that stand in its place. Attachments' addresses (`url`) are references to a Binary."""
    if isinstance(value, dict):
        made: dict[str, Any] = {}
        for k, v in value.items():
            named = _NAME.fullmatch(v) if isinstance(v, str) and k in ("reference", "url") else None
            if named is None or (k == "url" and named[1] != "Binary"):
                made[k] = with_references(v, to) if isinstance(v, (dict, list)) else v
                continue
            new = to(f"{named[1]}/{named[2]}")
            if isinstance(new, str):
                made[k] = new
            elif k == "reference":
                made.update({n: m for n, m in new.items() if n not in value})
            else:
                made[k] = v
        return made
    if isinstance(value, list):
        return [with_references(v, to) for v in value]
    return value


def groups(found: Sequence[Piece], most: int) -> list[list[Piece]]:
    """Cut pieces into transactions of at most so many; a circle that is longer is one transaction."""
    by_name = {one.name: one for one in found}
    made: list[list[Piece]] = []
    for circle in _circles({one.name: sorted(one.refers & by_name.keys()) for one in found}):
        if not made or len(made[-1]) + len(circle) > most:
            made.append([])
        made[-1] += [by_name[name] for name in circle]
    return [group for group in made if group]


def _circles(refers: Mapping[str, Sequence[str]]) -> Iterable[list[str]]:
    """Give the strongly connected parts, what is referred to first (R. Tarjan, 1972; without recursion)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on: set[str] = set()
    for start in refers:
        if start in number:
            continue
        walk = [(start, iter(refers[start]))]
        number[start] = low[start] = len(number)
        stack.append(start)
        on.add(start)
        while walk:
            name, rest = walk[-1]
            for other in rest:
                if other not in number:
                    number[other] = low[other] = len(number)
                    stack.append(other)
                    on.add(other)
                    walk.append((other, iter(refers[other])))
                    break
                if other in on:
                    low[name] = min(low[name], number[other])
            else:
                walk.pop()
                if walk:
                    low[walk[-1][0]] = min(low[walk[-1][0]], low[name])
                if low[name] == number[name]:
                    at = stack.index(name)
                    part, stack[at:] = stack[at:], []
                    on.difference_update(part)
                    yield part
