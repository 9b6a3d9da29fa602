"""`hub parse`: files as trees with addresses, names and offsets; with `--emit`, written back byte for byte.

What comes back differs from what came in only where the message was damaged, and every damage is listed.
The bytes around the messages of a file (batch headers, MLLP frame bytes) are not a message's and are not
written back.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson

from engine.cli.convert import expand, stems
from engine.formats.hl7v2.parse import parse
from engine.formats.hl7v2.split import split_messages
from engine.formats.hl7v2.tree import to_json
from engine.formats.hl7v2.write import emit
from engine.kernel.errors import HubError

__all__ = ["parse_paths"]


def parse_paths(paths: list[Path], emit_to: Path | None = None) -> int:
    """Print the trees of all messages as JSON, an array; returns 0 if all could be read, else 1."""
    out: list[dict[str, Any]] = []
    bad = False
    files = expand(paths)
    if emit_to is not None:
        emit_to.mkdir(parents=True, exist_ok=True)
    for file, stem in zip(files, stems(files), strict=True):
        try:
            records = split_messages(file.read_bytes())
        except OSError as e:
            print(f"{file}, 0, -, cannot be read: {e.strerror}", file=sys.stderr)
            bad = True
            continue
        if not records:
            print(f"{file}, 1, MSH, no HL7 v2 message found", file=sys.stderr)
            bad = True
        for record in records:
            try:
                message = parse(record.data)
                tree = to_json(message)
                written = emit(message)
            except HubError as e:
                print(f"{file}, {record.number}, {e.where or '-'}, {e}", file=sys.stderr)
                bad = True
                continue
            tree = {"file": str(file), "message": record.number, "offset": record.offset, **tree}
            tree["identical"] = written == record.data
            out.append(tree)
            if emit_to is not None:
                name = f"{stem}{file.suffix}" if len(records) == 1 else f"{stem}.{record.number}{file.suffix}"
                (emit_to / name).write_bytes(written)
    sys.stdout.buffer.write(orjson.dumps(out, option=orjson.OPT_INDENT_2) + b"\n")
    return 1 if bad else 0
