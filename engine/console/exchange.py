"""A request and its answer as the web side passes them on: plain records, so that what answers knows no web
framework.

In: method, path, query pairs, headers. Out: status, body, headers, and what the audit table is to know of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.console.sight import NOBODY, Caller

__all__ = ["Ask", "Reply"]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `path` is what follows the endpoint's own, split; header names are lower case."""

    method: str
    path: tuple[str, ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    form: tuple[tuple[str, str], ...] | None = None  # of a POST; None = the body is no form
    body: bytes = b""  # of a POST that is no form
    base: str = ""  # e.g. http://127.0.0.1:8080/fhir
    caller: Caller = NOBODY  # who asks: sees nothing unless a desk says who it is


@dataclass(slots=True)
class Reply:
    """One answer. `action`, `what` and `detail` go into the audit table; `what` never holds patient data."""

    status: int
    body: bytes = b""
    media: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    action: str = ""
    what: str = ""
    detail: str = ""
