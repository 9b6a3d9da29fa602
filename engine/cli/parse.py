"""`hub parse`: files as trees with addresses, names and offsets; with `--emit`, written back byte for byte.

HL7 v2, X12, CDA, SCRIPT and DICOM are told apart by content. What comes back differs from what came in only
where a message was damaged, and every damage is listed. The bytes around the HL7 v2 messages of a file (batch
headers, MLLP frame bytes) are not a message's and are not written back; an X12 file and an XML one are
written back whole.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from engine.cli.convert import expand, stems
from engine.cli.parse_dicom import parse_dicom
from engine.cli.parse_fhir import parse_fhir
from engine.cli.parse_package import parse_package
from engine.cli.parse_x12 import parse_x12
from engine.cli.parse_xml import parse_xml
from engine.formats.cda.recognise import is_xml
from engine.formats.content import HEAD, recognise
from engine.formats.hl7v2.parse import parse
from engine.formats.hl7v2.split import split_messages
from engine.formats.hl7v2.tree import to_json
from engine.formats.hl7v2.write import emit
from engine.kernel.errors import HubError

__all__ = ["parse_paths"]

Reader = Callable[[Path, str, Path | None], Iterator[dict[str, Any] | None]]


def parse_paths(paths: list[Path], emit_to: Path | None = None) -> int:
    """Print the trees of all messages as JSON, an array; returns 0 if all could be read, else 1."""
    bad = False
    files = expand(paths)
    if emit_to is not None:
        emit_to.mkdir(parents=True, exist_ok=True)
    out = sys.stdout.buffer
    opening = b"[\n"
    for file, stem in zip(files, stems(files), strict=True):
        trees = _reader(file)(file, stem, emit_to)
        try:
            for tree in trees:
                if tree is None:
                    bad = True
                    continue
                out.write(opening + orjson.dumps(tree, option=orjson.OPT_INDENT_2))
                opening = b",\n"
        except OSError as e:
            print(f"{file}, 0, -, cannot be read: {e.strerror}", file=sys.stderr)
            bad = True
    out.write(b"[]\n" if opening == b"[\n" else b"\n]\n")
    out.flush()
    return 1 if bad else 0


def _reader(file: Path) -> Reader:
    """Choose how a file is read, by its content; what is XML of another kind is refused in words."""
    try:
        with file.open("rb") as f:
            head = f.read(HEAD)
    except OSError:
        return _parse_v2  # reading it whole says why it cannot be read
    format = recognise(head)
    if format in ("cda", "ncpdp") or (not format and is_xml(head)):
        return parse_xml
    if format == "fhir":
        return parse_fhir
    if format == "dicom":
        return parse_dicom
    return parse_x12 if format == "x12" else parse_package if format == "xdm" else _parse_v2


def _parse_v2(file: Path, stem: str, emit_to: Path | None) -> Iterator[dict[str, Any] | None]:
    """Give the trees of a file's messages; None for one that could not be read and was named on stderr."""
    records = split_messages(file.read_bytes())
    if not records:
        print(f"{file}, 1, MSH, no HL7 v2 message and no X12 interchange found", file=sys.stderr)
        yield None
    for record in records:
        try:
            message = parse(record.data)
            tree = to_json(message)
            written = emit(message)
        except HubError as e:
            print(f"{file}, {record.number}, {e.where or '-'}, {e}", file=sys.stderr)
            yield None
            continue
        tree = {"file": str(file), "message": record.number, "offset": record.offset, **tree}
        tree["identical"] = written == record.data
        if emit_to is not None:
            name = f"{stem}{file.suffix}" if len(records) == 1 else f"{stem}.{record.number}{file.suffix}"
            (emit_to / name).write_bytes(written)
        yield tree
