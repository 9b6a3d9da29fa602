"""`hub parse` of a package of documents (XDM): what is in it, what the metadata says, what is wrong.

In: a zip whose content begins as a package. Out: one tree; the documents in it are given their trees too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.formats.cda import document as cda
from engine.formats.cda.tree import to_json
from engine.formats.xdm import read_package
from engine.kernel.errors import HubError

__all__ = ["parse_package"]


def parse_package(file: Path, stem: str, emit_to: Path | None) -> Iterator[dict[str, Any] | None]:
    """Give the tree of a package, then of each document in it; None for what could not be read."""
    data = file.read_bytes()
    try:
        package = read_package(data)
    except HubError as e:
        print(f"{file}, 1, {e.where or '-'}, {e}", file=sys.stderr)
        yield None
        return
    if emit_to is not None:
        (emit_to / f"{stem}{file.suffix}").write_bytes(data)
    listed = [{**asdict(d), "data": None, "bytes": len(d.data)} for d in package.documents]
    for one in listed:
        del one["data"]
    yield {
        "file": str(file),
        "format": "xdm",
        "id": package.id,
        "source": package.source,
        "problems": list(package.problems),
        "documents": listed,
        "identical": True,
    }
    for n, document in enumerate(package.documents, 2):
        if document.is_cda and not document.problem:
            try:
                yield {
                    "file": str(file),
                    "message": n,
                    "path": document.path,
                    **to_json(cda.parse(document.data)),
                }
            except HubError as e:
                print(f"{file}, {n}, {e.where or '-'}, {e}", file=sys.stderr)
                yield None
