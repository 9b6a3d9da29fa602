"""Follows the change feed of the core store and finds critical results in it.

In: new versions of Observations, in the order in which they were committed. Out: rows in the staff
database (`engine.staff.criticals`), each written in the transaction that moves the cursor. What a later
version does to a result that was told is told, too: another value, another patient, not critical any more,
taken back. The same said again is not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.channels.critical.judging import TAKEN_BACK, Judged, Unjudged, judge
from engine.channels.critical.rules import FILE, Rules, rules_of
from engine.fhir import jsonio
from engine.journal.search import Line
from engine.journal.sql import SqlJournal
from engine.kernel.clock import now_ms
from engine.kernel.errors import ConfigError, place_of
from engine.security.keys import Keyring
from engine.staff.criticals import GONE, READER, CriticalRow, NewCritical
from engine.staff.staff import Staff
from engine.store.columns import patient_reference, span
from engine.store.cursor import FeedRestored, cursor_at, position_of
from engine.store.read import Change
from engine.store.sql import SqlStore

__all__ = ["Following", "RulesFile"]

log = logging.getLogger("hub.critical")

_BATCH = 200
_FIRST = 3_600_000  # ms before its first start from which changes are looked at
_RESTORED = 7 * 86_400_000  # ms of changes that are looked at again after an older backup was restored
_SAID = ("code", "component", "dataAbsentReason", "interpretation")
_CORRECTIONS = ("amended", "corrected")


class RulesFile:
    """The rules as their file says now; where it cannot be read, as it said before."""

    def __init__(self, root: Path) -> None:
        self._root, self._path = root, root / FILE
        self._stamp = self._look()
        self.rules = rules_of(root)  # raises ConfigError
        self.trouble = ""

    def read(self) -> Rules:
        """Return the rules in force."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self.rules, self.trouble = rules_of(self._root), ""
            except ConfigError as e:
                self.trouble = str(e)
                log.error("the rules of critical results are those of before: %s", e)
        return self.rules

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino


@dataclass(slots=True)
class Seen:
    """What one step found, for the metrics."""

    judged: int = 0
    unjudged: int = 0
    rows: tuple[CriticalRow, ...] = ()


class Following:
    """Reads the feed of one store."""

    def __init__(
        self,
        keyring: Keyring,
        journal: SqlJournal,
        store: SqlStore,
        staff: Staff,
        rules: RulesFile,
        escalate_ms: int | None = None,
        now: Callable[[], int] = now_ms,
    ) -> None:
        self._keyring, self._journal, self._store, self._staff = keyring, journal, store, staff
        self._rules, self._escalate_ms, self._now = rules, escalate_ms, now
        self.last = Seen()

    def step(self) -> bool:
        """Look at what has been written since; returns whether there may be more. Raises StoreUnavailable."""
        self.last = Seen()
        rules = self._rules.read()
        before = self._staff.followed.cursor(READER)
        position = self._position(before)
        changes = self._store.feed(position, _BATCH, bodies=True, of=("Observation",))
        if not changes:
            if before is None:
                self._staff.criticals.keep(None, cursor_at(self._store, position), ())
            return False
        rows, unjudged = self._judged(rules, [c for c in changes if c.type == "Observation"])
        made = self._staff.criticals.keep(before, cursor_at(self._store, changes[-1].seq), rows, unjudged)
        if made is not None:  # None: another process was first
            self.last.rows, self.last.unjudged = tuple(made), len(unjudged)
        return len(changes) == _BATCH

    def _position(self, cursor: str | None) -> int:
        if cursor is None:
            return self._store.position_before(self._now() - _FIRST)
        try:
            return position_of(self._store, cursor)
        except FeedRestored:
            # what was told is known by its content and is not told again
            position = self._store.position_before(self._now() - _RESTORED)
            log.warning(
                "an older backup of the core store was restored; changes are read again from %d", position
            )
            return position

    def _judged(
        self, rules: Rules, changes: list[Change]
    ) -> tuple[list[NewCritical], list[tuple[str, str, str, int]]]:
        lines = self._lines(changes)
        known = dict(self._staff.criticals.newest({f"Observation/{c.id}" for c in changes}))
        rows: list[NewCritical] = []
        unjudged: list[tuple[str, str, str, int]] = []
        latest: dict[str, CriticalRow | NewCritical] = {**known}
        for change in changes:
            line = lines.get(change.entry)
            channel = line.channel if line is not None else ""
            judged = self._judge(rules, change, channel)
            self.last.judged += 1
            unjudged += [(one.rule.name, channel, one.why, change.entry) for one in judged.unjudged]
            subject = f"Observation/{change.id}"
            found = self._event(rules, change, judged, latest.get(subject), line)
            if found is not None:
                rows.append(found)
                latest[subject] = found
        return rows, unjudged

    def _lines(self, changes: list[Change]) -> Mapping[int, Line]:
        entries = sorted({c.entry for c in changes if c.entry})
        return {line.id: line for line in self._journal.search.lines(entries)} if entries else {}

    def _judge(self, rules: Rules, change: Change, channel: str) -> Judged:
        body = change.body
        if body is None or not rules.rules:
            return Judged()
        today = datetime.fromtimestamp(change.at / 1000, UTC).date()
        try:
            return judge(rules, body, channel, self._birth(rules, body), today)
        except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as e:
            # one Observation that cannot be read must not hold back the others; a person looks at it
            log.error("entry %d: an Observation cannot be judged (%s)", change.entry, place_of(e))
            return Judged((), (Unjudged(rules.rules[0], "the Observation cannot be read"),))

    def _birth(self, rules: Rules, body: dict[str, Any]) -> str:
        if not any(rule.age is not None for rule in rules.rules):
            return ""
        kind, _, id_ = (patient_reference(body) or "").partition("/")
        patient = self._store.read("Patient", id_) if kind == "Patient" else None
        return str((patient or {}).get("birthDate") or "")

    def _event(
        self,
        rules: Rules,
        change: Change,
        judged: Judged,
        before: CriticalRow | NewCritical | None,
        line: Line | None,
    ) -> NewCritical | None:
        """Return what is to be told of a version, after what was told of the result before."""
        body = change.body
        told = before is not None and before.kind not in GONE
        if not told and not judged.matches:
            return None
        digest = self._digest(body) if body is not None else b""
        patient = (patient_reference(body) or "") if body is not None else ""
        received = line.received if line is not None else change.at
        if before is not None and before.digest == digest:
            elsewhere = told and judged.matches and patient != before.patient and change.op != "relink"
            if not elsewhere:
                return None  # the same said again, another name of the patient, or other rules
            kind = "moved"
        elif before is None or not told:
            kind = "new"
        elif body is None or body.get("status") in TAKEN_BACK:
            kind = "retracted"
        else:
            kind = "corrected" if judged.matches else "withdrawn"
        # who was told of a result is told what becomes of it, however old it is
        late = (before is None or before.late) and self._late(rules, body or {}, received)
        matches = judged.matches
        rule_names = tuple(m.rule.name for m in matches) or (before.rules if before is not None else ())
        times = [m.rule.escalate_ms for m in matches if m.rule.escalate_ms is not None]
        default = rules.escalate_ms if rules.escalate_ms is not None else self._escalate_ms
        if before is not None and not matches:
            default = before.escalate_ms
        return NewCritical(
            subject=f"Observation/{change.id}",
            kind=kind,
            rules=rule_names,
            why=tuple(m.why for m in matches),
            say=" ".join(dict.fromkeys(m.rule.say for m in matches if m.rule.say)),
            channel=line.channel if line is not None else (before.channel if before is not None else ""),
            entry=change.entry,
            version=change.version,
            seq=change.seq,
            patient=patient or (before.patient if before is not None else ""),
            digest=digest,
            received=received,
            late=late,
            escalate_ms=min(times) if times else default,
        )

    def _late(self, rules: Rules, body: dict[str, Any], received: int) -> bool:
        """Say whether a result is too old to be told, as in a load of what happened years ago."""
        period = body.get("effectivePeriod") or {}
        texts = (body.get("issued"), body.get("effectiveDateTime"), period.get("end"), period.get("start"))
        ends = [found[1] for text in texts if text and (found := span(text)) is not None]
        return bool(ends) and received - max(ends) > rules.not_older_ms

    def _digest(self, body: dict[str, Any]) -> bytes:
        """Return a keyed digest of what a version says: its value, how it is judged, whether it corrects."""
        said = {name: value for name, value in body.items() if name in _SAID or name.startswith("value")}
        said["corrects"] = body.get("status") in _CORRECTIONS
        said["gone"] = body.get("status") in TAKEN_BACK
        text = jsonio.dumps({name: said[name] for name in sorted(said)}).decode()
        return self._keyring.mac16("critical", text)
