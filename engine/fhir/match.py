"""Finds which resource, or which entry of a list, of one FHIR R4 Bundle means the same as which of another.

In: two Bundles (or single resources). Out: their resources in pairs. Resources are told apart by what they
say, what they point to and what points to them, each as a digest refined round by round, never by id; what
is left is paired by business identifier, then by how much it shares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

__all__ = [
    "OF_THE_RUN",
    "ORDERED",
    "Side",
    "best",
    "leaves",
    "likeness",
    "link",
    "pair",
    "side_of",
    "text_of",
]

ORDERED = frozenset({"given", "line", "prefix", "suffix"})
OF_THE_RUN = frozenset({"meta.versionId", "meta.lastUpdated"})


@dataclass(slots=True)
class Side:
    """The resources of one side, and where references to them lead."""

    bundle: bool
    resources: list[dict[str, Any]] = field(default_factory=list)
    around: list[dict[str, Any]] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    plain: list[str] = field(default_factory=list)
    colours: list[str] = field(default_factory=list)
    out: list[list[tuple[str, int]]] = field(default_factory=list)
    into: list[list[tuple[str, int]]] = field(default_factory=list)
    partner: dict[int, int] = field(default_factory=dict)

    def kind(self, i: int) -> str:
        return str(self.resources[i].get("resourceType", ""))


def side_of(source: dict[str, Any]) -> Side:
    """Take a resource or a Bundle apart."""
    side = Side(bundle=source.get("resourceType") == "Bundle")
    held = source.get("entry") if side.bundle else [{"resource": source}]
    for entry in held if isinstance(held, list) else ():
        around = dict(entry) if isinstance(entry, dict) else {"entry": entry}
        resource = around.get("resource")
        i = len(side.resources)
        if isinstance(resource, dict):
            del around["resource"]
            if "id" in resource:
                side.places[f"{resource.get('resourceType', '')}/{resource['id']}"] = i
        side.resources.append(resource if isinstance(resource, dict) else {})
        address = around.pop("fullUrl", None)
        if isinstance(address, str):
            side.places[address] = i
        if isinstance(around.get("request"), dict):
            around["request"] = _request(around["request"])
        side.around.append(around)
    return side


def _request(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request without the id it addresses; a condition stays: it holds a business identifier."""
    out = dict(request)
    url = str(out.get("url", ""))
    if "/" in url and "?" not in url:
        out["url"] = url.partition("/")[0] + "/*"
    return out


Pointer = Callable[[int], str]


def text_of(
    value: Any, side: Side, home: dict[str, Any], point: Pointer, path: str = "", depth: int = 0
) -> str:
    """Write a value so that equal meaning gives equal text; `point` names the target of a reference."""
    if isinstance(value, dict):
        parts = []
        for k in sorted(value):
            inner = f"{path}.{k}" if path else k
            if inner in OF_THE_RUN or (k == "id" and (not path or path == "contained")):
                continue
            parts.append(f"{k}:{text_of(value[k], side, home, point, inner, depth)}")
        return "{" + ",".join(parts) + "}"
    if isinstance(value, list):
        items = [text_of(v, side, home, point, path, depth) for v in value]
        return "[" + ",".join(items if path.rsplit(".", 1)[-1] in ORDERED else sorted(items)) + "]"
    if isinstance(value, str):
        if value in side.places:
            return f"->{point(side.places[value])}"
        inside = _contained(home, value)
        if inside is not None and depth < 4:
            return f"#>{text_of(inside, side, home, point, 'contained', depth + 1)}"
        return repr(value)
    return "null" if value is None else str(value)


def _contained(home: dict[str, Any], word: str) -> dict[str, Any] | None:
    if not word.startswith("#") or len(word) < 2:
        return None
    inside = home.get("contained")
    for c in inside if isinstance(inside, list) else ():
        if isinstance(c, dict) and c.get("id") == word[1:]:
            return c
    return None


def _digest(words: Iterable[str]) -> str:
    return blake2b("\x00".join(words).encode("utf-8", "replace"), digest_size=12).hexdigest()


def _edges(value: Any, side: Side, path: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(value, dict):
        for k, v in value.items():
            yield from _edges(v, side, f"{path}.{k}")
    elif isinstance(value, list):
        for v in value:
            yield from _edges(v, side, path)
    elif isinstance(value, str) and value in side.places:
        yield path, side.places[value]


def _colour(side: Side) -> None:
    """Give every resource two digests: of its content alone, and of that with all it is linked to."""
    numbers = range(len(side.resources))
    side.plain = [_digest([text_of(r, side, r, side.kind)]) for r in side.resources]
    side.out = [sorted(set(_edges(r, side))) for r in side.resources]
    side.into = [[] for _ in numbers]
    for i in numbers:
        for path, j in side.out[i]:
            side.into[j].append((path, i))
    colours, classes = side.plain, 0
    while len(set(colours)) > classes:
        classes = len(set(colours))
        colours = [
            _digest(
                [
                    colours[i],
                    *sorted(f">{path} {colours[j]}" for path, j in side.out[i]),
                    *sorted(f"<{path} {colours[j]}" for path, j in side.into[i]),
                ]
            )
            for i in numbers
        ]
    side.colours = colours


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for k, v in value.items():
            if k != "id" and k != "reference":
                yield from leaves(v, f"{path}.{k}")
    elif isinstance(value, list):
        for v in value:
            yield from leaves(v, path)
    else:
        yield path, str(value)


def likeness(a: Counter[tuple[str, str]], b: Counter[tuple[str, str]]) -> int:
    """Weigh what two values share: an identifier or code outweighs the rest."""
    return sum(n * _weight(path) for (path, _), n in (a & b).items())


def _weight(path: str) -> int:
    if path.startswith((".identifier.value", ".code.coding.code")):
        return 5
    return 3 if path in (".value", ".code", ".url", ".system") else 1


def best(left: dict[int, Any], right: dict[int, Any]) -> list[tuple[int, int]]:
    """Pair members of two groups, the most alike first; a lone pair needs no likeness."""
    if len(left) == 1 and len(right) == 1:
        return [(next(iter(left)), next(iter(right)))]
    ours = {i: Counter(leaves(v)) for i, v in left.items()}
    theirs = {j: Counter(leaves(v)) for j, v in right.items()}
    scored = sorted(
        (-score, abs(i - j), i, j)
        for i, a in ours.items()
        for j, b in theirs.items()
        if (score := likeness(a, b))
    )
    pairs: dict[int, int] = {}
    used: set[int] = set()
    for _, _, i, j in scored:
        if i not in pairs and j not in used:
            pairs[i] = j
            used.add(j)
    return list(pairs.items())


def link(left: Side, right: Side, i: int, j: int) -> None:
    """Note that two resources mean the same."""
    left.partner[i] = j
    right.partner[j] = i


def _alone(left: Side, right: Side, ours: list[str], theirs: list[str]) -> bool:
    """Pair resources whose word each side has exactly once among those still to be paired."""
    places: dict[str, list[int]] = {}
    for j, word in enumerate(theirs):
        if word and j not in right.partner:
            places.setdefault(word, []).append(j)
    often = Counter(word for i, word in enumerate(ours) if i not in left.partner)
    found = False
    for i, word in enumerate(ours):
        if i not in left.partner and often[word] == 1 and len(places.get(word, ())) == 1:
            link(left, right, i, places[word][0])
            found = True
    return found


def _spread(left: Side, right: Side) -> bool:
    """Pair what is linked, by the same element, to resources that are paired, where there is no doubt."""
    found = False
    for i, j in list(left.partner.items()):
        for ours, theirs in ((left.out[i], right.out[j]), (left.into[i], right.into[j])):
            for word in {(path, left.kind(n)) for path, n in ours}:
                a = [n for path, n in ours if n not in left.partner and (path, left.kind(n)) == word]
                b = [n for path, n in theirs if n not in right.partner and (path, right.kind(n)) == word]
                if len(a) == len(b) == 1:
                    link(left, right, a[0], b[0])
                    found = True
    return found


def _identifiers(side: Side) -> list[str]:
    out = []
    for i, r in enumerate(side.resources):
        held = r.get("identifier")
        items = held if isinstance(held, list) else [held]
        words = sorted(
            f"{x.get('system')}|{x.get('value')}" for x in items if isinstance(x, dict) and "value" in x
        )
        out.append(f"{side.kind(i)} {' '.join(words)}" if words else "")
    return out


def pair(left: Side, right: Side) -> None:
    """Pair the resources of two Bundles: the certain first, then what follows, then the likeliest."""
    for side in (left, right):
        _colour(side)
    names = _identifiers(left), _identifiers(right)
    words = ((left.colours, right.colours), (left.plain, right.plain), names)
    kinds = sorted({left.kind(i) for i in range(len(left.resources))})
    while True:
        found = True
        while found:
            found = any(_alone(left, right, a, b) for a, b in words) or _spread(left, right)
        if _twins(left, right):
            continue
        if not kinds:
            return
        kind = kinds.pop(0)
        ours = {i: r for i, r in enumerate(left.resources) if i not in left.partner and left.kind(i) == kind}
        theirs = {
            j: r for j, r in enumerate(right.resources) if j not in right.partner and right.kind(j) == kind
        }
        for i, j in best(ours, theirs):
            link(left, right, i, j)


def _twins(left: Side, right: Side) -> bool:
    """Pair one of several resources that are alike in all they say and are linked to; any of them will do."""
    for i, word in enumerate(left.colours):
        if i not in left.partner:
            for j, other in enumerate(right.colours):
                if word == other and j not in right.partner:
                    link(left, right, i, j)
                    return True
    return False
