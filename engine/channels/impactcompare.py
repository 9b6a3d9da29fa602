"""Two outcomes of one message compared in meaning: what the maps in force make of it, and what a draft would.

In: two `Work`s of the same entry. Out: `Effect`s: elements that differ, messages that would newly be parked
or no longer, flags and unknown codes that come or go. Ids and order do not count (`engine/fhir/diff.py`).
`what` never holds patient data; `was` and `becomes` may.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from engine.fhir.diff import Difference, diff
from engine.kernel.message import Draft, Flag, Gap, Work
from engine.mapping.lineage import names_of

__all__ = ["Effect", "effects"]

_INDEX = re.compile(r"\[\d+\]")
_TWICE = re.compile(r"^\w{3}\[\d+\] ?(?=\w{3}-)")  # `OBX[1]OBX-11`: the segment is said by the field
_CHOICES = (
    *("value", "effective", "onset", "abatement", "deceased", "multipleBirth", "medication", "occurrence"),
    *("performed", "timing", "product", "serviced", "location", "diagnosis", "procedure", "asNeeded", "rate"),
    *("dose", "content", "item", "age", "born", "entity", "used", "start", "due", "collected", "time"),
)
_GONE = object()


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that comes out otherwise. `names` and `at` say which resource and element, live and draft."""

    kind: str  # element, resource, written, parked, released, cause, flagged, unflagged, unknown, known
    what: str
    type: str = ""
    path: str = ""
    was: str = ""
    becomes: str = ""
    names: tuple[str, str] = ("", "")
    at: tuple[str, str] = ("", "")
    where: str = ""
    line: str = ""  # the resource's line in the message map


def effects(live: Work, draft: Work) -> list[Effect]:
    """Return how two outcomes of one entry differ; nothing where they mean the same."""
    found = [*_parked(live.parked, draft.parked)]
    if not found and live.parked is None:
        found += _resources(live.drafts, draft.drafts)
    found += _flags(live.flags, draft.flags)
    found += _gaps(live.gaps, draft.gaps)
    if not live.parked and not draft.parked and len(live.moves) != len(draft.moves):
        found.append(Effect("written", "moves another number of records to another patient"))
    return found


def _parked(live: Flag | None, draft: Flag | None) -> Iterator[Effect]:
    if live is None and draft is not None:
        yield Effect("parked", f"now parked: {draft.code} at {_plain(draft.where)}", where=draft.where)
    elif live is not None and draft is None:
        yield Effect("released", f"no longer parked: {live.code} at {_plain(live.where)}", where=live.where)
    elif live is not None and draft is not None:
        was, becomes = (f"{f.code} at {_plain(f.where)}" for f in (live, draft))
        if was != becomes:
            yield Effect("cause", f"parked for another cause: {was} → {becomes}", where=draft.where)


def _flags(live: Iterable[Flag], draft: Iterable[Flag]) -> Iterator[Effect]:
    before, after = Counter(_said(f) for f in live), Counter(_said(f) for f in draft)
    for code, where in sorted((after - before).keys()):
        yield Effect("flagged", f"newly flagged: {code} at {where}", where=where)
    for code, where in sorted((before - after).keys()):
        yield Effect("unflagged", f"no longer flagged: {code} at {where}", where=where)


def _said(flag: Flag) -> tuple[str, str]:
    return flag.code, _plain(flag.where)


def _gaps(live: Iterable[Gap], draft: Iterable[Gap]) -> Iterator[Effect]:
    before = Counter((g.table, g.field, g.code) for g in live)
    after = Counter((g.table, g.field, g.code) for g in draft)
    for kind, words, left in (
        ("unknown", "a code newly unknown", after - before),
        ("known", "a code no longer unknown", before - after),
    ):
        for table, field, code in sorted(left.keys()):
            asked = f" to {table}" if table else ""
            was, becomes = ("", code) if kind == "unknown" else (code, "")
            yield Effect(kind, f"{words}{asked}: {field}", was=was, becomes=becomes, where=field)


def _resources(live: Sequence[Draft], draft: Sequence[Draft]) -> Iterator[Effect]:
    names = names_of([*live]), names_of([*draft])
    before = {(d.type, d.id): i for i, d in enumerate(live)}
    after = {(d.type, d.id): i for i, d in enumerate(draft)}
    if before.keys() == after.keys():
        for key, i in before.items():
            j = after[key]
            yield from _written(live[i], draft[j], (names[0][i], names[1][j]))
            if live[i].body != draft[j].body:
                found = diff({**live[i].body, "id": key[1]}, {**draft[j].body, "id": key[1]})
                yield from _elements(found, key[0], (names[0][i], names[1][j]), live[i].name)
        return
    numbered = [_numbered(side) for side in (live, draft)]
    by_resource: dict[str, list[Difference]] = {}
    for d in diff(_bundle(live), _bundle(draft)):
        head = re.match(r"\w+\[\d+\]", d.path)
        if head is not None and "(entry)" not in d.path:
            by_resource.setdefault(head[0], []).append(d)
    for name, found in by_resource.items():
        sides = tuple(names[n][numbered[n][name]] if name in numbered[n] else "" for n in (0, 1))
        kind = name.partition("[")[0]
        of = live[numbered[0][name]] if name in numbered[0] else draft[numbered[1][name]]
        yield from _elements(found, kind, (sides[0], sides[1]), of.name)


def _numbered(drafts: Sequence[Draft]) -> dict[str, int]:
    seen: Counter[str] = Counter()
    out = {}
    for i, d in enumerate(drafts):
        out[f"{d.type}[{seen[d.type]}]"] = i
        seen[d.type] += 1
    return out


def _bundle(drafts: Sequence[Draft]) -> dict[str, Any]:
    entries = [
        {"fullUrl": f"{d.type}/{d.id}", "resource": {**d.body, "id": d.id}} for d in drafts
    ]  # references name resources so
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _written(live: Draft, draft: Draft, names: tuple[str, str]) -> Iterator[Effect]:
    if live.write != draft.write:
        what = f"{live.type} is written otherwise: {live.write} → {draft.write}"
        yield Effect("written", what, live.type, names=names, line=live.name)
    if set(live.cleared) != set(draft.cleared):
        differ = ", ".join(sorted(set(live.cleared) ^ set(draft.cleared)))
        yield Effect("written", f"{live.type}: explicit deletes differ: {differ}", live.type, names=names,
                     line=live.name)  # fmt: skip


def _elements(found: list[Difference], kind: str, names: tuple[str, str], line: str) -> Iterator[Effect]:
    """Turn the differences of one resource into effects; a choice that changes its type is one."""
    gone = {_choice(d.path): d for d in found if d.kind == "removed" and _choice(d.path)}
    came = {_choice(d.path): d for d in found if d.kind == "added" and _choice(d.path)}
    pairs = {key: (gone[key], came[key]) for key in gone.keys() & came.keys()}
    done = {id(d) for pair in pairs.values() for d in pair}
    for old, new in pairs.values():
        a, b = _inside(old.path), _inside(new.path)
        what = f"{kind}.{_plain(a)} → {_plain(b)}"
        texts = _text(old.left), _text(new.right)
        yield Effect("element", what, kind, _plain(b), *texts, names, (a, b), line=line)
    for d in found:
        if id(d) in done:
            continue
        path = _inside(d.path)
        left = _GONE if d.kind == "added" else d.left
        right = _GONE if d.kind == "removed" else d.right
        if not path:
            words = {"added": "newly made", "removed": "no longer made"}.get(d.kind, "another")
            yield Effect("resource", f"{kind} {words}", kind, "", names=names, line=line)
            continue
        what = f"{kind}.{_plain(path)} {d.kind}"
        yield Effect(
            "element", what, kind, _plain(path), _text(left), _text(right), names, (path, path), line=line
        )


def _choice(path: str) -> str:
    """Name the choice that a path ends in: `Observation.value`; empty where it ends in none."""
    head, _, last = path.rpartition(".")
    for word in _CHOICES:
        if last.startswith(word) and last[len(word) : len(word) + 1].isupper():
            return f"{head}.{word}"
    return ""


def _inside(path: str) -> str:
    """Return the path inside the resource, with indexes."""
    return path.partition(".")[2]


def _plain(path: str) -> str:
    return _INDEX.sub("", _TWICE.sub("", path)).strip()


def _text(value: Any) -> str:
    """Write a value for a person, short."""
    if value is _GONE:
        return ""
    if isinstance(value, dict):
        parts = (f"{k} {_text(v)}" for k, v in value.items() if k not in ("id", "resourceType"))
        text = ", ".join(parts)
    elif isinstance(value, list):
        text = "; ".join(_text(v) for v in value)
    else:
        text = str(value)
    return text if len(text) <= 120 else text[:119] + "…"
