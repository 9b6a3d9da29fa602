"""A long X12 file converted: each transaction set's bundle and report written while they are made.

In: a file of some megabytes of claims or payments. Out: the same files as for any other, without ever holding
a transaction set whole.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from engine.cli.converted import internal_error
from engine.cli.convertlong import _List, _report, _write
from engine.kernel.errors import HubError
from engine.mapping.from_x12 import Sent
from engine.mapping.project import Maps
from engine.mapping.x12pieces import several, trace_long, transaction_sets

__all__ = ["convert_sets"]

Say = Callable[[int, str, str], None]
"""(number of the transaction set, location, reason) of what cannot be converted."""


def convert_sets(file: BinaryIO, maps: Maps, site: str, out: Path, stem: str, say: Say) -> None:
    """Convert every transaction set of a long file into two files below `out`."""
    many = several(file)
    file.seek(0)
    number = 0
    for number, pieces in enumerate(transaction_sets(file), 1):
        name = f"{stem}.{number}" if many else stem
        try:
            _one(number, pieces, maps.of("x12"), site, out / f"{name}.json", out / f"{name}.report.json")
        except OSError:
            raise
        except Exception as e:  # whatever is wrong with it, its neighbours go on
            where, why = (e.where, str(e)) if isinstance(e, HubError) else ("", internal_error(e))
            report = {**_head(""), "mapped": [], "unmapped": [], "warnings": []}
            report["errors"] = [{"source": where, "text": why}]
            (out / f"{name}.report.json").write_bytes(orjson.dumps(report))
            say(number, where or "-", why)
            for _ in pieces:
                pass
    if not number:
        say(1, "-", "nothing to convert in this x12 file")


def _head(kind: str) -> dict[str, Any]:
    return {"source_format": "x12", "document_type": kind}


def _one(number: int, pieces: Iterator[Sent], maps: Maps, site: str, bundle: Path, report: Path) -> None:
    first = next(pieces)
    name = site if site in maps.sites else maps.site_for(first.headers).name
    key = hashlib.sha256(f"{number}|".encode() + first.raw).hexdigest()[:32]
    head = {**_head(first.type), "site": name, "revision": maps.program(name, trace=True).revision}
    notes: dict[str, list[dict[str, Any]]] = {"warnings": [], "errors": []}
    made = bundle.with_suffix(".part")

    def all_of_it() -> Iterator[Sent]:
        yield first
        yield from pieces

    try:
        with tempfile.TemporaryFile() as mapped, tempfile.TemporaryFile() as unmapped, made.open("wb") as to:
            lists = _List(mapped), _List(unmapped)
            to.write(b'{"resourceType":"Bundle","type":"transaction","entry":[')
            entries, asked = _List(to), set[int]()
            for piece in trace_long(all_of_it(), maps, name, key):
                _write(piece, entries, asked, lists, notes)
            to.write(b"\n]}\n")
            _report(report, head, notes, mapped, unmapped)
        made.replace(bundle)
    except BaseException:
        made.unlink(missing_ok=True)
        raise
