"""`hub critical`: what waits for somebody, taking a result over, the rules tried on results that are stored.

In: words of the command line. Out: text or plain records, without patient data. What was done is in the audit
with the name of who typed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from engine.channels.critical.judging import judge
from engine.channels.critical.rules import rules_of
from engine.channels.critical.wording import what_of
from engine.channels.opening import open_staff
from engine.cli.opened import Opened, opened, who
from engine.cli.printing import print_json
from engine.kernel.clock import iso
from engine.staff.staff import Staff
from engine.store.audit import Access
from engine.store.columns import patient_reference

__all__ = ["list_critical", "take_over", "try_rules"]

_PAGE = 500


@contextmanager
def _desk(root: Path) -> Iterator[tuple[Opened, Staff]]:
    with opened(root) as hub:
        staff = open_staff(hub.config, hub.keyring)
        try:
            yield hub, staff
        finally:
            staff.close()


def list_critical(root: Path, everything: bool, as_json: bool) -> None:
    """Print what nobody has taken over; `everything`: also what was."""
    with _desk(root) as (_, staff):
        rows = staff.criticals.open()
        if everything:
            rows = sorted((*rows, *staff.criticals.past(limit=_PAGE)), key=lambda row: row.id)
    if as_json:
        keep = {"digest"}
        print_json([{k: v for k, v in asdict(row).items() if k not in keep} for row in rows])
        return
    if not rows:
        print("nothing waits for anybody" if not everything else "there was no critical result yet")
        return
    for row in rows:
        told = (
            f"told {iso(row.told)[:19]}" if row.told else "too old to be told" if row.late else "not told yet"
        )
        by = f"; {row.acknowledged_by} took it over {iso(row.acknowledged)[:19]}" if row.acknowledged else ""
        after = f"; followed by {row.followed_by}" if row.followed_by else ""
        print(f"{row.id}  {what_of(row)}")
        print(f"    channel {row.channel}, received {iso(row.received)[:19]}, {told}{by}{after}")


def take_over(root: Path, number: int, note: str) -> None:
    """Take a result over with the name of who types."""
    with _desk(root) as (hub, staff):
        row = staff.criticals.acknowledge(number, who(), note)
        hub.store.audit.record(
            Access(
                who(), "critical:take", f"critical/{row.id}", f"{row.subject} {row.patient} {note}".strip()
            )
        )
    if row.acknowledged_by == who():
        print(f"{number}: you have taken it over")
    else:
        print(f"{number}: {row.acknowledged_by} took it over before")


def try_rules(root: Path, most: int, as_json: bool) -> None:
    """Say what the rules, as the file has them now, would say of the newest results; nobody is told."""
    rules = rules_of(root)
    counts: dict[str, int] = {rule.name: 0 for rule in rules.rules}
    cannot: dict[tuple[str, str], int] = {}
    looked = 0
    with opened(root) as hub:
        upto = hub.store.head()
        for change in hub.store.feed(max(0, upto - most), most, bodies=True, of=("Observation",)):
            if change.type != "Observation" or change.body is None:
                continue
            looked += 1
            line = next(iter(hub.journal.search.lines([change.entry])), None)
            kind, _, id_ = (patient_reference(change.body) or "").partition("/")
            patient = hub.store.read("Patient", id_) if kind == "Patient" else None
            day = datetime.fromtimestamp(change.at / 1000, UTC).date()
            birth = str((patient or {}).get("birthDate") or "")
            judged = judge(rules, change.body, line.channel if line else "", birth, day)
            for match in judged.matches:
                counts[match.rule.name] += 1
            for one in judged.unjudged:
                cannot[one.rule.name, one.why] = cannot.get((one.rule.name, one.why), 0) + 1
        hub.store.audit.record(Access(who(), "critical:try", "critical/rules", f"{looked} results"))
    if as_json:
        lines = [{"rule": rule, "why": why, "results": n} for (rule, why), n in cannot.items()]
        print_json({"looked": looked, "critical": counts, "not_compared": lines})
        return
    print(f"{looked} versions of results among the last {most:,} changes")
    for name, count in counts.items():
        print(f"  {name}: {count} critical")
    for (name, why), count in cannot.items():
        print(f"  {name}: {count} could not be compared: {why}")
