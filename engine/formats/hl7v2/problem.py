"""One complaint about a message, as strict validation and conformance profiles make them."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Problem"]


class Problem(NamedTuple):
    """One complaint: severity E or W, a table 0357 code, where, and what."""

    severity: str
    code: str
    location: str
    text: str
