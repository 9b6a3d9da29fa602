"""`hub parse` for X12: every transaction set as a tree of loops, what is wrong with it, and the file back.

In: a file that holds an interchange. Out: one tree a transaction set (ST..SE) and one an interchange, as
plain data; with a folder to write to, the file written again from its segments while it is read. Memory is
that of the longest transaction set. The project's `partners/` are asked where there is a project.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from engine.cli.project import project_above
from engine.formats.x12.envelope import Interchange, envelopes
from engine.formats.x12.partner_rules import load_partners
from engine.formats.x12.segments import Reader, Segment, emit
from engine.formats.x12.tree import complaint, to_json
from engine.formats.x12.validate import check_interchange, check_transaction

__all__ = ["parse_x12"]


def parse_x12(file: Path, stem: str, emit_to: Path | None) -> Iterator[dict[str, Any] | None]:
    """Give the trees of a file; None once if it holds no transaction set."""
    target = emit_to / f"{stem}{file.suffix}" if emit_to is not None else None
    root = project_above()
    partners = load_partners(root) if root is not None else []
    with file.open("rb") as source, target.open("wb") if target else nullcontext() as out:
        reader = Reader(source)
        seen = 0
        for item in envelopes(_copied(reader, out)):
            seen += 1
            if isinstance(item, Interchange):
                yield {
                    "file": str(file),
                    "format": "x12",
                    "interchange": item.header.get(13).strip(),
                    "groups": len(item.groups),
                    "transactions": sum(group.counted for group in item.groups),
                    "problems": [complaint(each) for each in check_interchange(item)],
                }
            else:
                tree = item.tree()
                yield {"file": str(file), **to_json(item, tree, check_transaction(item, tree, partners))}
        if out is not None:
            out.write(emit((), reader.trailer))
        if reader.problems or not seen:
            yield {
                "file": str(file),
                "format": "x12",
                "problems": [complaint(each) for each in reader.problems],
            }
        if not seen:
            yield None


def _copied(reader: Reader, out: BinaryIO | None) -> Iterator[Segment]:
    """Pass the segments on, and write each as it was."""
    for segment in reader:
        if out is not None:
            out.write(emit((segment,)))
        yield segment
