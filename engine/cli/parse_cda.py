"""`hub parse` of CDA: one document a file, its tree with XPaths, written back byte for byte.

In: a file whose content begins as XML. Out: one tree, or None where it was refused and named on stderr; XML
that is no CDA document is refused in words.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.formats.cda.document import emit, parse
from engine.formats.cda.recognise import is_cda, is_xml
from engine.formats.cda.tree import to_json
from engine.kernel.errors import HubError

__all__ = ["holds_cda", "holds_xml", "parse_cda"]

_HEAD = 1 << 16


def holds_cda(file: Path) -> bool:
    """Say whether a file is a CDA document, by its first bytes."""
    return is_cda(_head(file))


def holds_xml(file: Path) -> bool:
    """Say whether a file is XML of any kind."""
    return is_xml(_head(file))


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as f:
            return f.read(_HEAD + 4)
    except OSError:
        return b""  # whoever reads it whole says why it cannot be read


def parse_cda(file: Path, stem: str, emit_to: Path | None) -> Iterator[dict[str, Any] | None]:
    """Give the tree of the document of a file; None for one that could not be read."""
    data = file.read_bytes()
    try:
        document = parse(data)
    except HubError as e:
        print(f"{file}, 1, {e.where or '-'}, {e}", file=sys.stderr)
        yield None
        return
    written = emit(document)
    if emit_to is not None:
        (emit_to / f"{stem}{file.suffix}").write_bytes(written)
    yield {"file": str(file), "message": 1, "offset": 0, **to_json(document), "identical": written == data}
