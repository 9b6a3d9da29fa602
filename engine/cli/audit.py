"""`hub audit`: is the chain of the audit table whole, and who saw or did what.

In: filters. Out: rows, oldest first; that somebody looked is a row of its own, on disk before the first is
shown. What a row says in its detail (a query, a reason) is opened and may hold patient data.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engine.cli.opened import Opened
from engine.fhir import jsonio
from engine.kernel.clock import iso
from engine.kernel.errors import ConfigError
from engine.store.audit import Access, AuditRow
from engine.store.search import SearchError

__all__ = ["Verdict", "print_rows", "show", "verify"]

_PAGE = 1000
_SLACK = 86_400_000  # ms a clock may have been set back while rows were written
_ENTRIES = 10_000  # messages of one patient looked at


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying found: `rows` and `head` of a whole chain, or the first `broken` row."""

    rows: int
    head: str
    broken: int | None

    def __str__(self) -> str:
        if self.broken is None:
            return f"OK: {self.rows} rows, head {self.head}"
        return (
            f"BROKEN at row {self.broken}: it, or what should stand there, was changed, moved or taken out. "
            "Keep the database as it is, and compare with a backup"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the same for programs."""
        return {"ok": self.broken is None, "rows": self.rows, "head": self.head, "broken": self.broken}


def verify(hub: Opened) -> Verdict:
    """Recompute every hash of the audit table."""
    broken = hub.store.audit.verify()
    rows, head = hub.store.audit.head()
    return Verdict(rows, head.hex(), broken)


def show(
    hub: Opened,
    who: str,
    *,
    since: str = "",
    user: str = "",
    patient: str = "",
    action: str = "",
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Return the newest rows that fit every filter, oldest first. Raises ConfigError, StoreUnavailable."""
    start = _moment(since) if since else 0
    asked = {"since": since, "user": user, "patient": patient, "action": action}
    detail = " ".join(f"{name}={value}" for name, value in asked.items() if value)
    before = hub.store.audit.head()[0]
    hub.store.audit.record(Access(who, "audit:show", "audit", detail))
    about = _about(hub, patient) if patient else None
    found: deque[AuditRow] = deque(maxlen=limit)
    for row in _rows(hub, start):
        if row.id > before:
            break
        if row.at < start or (user and row.who != user):
            continue
        if action and row.action != action and not row.action.startswith(f"{action}:"):
            continue
        if about is None or about(row):
            found.append(row)
    return [
        {"row": r.id, "at": iso(r.at), "who": r.who, "action": r.action, "what": r.what, "detail": r.detail}
        for r in found
    ]


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Print rows as a table."""
    for r in rows:
        line = f"{r['row']:>7}  {r['at'][:19]}Z  {r['who']:<16} {r['action']:<14} {r['what']}"
        detail = "".join(c if c.isprintable() else " " for c in r["detail"])
        print(f"{line}  {detail}".rstrip())
    if not rows:
        print("no row fits")


def _moment(text: str) -> int:
    """Read a date or time, UTC where it names no offset, as ms since the epoch."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"--since {text} is not a time", remedy="write e.g. 2026-05-04 or 2026-05-04T08:30"
        ) from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _rows(hub: Opened, start: int) -> Iterator[AuditRow]:
    """Give rows, oldest first, from about `start` on: found by halving, as times hardly ever run back."""
    audit = hub.store.audit
    low, high = 0, audit.head()[0]
    while start and low < high:
        middle = (low + high) // 2
        page = audit.rows(middle, 1)
        if page and page[0].at < start - _SLACK:
            low = middle + 1
        else:
            high = middle
    while page := audit.rows(low, _PAGE):
        yield from page
        low = page[-1].id


def _about(hub: Opened, word: str) -> Callable[[AuditRow], bool]:
    """Return a judge: is a row about the patient of this id, number or name?

    It is when its detail holds the word, when it is about one of the patient's messages, or when a resource
    it shows refers to the patient. A reading of the feed shows everybody and is left out.
    """
    store = hub.store
    patients = {word.removeprefix("Patient/")}
    try:
        patients |= {one["id"] for one in store.search("Patient", [("identifier", word)], 100).resources}
    except SearchError:
        pass  # a word that cannot be an identifier: it may be a name
    entries = {n for kind in ("patient", "name") for n in store.find(kind, word, _ENTRIES)}
    entries.update(store.find("name", word.casefold(), _ENTRIES))
    addresses = tuple(f'"Patient/{one}"'.encode() for one in patients)
    known: dict[tuple[str, str], bool] = {}
    asked = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)

    def refers(kind: str, id_: str) -> bool:
        if (kind, id_) not in known:
            versions = store.history(kind, id_) if kind != "Provenance" else []
            texts = (jsonio.dumps(v.resource) for v in versions if v.resource is not None)
            known[kind, id_] = any(address in text for text in texts for address in addresses)
        return known[kind, id_]

    def judge(row: AuditRow) -> bool:
        kind, _, rest = row.what.partition("/")
        id_ = rest.partition("/")[0]
        if kind == "entry":
            return id_.isdigit() and int(id_) in entries
        if asked.search(row.detail) or (kind == "Patient" and id_ in patients):
            return True
        if id_:
            return refers(kind, id_)
        if row.action == "fhir:search":
            _, _, ids = row.detail.rpartition(": ")
            return any((kind == "Patient" and one in patients) or refers(kind, one) for one in ids.split())
        return False

    return judge
