"""`hub render`: a clinical document as one HTML page that is safe to open.

In: a CDA file. Out: the page, on standard output or in a file; nothing of the sender's is run or fetched.
"""

from __future__ import annotations

import sys
from pathlib import Path

from engine.formats.cda.document import parse
from engine.formats.cda.page import render
from engine.kernel.errors import HubError

__all__ = ["render_file"]


def render_file(file: Path, out: Path | None = None) -> int:
    """Write the page of a document; returns 0, or 1 where the document cannot be read."""
    try:
        page = render(parse(file.read_bytes()))
        if out is None:
            sys.stdout.buffer.write(page)
        else:
            out.write_bytes(page)
    except OSError as e:
        print(f"{e.filename or file}, 0, -, cannot be read or written: {e.strerror}", file=sys.stderr)
        return 1
    except HubError as e:
        print(f"{file}, 1, {e.where or '-'}, {e}", file=sys.stderr)
        return 1
    return 0
