"""A long document converted: the bundle and the report written while they are made.

In: the bytes of a CDA document of some megabytes. Out: the same two files as for any other, without ever
being held whole: memory is that of the parsed document and of some hundred statements.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from engine.cli.converted import internal_error
from engine.fhir import jsonio
from engine.fhir.bundle import transaction
from engine.fhir.validate import validate
from engine.formats.cda.document import parse
from engine.kernel.errors import HubError
from engine.mapping.convert import trace_pieces
from engine.mapping.from_cda import type_text
from engine.mapping.pieces import LONG, Piece
from engine.mapping.project import Maps

__all__ = ["LONG", "Refused", "convert_long"]


class Refused(Exception):
    """The document cannot be converted: where, and why without a word of it."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(where, why)
        self.where, self.why = where, why


class _List:
    """A JSON list written entry by entry."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.some = file, False

    def add(self, entries: Iterable[bytes]) -> None:
        for entry in entries:
            self.file.write(b",\n" if self.some else b"\n")
            self.file.write(entry)
            self.some = True


def convert_long(data: bytes, maps: Maps, site: str, bundle: Path, report: Path) -> None:
    """Convert a long CDA document into two files. Raises Refused; then there is a report and no bundle."""
    head: dict[str, Any] = {"source_format": "cda", "document_type": ""}
    notes: dict[str, list[dict[str, Any]]] = {"warnings": [], "errors": []}
    key = hashlib.sha256(b"1|" + data).hexdigest()[:32]
    made = bundle.with_suffix(".part")
    try:
        document = parse(data)
        del data
        head["document_type"] = type_text(document)
        cda = maps.of("cda")
        x, revision, parts = trace_pieces(document, cda, site if site in cda.sites else "", key)
        head |= {"site": x.sender.name, "revision": revision}
        notes["warnings"] = [{"source": "/", "text": r.text, "code": r.code} for r in document.repairs]
        with tempfile.TemporaryFile() as mapped, tempfile.TemporaryFile() as unmapped, made.open("wb") as out:
            lists = _List(mapped), _List(unmapped)
            out.write(b'{"resourceType":"Bundle","type":"transaction","entry":[')
            entries, asked = _List(out), set[int]()
            for part in parts:
                _write(part, entries, asked, lists, notes)
            out.write(b"\n]}\n")
            _report(report, head, notes, mapped, unmapped)
        made.replace(bundle)
    except Exception as e:  # whatever is wrong with it, its neighbours go on
        made.unlink(missing_ok=True)
        if isinstance(e, OSError):
            raise
        where, why = (e.where, str(e)) if isinstance(e, HubError) else ("", internal_error(e))
        notes["errors"].append({"source": where, "text": why})
        report.write_bytes(orjson.dumps({**head, "mapped": [], "unmapped": [], **notes}))
        raise Refused(where, why) from None


def _write(
    part: Piece,
    entries: _List,
    asked: set[int],
    lists: tuple[_List, _List],
    notes: dict[str, list[dict[str, Any]]],
) -> None:
    done = transaction(part.built.drafts, asked=asked).get("entry", ())
    entries.add(jsonio.dumps(entry) for entry in done)
    for entry in done:
        for p in validate(entry["resource"]):
            notes["errors"].append({"source": p.path, "text": p.text, "code": p.code})
    mapped, unmapped = lists
    mapped.add(
        orjson.dumps({"source": m.source, "target": m.target, "row": m.row}) for m in part.report.mapped
    )
    unmapped.add(
        orjson.dumps({"source": u.source, "value": u.value, "why": u.why}) for u in part.report.unmapped
    )
    notes["warnings"] += [
        {"source": f.where, "text": f.text or f.code, "code": f.code} for f in part.built.flags
    ]
    held = part.built.held
    if held is not None and not any(w["text"].startswith("would be parked") for w in notes["warnings"]):
        text = f"would be parked: {held.text}"
        notes["warnings"].append({"source": held.where, "text": text, "code": held.code})


def _report(
    path: Path,
    head: dict[str, Any],
    notes: dict[str, list[dict[str, Any]]],
    mapped: BinaryIO,
    unmapped: BinaryIO,
) -> None:
    with path.open("wb") as out:
        out.write(orjson.dumps(head)[:-1])
        for name, file in (("mapped", mapped), ("unmapped", unmapped)):
            out.write(b',\n"' + name.encode() + b'":[')
            file.seek(0)
            while block := file.read(1 << 20):
                out.write(block)
            out.write(b"]")
        for name, found in notes.items():
            out.write(b',\n"' + name.encode() + b'":' + orjson.dumps(found))
        out.write(b"}\n")
