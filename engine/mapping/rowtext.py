"""Changing rows in the text of a map or site file: lines of changed rows are written anew, all others stay.

In: the text of a YAML file and the rows that differ. Out: the new text. Where a row begins and ends is
taken from the YAML reader; comments above a row stay, those inside it travel with its entries.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml
from yaml.nodes import MappingNode, Node

from engine.kernel.errors import MapError
from engine.mapping.entries import Entry, yaml_lines

__all__ = ["change_rows", "site_change"]


def _child(node: Node | None, key: str) -> tuple[Node, Node] | None:
    if isinstance(node, MappingNode):
        for k, v in node.value:
            if k.value == key:
                return k, v
    return None


def change_rows(text: str, path: tuple[str, ...], changed: Mapping[str, Entry | None]) -> str:
    """Replace, add or take out (None) rows of the block at `path`. Raises MapError if it is none."""
    lines = text.splitlines()
    node: Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    for key in path:
        found = _child(node, key)
        if found is None or not isinstance(found[1], MappingNode) or found[1].flow_style:
            raise MapError(
                f"{'.'.join(path)} is not a block of rows", remedy="put each row on a line of its own"
            )
        node = found[1]
    assert isinstance(node, MappingNode)
    rows = [(k.value, k.start_mark.line) for k, _ in node.value]
    indent = node.value[0][0].start_mark.column
    ends = [line for _, line in rows[1:]] + [_end(lines, rows[-1][1], indent)]
    column = _column(node)
    edits: list[tuple[int, int, list[str]]] = []
    there = set()
    for (key, start), end in zip(rows, ends, strict=True):
        there.add(key)
        if key in changed:
            e = changed[key]
            stop = _content_end(lines, start, end)
            edits.append((start, stop, [] if e is None else yaml_lines(e, indent, column)))
    last = _content_end(lines, rows[-1][1], ends[-1])
    added = [
        line for key, e in changed.items() if key not in there and e for line in yaml_lines(e, indent, column)
    ]
    edits.append((last, last, added))
    for start, stop, new in sorted(edits, key=lambda x: x[0], reverse=True):
        lines[start:stop] = new
    return "\n".join(lines) + "\n"


def _end(lines: list[str], start: int, indent: int) -> int:
    """Return the line after the last one that is indented as deep as a block."""
    for n in range(start + 1, len(lines)):
        bare = lines[n].lstrip()
        if bare and not bare.startswith("#") and len(lines[n]) - len(bare) < indent:
            return n
    return len(lines)


def _content_end(lines: list[str], start: int, end: int) -> int:
    """Return the line after a row's last that is neither blank nor comment: those belong to what follows."""
    while end - 1 > start and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return end


def _column(node: MappingNode) -> int:
    """Return the column where most values of a block stand."""
    columns = [v.start_mark.column for k, v in node.value if v.start_mark.line == k.start_mark.line]
    return max(set(columns), key=columns.count) if columns else 0


def site_change(text: str, name: str, changed: Mapping[str, Entry | None], below: Mapping[str, Entry]) -> str:
    """Write the rows that differ from the layer below into `change:` of a site; others are taken out."""
    wanted: dict[str, Entry | None] = {}
    for key, e in changed.items():
        base = below.get(key)
        if e is None:
            wanted[key] = Entry("element", key, {"from": "skip"}) if base is not None else None
        else:
            wanted[key] = None if base is not None and base.said == e.said else _delta(e, base)
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    change = _child(node, "change")
    new = {k: e for k, e in wanted.items() if e is not None}
    if change is None or not isinstance(change[1], MappingNode):
        return text.rstrip("\n") + "\n\nchange:\n" + _block(name, new) if new else text
    inside = _child(change[1], name)
    if inside is None:
        if not new:
            return text
        lines = text.splitlines()
        end = _content_end(lines, change[0].start_mark.line, _end(lines, change[0].start_mark.line, 1))
        return "\n".join([*lines[:end], *_block(name, new).splitlines(), *lines[end:]]) + "\n"
    left = {k.value for k, _ in inside[1].value if wanted.get(k.value, k) is not None} | new.keys()
    if left:
        return change_rows(text, ("change", name), wanted)
    if len(change[1].value) > 1:
        return change_rows(text, ("change",), {name: None})
    return change_rows(text, (), {"change": None})


def _block(name: str, rows: Mapping[str, Entry]) -> str:
    lines = [f"  {name}:", *(line for e in rows.values() for line in yaml_lines(e, 4))]
    return "\n".join(lines) + "\n"


def _delta(e: Entry, base: Entry | None) -> Entry:
    """Return what a site must say for a row: of a table that keeps its head, only the cases that differ."""
    if base is None or "by" not in e.words or e.words != base.words:
        return e
    before = {i.key: i for i in base.inside}
    others = [i for i in e.inside if i.kind != "case"], [i for i in base.inside if i.kind != "case"]
    now = {i.key for i in e.inside}
    if [i.said for i in others[0]] != [i.said for i in others[1]] or not set(before) <= now:
        return e
    cases = [
        i for i in e.inside if i.kind == "case" and (i.key not in before or before[i.key].said != i.said)
    ]
    guarded = any("when" in x.words for i in cases for x in (i, *i.inside))
    return e if guarded else Entry("element", e.key, {}, cases, e.place, e.comment)
