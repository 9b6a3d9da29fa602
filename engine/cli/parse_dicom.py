"""`hub parse` of DICOM: an object or a study entry a file, every populated attribute with its place, its
bytes back.

In: a Part 10 file, or a study as the hub tells of it. Out: one tree, or None where it was refused and named
on stderr. Of an image only what stands before its pixels is read; what is written back is the file as it was.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.formats.dicom.document import STUDY_ENTRY, parse
from engine.formats.dicom.header import LIMIT
from engine.kernel.errors import HubError

__all__ = ["begin_of", "parse_dicom"]


def begin_of(file: Path) -> bytes:
    """Return as much of a file as is read of it: a study entry whole, of an object what has its header."""
    with file.open("rb") as f:
        head = f.read(LIMIT)
        return head + f.read() if head.startswith(STUDY_ENTRY) else head


def parse_dicom(file: Path, stem: str, emit_to: Path | None) -> Iterator[dict[str, Any] | None]:
    """Give the tree of what a file holds; None where it could not be read."""
    try:
        document = parse(begin_of(file))
    except HubError as e:
        print(f"{file}, 1, {e.where or '-'}, {e}", file=sys.stderr)
        yield None
        return
    if emit_to is not None:
        shutil.copyfile(file, emit_to / f"{stem}{file.suffix}")
    yield {
        "file": str(file),
        "message": 1,
        "offset": 0,
        "format": "dicom",
        "document_type": document.type,
        "kind": document.kind,
        "template": document.template,
        "sender": document.sender,
        "study": document.own("StudyInstanceUID"),
        "instance": document.own("SOPInstanceUID"),
        "bytes": file.stat().st_size,
        "repairs": [repair._asdict() for repair in document.repairs],
        "leaves": [leaf._asdict() for leaf in document.leaves()],
        "identical": True,
    }
