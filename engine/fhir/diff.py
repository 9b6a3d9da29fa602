"""Says how two FHIR R4 resources or Bundles differ in meaning, whatever ids and order they came with.

In: two resources or two Bundles. Out: differences with the path, what kind, and both values; none when they
mean the same. Resource ids, fullUrls, versions and times of writing do not count. Lists are matched by
content, not position, except texts whose order is read aloud (`given`, `line`, `prefix`, `suffix`).
References are equal when what they point to is matched. Digits of numbers count: 4.10 is not 4.1 (R4
datatypes.html, decimal).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from engine.fhir import jsonio
from engine.fhir.match import OF_THE_RUN, ORDERED, Side, best, link, pair, side_of, text_of

__all__ = ["Difference", "diff", "equal"]

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: `kind` is added (only right has it), removed (only left has it) or changed."""

    path: str
    kind: str
    left: Any = None
    right: Any = None

    def __str__(self) -> str:
        sides = {"added": (self.right,), "removed": (self.left,), "changed": (self.left, self.right)}[
            self.kind
        ]
        return f"{self.kind} {self.path}: {' -> '.join(jsonio.dumps(s).decode() for s in sides)}"


class _Comparison:
    """Two sides whose resources are matched, and the differences found so far."""

    def __init__(self, left: Side, right: Side, ignore: frozenset[str]) -> None:
        self.left = left
        self.right = right
        self.ignore = ignore
        self.found: list[Difference] = []
        self.homes: tuple[dict[str, Any], dict[str, Any]] = ({}, {})

    def texts(self, left: Any, right: Any, plain: str) -> tuple[str, str]:
        """Write both values so that matched references look the same."""
        return (
            text_of(
                left, self.left, self.homes[0], lambda i: str(self.left.partner.get(i, f"left {i}")), plain
            ),
            text_of(right, self.right, self.homes[1], str, plain),
        )

    def value(self, left: Any, right: Any, path: str, plain: str, kind: str) -> None:
        """Compare two values; `plain` is the path inside the resource without indexes."""
        if (
            plain in OF_THE_RUN
            or plain == "id"
            or plain == "contained.id"
            or f"{kind}.{plain}" in self.ignore
        ):
            return
        if left is _ABSENT:
            self.found.append(Difference(path, "added", right=right))
        elif right is _ABSENT:
            self.found.append(Difference(path, "removed", left=left))
        elif isinstance(left, dict) and isinstance(right, dict):
            for k in [*left, *(k for k in right if k not in left)]:
                inner = f"{plain}.{k}" if plain else k
                self.value(left.get(k, _ABSENT), right.get(k, _ABSENT), f"{path}.{k}", inner, kind)
        elif isinstance(left, list) and isinstance(right, list):
            self.items(left, right, path, plain, kind)
        else:
            a, b = self.texts(left, right, plain)
            if a != b:
                self.found.append(Difference(path, "changed", left, right))

    def items(self, left: list[Any], right: list[Any], path: str, plain: str, kind: str) -> None:
        """Compare two lists by content."""
        a = [self.texts(x, None, plain)[0] for x in left]
        b = [self.texts(None, x, plain)[1] for x in right]
        if plain.rsplit(".", 1)[-1] in ORDERED:
            if a != b:
                self.found.append(Difference(path, "changed", left, right))
            return
        spare: dict[str, list[int]] = {}
        for j, text in enumerate(b):
            spare.setdefault(text, []).append(j)
        ours, taken = [], set()
        for i, text in enumerate(a):
            if spare.get(text):
                taken.add(spare[text].pop(0))
            else:
                ours.append(i)
        theirs = [j for j in range(len(right)) if j not in taken]
        pairs = dict(best({i: left[i] for i in ours}, {j: right[j] for j in theirs}))
        for i in ours:
            other = right[pairs[i]] if i in pairs else _ABSENT
            self.value(left[i], other, f"{path}[{i}]", plain, kind)
        for j in theirs:
            if j not in pairs.values():
                self.value(_ABSENT, right[j], f"{path}[{j}]", plain, kind)


def diff(left: dict[str, Any], right: dict[str, Any], *, ignore: Iterable[str] = ()) -> list[Difference]:
    """Return the differences of two resources or two Bundles; `ignore` holds paths such as
    `Provenance.recorded`.

    Paths name a resource of a Bundle by its type and its place among those of its type:
    `Observation[2].status`.
    """
    sides = side_of(left), side_of(right)
    if sides[0].bundle is not sides[1].bundle:
        return [Difference("resourceType", "changed", left.get("resourceType"), right.get("resourceType"))]
    ours, theirs = sides
    if ours.bundle:
        pair(ours, theirs)
    else:
        link(ours, theirs, 0, 0)
    comparison = _Comparison(ours, theirs, frozenset(ignore))
    if ours.bundle:
        comparison.value(_around(left), _around(right), "Bundle", "", "Bundle")
    names = _names(ours), _names(theirs)
    for i, resource in enumerate(ours.resources):
        name = names[0][i]
        if i not in ours.partner:
            comparison.value(resource, _ABSENT, name, "", ours.kind(i))
            continue
        j = ours.partner[i]
        comparison.homes = (resource, theirs.resources[j])
        comparison.value(resource, theirs.resources[j], name, "", ours.kind(i))
        comparison.value(ours.around[i], theirs.around[j], f"{name}(entry)", "(entry)", ours.kind(i))
    for j, resource in enumerate(theirs.resources):
        if j not in theirs.partner:
            comparison.value(_ABSENT, resource, names[1][j], "", theirs.kind(j))
    return comparison.found


def _around(bundle: dict[str, Any]) -> dict[str, Any]:
    """Return what a Bundle says besides its entries and the time it was made."""
    held = isinstance(bundle.get("entry"), list)
    return {k: v for k, v in bundle.items() if k not in ("id", "timestamp") and not (k == "entry" and held)}


def _names(side: Side) -> list[str]:
    seen: Counter[str] = Counter()
    out = []
    for i in range(len(side.resources)):
        kind = side.kind(i) or "entry"
        out.append(f"{kind}[{seen[kind]}]" if side.bundle else kind)
        seen[kind] += 1
    return out


def equal(left: dict[str, Any], right: dict[str, Any], *, ignore: Iterable[str] = ()) -> bool:
    """Say whether two resources or two Bundles mean the same."""
    return not diff(left, right, ignore=ignore)
