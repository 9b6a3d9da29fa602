"""Everything the FHIR endpoint refuses, as an OperationOutcome (FHIR R4 operationoutcome.html,
http.html#Status-Codes).

In: a status and a reason. Out: a resource whose text names parameters and types, never the values that were
asked for.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["Refusal", "named", "outcome"]

_CODES = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    410: "deleted",
    413: "too-long",
    415: "not-supported",
    429: "throttled",
    500: "exception",
    503: "transient",
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}").fullmatch


class Refusal(Exception):
    """An answer that is no resource. `code` is of the value set issue-type; empty: the usual one of the
    status.
    """

    def __init__(
        self,
        status: int,
        text: str,
        *,
        code: str = "",
        headers: dict[str, str] | None = None,
        what: str = "",
    ) -> None:
        super().__init__(text)
        self.status, self.text = status, text
        self.code = code or _CODES.get(status, "processing")
        self.headers = headers or {}
        self.what = what  # for the audit table: what was asked for, as far as it is known to exist


def outcome(text: str, code: str, severity: str = "error") -> dict[str, Any]:
    """Make an OperationOutcome of one issue."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": severity, "code": code, "diagnostics": text}],
    }


def named(name: str) -> str:
    """Return a parameter's name for a text; what looks like none may be patient data."""
    return f"'{name}'" if _NAME(name) else "(its name is not repeated here)"
