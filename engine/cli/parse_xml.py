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
from engine.formats.cda.tree import to_json as cda_json
from engine.formats.ncpdp import message as ncpdp
from engine.formats.ncpdp.tree import to_json as ncpdp_json
from engine.kernel.errors import HubError

__all__ = ["parse_xml"]


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
