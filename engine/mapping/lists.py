"""Lists of a resource and what rows add to them: exact duplicates once, identifiers of one value merged.

In: a body, the labels of its lists, the entries of one row. Out: the body with them. Labels run parallel to
entries; they tell later rows, links and inline tests which row made an entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["Mix", "kept", "put_entries", "put_list"]

Mix = Callable[[Any, Any], Any]
"""What becomes of a value that is there and one that says the same: the twin keeps the sources of both."""


def kept(have: Any, same: Any) -> Any:
    return have


def _same_identifier(a: Any, b: Any) -> bool:
    return (
        isinstance(a, dict)
        and isinstance(b, dict)
        and "value" in a
        and "system" in a
        and a.get("system") == b.get("system")
        and a["value"] == b.get("value")
    )


def put_list(
    o: dict[str, Any],
    labels: dict[str, list[str]],
    name: str,
    label: str,
    entries: list[Any],
    before: Mapping[str, tuple[str, ...]],
    mix: Mix = kept,
) -> None:
    """Append the entries of one labelled row: exact duplicates once, identifiers of one system and value
    merged."""
    have = o.get(name)
    if have is None:
        if len(entries) == 1:
            o[name], labels[name] = [entries[0]], [label]
            return
        have = o[name] = []
        labels[name] = []
    elif label and label in before.get(name, ()):
        return  # an earlier segment map of this resource filled it (ORC-2 precedes OBR-2)
    marks = labels[name]
    if name != "identifier" and len(have) + len(entries) > _MANY:
        n = len(have)
        _add_many(have, entries, mix)
        marks.extend([label] * (len(have) - n))
        return
    for e in entries:
        if _add(have, e, name, mix):
            marks.append(label)


def _add(have: list[Any], e: Any, name: str, mix: Mix) -> bool:
    """Append an entry unless the list has it; an Identifier known by system and value takes what it lacks."""
    for i, h in enumerate(have):
        if h == e:
            have[i] = mix(h, e)
            return False
        if name == "identifier" and _same_identifier(h, e):
            for k, v in e.items():
                if k not in h:
                    h[k] = v
            have[i] = mix(h, {k: v for k, v in e.items() if h.get(k) == v})
            return False
    have.append(e)
    return True


_MANY = 32
"""Entries of a list from which on they are told apart by their text: documents have sections of thousands."""


def _add_many(have: list[Any], entries: Sequence[Any], mix: Mix) -> None:
    """Append the entries that the list does not have."""
    known = {repr(h): i for i, h in enumerate(have)}
    for e in entries:
        i = known.setdefault(repr(e), len(have))
        if i == len(have):
            have.append(e)
        else:
            have[i] = mix(have[i], e)


def put_entries(o: dict[str, Any], name: str, entries: list[Any], mix: Mix = kept) -> None:
    """The same for a list inside an element, whose labels nobody keeps."""
    have = o.get(name)
    if have is None:
        if len(entries) == 1:
            o[name] = [entries[0]]
            return
        have = o[name] = []
    if name != "identifier" and len(have) + len(entries) > _MANY:
        _add_many(have, entries, mix)
        return
    for e in entries:
        _add(have, e, name, mix)
