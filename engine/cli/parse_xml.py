"""`hub parse` of XML: a CDA document or a SCRIPT message a file, its tree with XPaths, its very bytes back.

In: a file whose content begins as XML. Out: one tree, or None where it was refused and named on stderr; XML
that is neither is refused in words.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.formats.cda import document as cda
from engine.formats.cda.recognise import is_cda, is_xml
from engine.formats.cda.tree import to_json as cda_json
from engine.formats.ncpdp import message as ncpdp
from engine.formats.ncpdp.tree import to_json as ncpdp_json
from engine.kernel.errors import HubError

__all__ = ["holds_known_xml", "holds_xml", "parse_xml"]

_HEAD = 1 << 16


def holds_known_xml(file: Path) -> bool:
    """Say whether a file is a CDA document or a SCRIPT message, by its first bytes."""
    head = _head(file)
    return is_xml(head) and (is_cda(head) or ncpdp.is_script(head))


def holds_xml(file: Path) -> bool:
    """Say whether a file is XML of any kind."""
    return is_xml(_head(file))


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as f:
            return f.read(_HEAD + 4)
    except OSError:
        return b""  # whoever reads it whole says why it cannot be read


def parse_xml(file: Path, stem: str, emit_to: Path | None) -> Iterator[dict[str, Any] | None]:
    """Give the tree of what a file holds; None where it could not be read."""
    data = file.read_bytes()
    try:
        if ncpdp.is_script(data):
            script = ncpdp.parse(data)
            tree, written = ncpdp_json(script), ncpdp.emit(script)
        else:
            document = cda.parse(data)
            tree, written = cda_json(document), cda.emit(document)
    except HubError as e:
        print(f"{file}, 1, {e.where or '-'}, {e}", file=sys.stderr)
        yield None
        return
    if emit_to is not None:
        (emit_to / f"{stem}{file.suffix}").write_bytes(written)
    yield {"file": str(file), "message": 1, "offset": 0, **tree, "identical": written == data}
