"""`hub audit`: is the chain of the audit table whole, who saw or did what, and rows as FHIR AuditEvents.

In: filters. Out: rows, oldest first; that somebody looked is a row of its own, on disk before the first is
shown. What a row says in its detail (a query, a reason) is opened and may hold patient data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.channels.auditevents import bundle, ndjson
from engine.channels.auditheads import copies, read_head
from engine.channels.lookedat import looked_at, subject_of
from engine.cli.opened import Opened
from engine.fhir import jsonio
from engine.kernel.clock import iso, now_ms
from engine.kernel.errors import ConfigError
from engine.store.audit import Access, AuditRow, Wanted
from engine.store.auditchain import Verdict

__all__ = ["as_json", "export", "print_rows", "show", "verify"]

_PAGE = 1000
_IN_A_BUNDLE = 10_000  # rows; more are for newline-delimited JSON


def verify(hub: Opened, head: str = "", progress: Callable[[int], None] = lambda rows: None) -> Verdict:
    """Recompute every hash of the audit table and compare with the copies of its head. Raises ConfigError."""
    known = copies(hub.config, hub.keyring)
    if head:
        known.append(read_head(head))
    return hub.store.audit.prove(known, progress)


def as_json(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict for programs."""
    return {
        "ok": verdict.whole,
        "rows": verdict.rows,
        "head": verdict.hash.hex(),
        "begin": verdict.begin,
        "broken": verdict.row,
        "kind": verdict.kind,
    }


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
    wanted = Wanted(user, action, _moment(since) if since else None)
    asked = {"since": since, "user": user, "patient": patient, "action": action}
    detail = " ".join(f"{name}={value}" for name, value in asked.items() if value)
    before = hub.store.audit.head()[0] + 1
    hub.store.audit.record(Access(who, "audit:show", "audit", detail))
    if patient:
        subject = subject_of(hub.store, patient)
        page = looked_at(hub.store, subject, wanted=wanted, before=before, limit=limit)
        return [_line(row) | {"how": how} for row, how in reversed(page.rows)]
    return [_line(row) for row in reversed(hub.store.audit.page(wanted, before, limit))]


def export(hub: Opened, who: str, out: Path, *, since: str = "", as_bundle: bool = False) -> int:
    """Write rows as AuditEvents to a file that is its owner's only; returns how many. Raises ConfigError."""
    wanted = Wanted(since=_moment(since) if since else None)
    hub.store.audit.record(Access(who, "audit:export", "audit", f"since={since} to {out.name}"))
    count = 0

    def counted() -> Iterator[AuditRow]:
        nonlocal count
        for row in hub.store.audit.since(wanted):
            count += 1
            yield row

    name, base = hub.config.hub, hub.config.identity_base
    if as_bundle:
        rows = [row for row, _ in zip(counted(), range(_IN_A_BUNDLE + 1), strict=False)]
        if len(rows) > _IN_A_BUNDLE:
            raise ConfigError(
                f"there are more than {_IN_A_BUNDLE:,} rows",
                remedy="leave out --bundle, or say a later time with --since",
            )
        pieces = iter([jsonio.dumps(bundle(rows, name, base, now_ms()))])
    else:
        pieces = ndjson(counted(), name, base)
    try:
        out.touch(mode=0o600)
        with out.open("wb") as f:
            for piece in pieces:
                f.write(piece)
    except OSError as e:
        raise ConfigError("cannot be written", where=str(out), why=e.strerror or "") from None
    return count


def _line(r: AuditRow) -> dict[str, Any]:
    return {
        "row": r.id,
        "at": iso(r.at),
        "who": r.who,
        "action": r.action,
        "what": r.what,
        "detail": r.detail,
    }


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
