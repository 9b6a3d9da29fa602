"""The audit: who saw or did what, who looked at this patient, is the chain whole, rows as AuditEvents.

In: filters; a patient's number, id or name (by a form, sealed in links). Out: pages of rows, newest first.
Every look at the audit is a row of it, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.channels.auditevents import MEDIA, bundle, ndjson
from engine.channels.auditheads import copies
from engine.channels.lookedat import HOW, looked_at, subject_of
from engine.console.answers import Answer, Download, Goto, Page, Refused
from engine.console.door import Door
from engine.console.jobs import Jobs
from engine.console.visit import Visit
from engine.fhir import jsonio
from engine.kernel.clock import now_ms
from engine.store.audit import AuditRow, Wanted

__all__ = ["add"]

_PAGE = 100
_WHOLE = "The chain is whole"
_IN_A_BUNDLE = 10_000
_CATCH_UP = 20_000  # audit rows that one search reads; the watch reads the others in time
_WORD = re.compile(r"[\w.:@+-]{1,80}").fullmatch


def add(door: Door) -> None:
    """Add the pages."""
    jobs = Jobs()
    door.get("/admin/audit", needs="see.audit")(audit)
    door.get("/admin/audit/patient", needs="see.audit")(patient)
    door.post("/admin/audit/patient", needs="see.audit")(ask_patient)
    door.get("/admin/audit/export", needs="see.audit", twin=False)(export)
    door.get("/admin/audit/verify", needs="see.audit", records=False, stirs=False)(_verify(jobs))
    door.post("/admin/audit/verify", needs="see.audit")(_start(jobs))


def audit(visit: Visit) -> Page:
    """Show who saw or did what."""
    wanted, words = _wanted(visit)
    rows = visit.hub.store.audit.page(wanted, _number(visit.query.get("before", "")), _PAGE)
    visit.saw("audit:list", "audit", " ".join(f"{k}={v}" for k, v in words.items() if v))
    begin = visit.hub.store.audit.begin()
    return Page(
        "admin_audit.html",
        {
            "rows": [_line(row) for row in rows],
            "words": words,
            "more": rows[-1].id if len(rows) == _PAGE else None,
            "newest": visit.hub.store.audit.head()[0],
            "begin": begin.row,
            "keep": visit.hub.config.keep.audit,
            "may_export": visit.may("export"),
        },
        "Audit",
    )


def ask_patient(visit: Visit) -> Answer:
    """Take the patient that is asked for, and seal it into the address of the answer."""
    word = visit.form.get("patient", "").strip()
    if not word or len(word) > 100:
        raise Refused(400, "Write a number, an id or a family name of the patient.")
    visit.saw("audit:patient-asked", "audit", f"patient={word}")
    return Goto(f"/admin/audit/patient?q={visit.hub.seal({'audit of': word})}")


def patient(visit: Visit) -> Page:
    """Show who looked at a patient."""
    facts: dict[str, Any] = {"asked": False, "rows": [], "more": None, "token": ""}
    if token := visit.query.get("q", ""):
        word = str(visit.hub.unseal(token).get("audit of", ""))
        visit.saw("audit:patient", "audit", f"patient={word}")
        subject = subject_of(visit.hub.store, word)
        before = _number(visit.query.get("before", ""))
        page = looked_at(
            visit.hub.store,
            subject,
            before=before if before is not None else visit.hub.store.audit.head()[0] + 1,
            limit=_PAGE,
            catch_up=_CATCH_UP,
        )
        facts |= {
            "asked": True,
            "token": token,
            "rows": [_line(row) | {"how": how, "how_words": HOW[how]} for row, how in page.rows],
            "more": page.before,
            "behind": page.behind,
            "all": page.all,
            "people": sorted({row.who for row, _ in page.rows}),
            "patients": len(subject.patients),
            "things": len(subject.things),
        }
    else:
        visit.saw("audit:patient-form", "audit")
    return Page("admin_audit_patient.html", facts, "Who looked at this patient?")


def export(visit: Visit) -> Answer:
    """Give rows as AuditEvents, as lines or as one Bundle."""
    visit.require("export")
    wanted, words = _wanted(visit)
    hub = visit.hub
    visit.saw("audit:export", "audit", " ".join(f"{k}={v}" for k, v in words.items() if v))
    name, base = hub.config.hub, hub.config.identity_base
    if visit.query.get("as") == "bundle":
        rows = hub.store.audit.page(wanted, None, _IN_A_BUNDLE + 1)[::-1]
        if len(rows) > _IN_A_BUNDLE:
            raise Refused(413, f"There are more than {_IN_A_BUNDLE:,} rows.", "Take lines, or fewer days.")
        body = jsonio.dumps(bundle(rows, name, base, now_ms()))
        return Download(body, "application/fhir+json", "audit.json")
    return Download(ndjson(hub.store.audit.since(wanted), name, base), MEDIA, "audit.ndjson")


def _start(jobs: Jobs) -> Callable[[Visit], Answer]:
    def start(visit: Visit) -> Answer:
        """Recompute the chain."""
        hub = visit.hub
        total = hub.store.audit.head()[0]

        def work(tell: Callable[[str], None]) -> str:
            known = copies(hub.config, hub.keyring)
            verdict = hub.store.audit.prove(known, lambda rows: tell(f"{rows:,} of {total:,} rows"))
            if verdict.whole:
                compared = f"compared with {len(known)} copies of its head"
                return f"{_WHOLE}: {verdict.rows:,} rows, {compared}."
            return str(verdict)

        started = jobs.start("audit", visit.person.name, work)
        visit.saw("audit:verify", "audit")
        return Goto("/admin/audit/verify", "" if started else "Somebody has started it already.")

    return start


def _verify(jobs: Jobs) -> Callable[[Visit], Answer]:
    def verify(visit: Visit) -> Page:
        """Show how the proof of the chain stands."""
        job = jobs.of("audit")
        row, hash_ = visit.hub.store.audit.head()
        facts = {
            "job": job,
            "running": job is not None and job.running,
            "whole": job is not None and job.result.startswith(_WHOLE),
            "head": f"{row}:{hash_.hex()}",
        }
        return Page("admin_audit_verify.html", facts, "Is the audit whole?", fragment="admin_audit_job.html")

    return verify


def _wanted(visit: Visit) -> tuple[Wanted, dict[str, str]]:
    """Read the filters of an address: a person, an action, days."""
    words = {name: visit.query.get(name, "").strip() for name in ("who", "action", "since", "until")}
    for name in ("who", "action"):
        if words[name] and not _WORD(words[name]):
            raise Refused(400, f"{name}: is one word, as the table shows it.")
    until = _day(words["until"])
    return (
        Wanted(
            words["who"],
            words["action"],
            _day(words["since"]),
            None if until is None else until + 86_400_000,  # the whole day
        ),
        words,
    )


def _day(text: str) -> int | None:
    if not text:
        return None
    try:
        day = datetime.fromisoformat(text[:10]).replace(tzinfo=UTC)
    except ValueError:
        raise Refused(400, "Days are written as 2026-05-04.") from None
    return int((day - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def _line(row: AuditRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": row.at,
        "who": row.who,
        "action": row.action,
        "what": row.what,
        "detail": row.detail[:2000],
    }


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
