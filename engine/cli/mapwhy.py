"""`hub map why`: which row set this element, which row reads this field, and why nothing came of it.

In: an element (`Patient.name.use`) or a location (`PID-18`, `PID[1]-5[1].1`), perhaps a message. Out: rows
with their layer and `file:line`; for a location that reached nothing whether a map ignores it on purpose,
no row reads it, or a condition excluded it. Exit code 1 where nothing is known of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.cli.maps import open_program
from engine.cli.printing import print_json
from engine.formats.hl7v2.parse import parse
from engine.formats.hl7v2.split import split_messages
from engine.kernel.errors import HubError, MapError
from engine.mapping.convert import headers, trace_message
from engine.mapping.lineage import Report
from engine.mapping.project import Maps
from engine.mapping.whyrows import LEAF, why_rows

__all__ = ["map_why"]


def map_why(root: Path, what: str, file: Path | None, site: str = "", as_json: bool = False) -> int:
    """Print why an element or a location is what it is; returns the exit code."""
    location = LEAF.fullmatch(what)
    if file is not None:
        return _in_message(root, what, file, site, as_json)
    program = open_program(root, site)
    rows = why_rows(program, what)
    if not rows:
        raise MapError(
            f"no row {'reads' if location else 'sets'} {what}",
            remedy="" if location else "write it like Patient.name.use",
        )
    if as_json:
        print_json(rows)
        return 0
    for row in rows:
        said = "; ".join(filter(None, (row["said"], row["why"])))
        print(f"{row['place']}: {row['set_by']}: {row['map']}: {row['element']}: {said}")
    return 0


# -- in a message ----------------------------------------------------------------------------------


def _in_message(root: Path, what: str, file: Path, site: str, as_json: bool) -> int:
    try:
        data = file.read_bytes()
    except OSError as e:
        raise HubError("cannot read this file", where=str(file), why=e.strerror or "") from None
    maps = open_program(root, site).maps
    found = [
        {"message": n, **one}
        for n, record in enumerate(split_messages(data), 1)
        for one in _of(_traced(bytes(record.data), maps, site), what)
    ]
    if as_json:
        print_json(found)
        return 0 if found else 1
    for one in found:
        many = f"message {one['message']}: " if found[-1]["message"] != found[0]["message"] else ""
        place = f"   {one['place']}" if one["place"] else ""
        print(f"{many}{one['location']} -> {one['element'] or one['state']}: {one['why']}{place}")
    if not found:
        print(f"{what} is not in this message, and no row filled it")
    return 0 if found else 1


def _traced(data: bytes, maps: Maps, site: str) -> Report:
    message = parse(data)
    name = site or maps.site_for(headers(message)).name
    charset = next((s.charset for s in reversed(maps.chain(name)) if s.charset), "")
    if charset:
        message = parse(data, charset=charset)
    return trace_message(message, maps, name, "urn:hub:entry|0", general=True).report


def _of(made: Report, what: str) -> Iterator[dict[str, Any]]:
    """Give what the report says of a location, or of an element with or without its positions."""
    location = LEAF.fullmatch(what)
    element = re.sub(r"\(.*?\)", "", what)
    for m in made.mapped:
        hit = _covers(location, m.source) if location else _names(element, m.target)
        if hit:
            where = f"{m.place.layer} {m.place}" if m.place.file else ""
            yield _said(m.source, m.target, "mapped", f"set by row {m.row.split(' (')[0]}", where)
    for u in made.unmapped if location else ():
        if _covers(location, u.source):
            yield _said(u.source, "", u.state, u.why, "")


def _said(location: str, element: str, state: str, why: str, place: str) -> dict[str, Any]:
    return {"location": location, "element": element, "state": state, "why": why, "place": place}


def _covers(wanted: re.Match[str] | None, address: str) -> bool:
    """Say whether `PID-5` or `PID[1]-5[1].1` speaks of the leaf at an address."""
    leaf = LEAF.fullmatch(address)
    assert wanted is not None and leaf is not None
    return all(w is None or w == (x or "1") for w, x in zip(wanted.groups(), leaf.groups(), strict=True))


def _names(wanted: str, target: str) -> bool:
    if "[" not in wanted:
        target = re.sub(r"\[\d+\]", "", target)
    return target == wanted or target.startswith((f"{wanted}.", f"{wanted}["))
