"""`hub parse`: files as trees with addresses, names and offsets; with `--emit`, written back byte for byte.

HL7 v2, X12, CDA and SCRIPT are told apart by content. What comes back differs from what came in only where a
message was damaged, and every damage is listed. The bytes around the HL7 v2 messages of a file (batch
headers, MLLP frame bytes) are not a message's and are not written back; an X12 file and an XML one are
written back whole.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from engine.cli.convert import expand, stems
from engine.cli.parse_x12 import is_x12, parse_x12
from engine.cli.parse_xml import holds_known_xml, holds_xml, parse_xml
from engine.formats.hl7v2.parse import parse
from engine.formats.hl7v2.split import split_messages
from engine.formats.hl7v2.tree import to_json
from engine.formats.hl7v2.write import emit
from engine.kernel.errors import HubError

__all__ = ["parse_paths"]


def parse_paths(paths: list[Path], emit_to: Path | None = None) -> int:
    """Print the trees of all messages as JSON, an array; returns 0 if all could be read, else 1."""
    bad = False
    files = expand(paths, lambda file: is_x12(file) or holds_known_xml(file))
    if emit_to is not None:
        emit_to.mkdir(parents=True, exist_ok=True)
    out = sys.stdout.buffer
    opening = b"[\n"
    for file, stem in zip(files, stems(files), strict=True):
        reader = parse_x12 if is_x12(file) else parse_xml if holds_xml(file) else _parse_v2
        trees = reader(file, stem, emit_to)
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
